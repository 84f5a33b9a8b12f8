package autoscale

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/fault"
)

// halves are the two groups of web in AWS, and the spot requests of the first.
type halves struct {
	groups   map[string]astypes.AutoScalingGroup
	noticed  []string
	calls    []string
	fail     map[string]error
	describe func() // before each read
	now      time.Time
}

func newHalves() *halves {
	h := &halves{groups: map[string]astypes.AutoScalingGroup{}, fail: map[string]error{}, now: balanceNoon()}
	h.put("web", 4, 0, 18)
	h.put("web-backstop", 2, 2, 20)
	return h
}

// put makes a group with its instances in service.
func (h *halves) put(name string, desired, low, high int32) {
	g := astypes.AutoScalingGroup{AutoScalingGroupName: &name, DesiredCapacity: &desired, MinSize: &low, MaxSize: &high}
	for i := range desired {
		g.Instances = append(g.Instances, astypes.Instance{InstanceId: aws.String(fmt.Sprintf("i-%s-%d", name, i)), LifecycleState: astypes.LifecycleStateInService, HealthStatus: aws.String("Healthy")})
	}
	h.groups[name] = g
}

func (h *halves) DescribeAutoScalingGroups(_ context.Context, in *as.DescribeAutoScalingGroupsInput, _ ...func(*as.Options)) (*as.DescribeAutoScalingGroupsOutput, error) {
	if h.describe != nil {
		h.describe()
	}
	h.calls = append(h.calls, "autoscaling:DescribeAutoScalingGroups")
	out := &as.DescribeAutoScalingGroupsOutput{}
	for _, n := range in.AutoScalingGroupNames {
		if g, ok := h.groups[n]; ok {
			out.AutoScalingGroups = append(out.AutoScalingGroups, g)
		}
	}
	return out, h.fail["DescribeAutoScalingGroups"]
}

func (h *halves) SetDesiredCapacity(_ context.Context, in *as.SetDesiredCapacityInput, _ ...func(*as.Options)) (*as.SetDesiredCapacityOutput, error) {
	h.calls = append(h.calls, "autoscaling:SetDesiredCapacity")
	if err := h.fail["SetDesiredCapacity"]; err != nil {
		return nil, err
	}
	g := h.groups[*in.AutoScalingGroupName]
	g.DesiredCapacity = in.DesiredCapacity
	h.groups[*in.AutoScalingGroupName] = g
	return &as.SetDesiredCapacityOutput{}, nil
}

func (h *halves) CreateOrUpdateTags(_ context.Context, in *as.CreateOrUpdateTagsInput, _ ...func(*as.Options)) (*as.CreateOrUpdateTagsOutput, error) {
	h.calls = append(h.calls, "autoscaling:CreateOrUpdateTags")
	for _, t := range in.Tags {
		g := h.groups[*t.ResourceId]
		g.Tags = []astypes.TagDescription{{Key: t.Key, Value: t.Value}}
		h.groups[*t.ResourceId] = g
	}
	return &as.CreateOrUpdateTagsOutput{}, h.fail["CreateOrUpdateTags"]
}

func (h *halves) DescribeSpotInstanceRequests(_ context.Context, in *ec2.DescribeSpotInstanceRequestsInput, _ ...func(*ec2.Options)) (*ec2.DescribeSpotInstanceRequestsOutput, error) {
	h.calls = append(h.calls, "ec2:DescribeSpotInstanceRequests")
	out := &ec2.DescribeSpotInstanceRequestsOutput{}
	for _, id := range in.Filters[0].Values {
		code := "fulfilled"
		for _, n := range h.noticed {
			if n == id {
				code = "marked-for-termination"
			}
		}
		out.SpotInstanceRequests = append(out.SpotInstanceRequests, ec2types.SpotInstanceRequest{InstanceId: aws.String(id), Status: &ec2types.SpotInstanceStatus{Code: &code}})
	}
	return out, h.fail["DescribeSpotInstanceRequests"]
}

func (h *halves) world() BalanceWorld {
	return BalanceWorld{Groups: h, Spot: h, Now: func() time.Time { return h.now }}
}

func pairs() []BalancePair {
	return []BalancePair{{Group: "web", Spot: "web", Backstop: "web-backstop", TotalMax: 20}}
}

// look observes, decides and writes.
func (h *halves) look(t *testing.T) (BalancePlan, []BalanceOutcome, error) {
	t.Helper()
	seen, err := BalanceObserve(context.Background(), h.world(), pairs())
	if err != nil {
		return BalancePlan{}, nil, err
	}
	p := PlanBalance(seen, BalanceRule{Hold: 5 * time.Minute, Grace: 30 * time.Second})
	out, err := p.Apply(context.Background(), h.world())
	return p, out, err
}

func (h *halves) desired(t *testing.T, want int32) {
	t.Helper()
	if got := *h.groups["web-backstop"].DesiredCapacity; got != want {
		t.Errorf("the backstop's desired capacity is %d, want %d", got, want)
	}
}

func TestBalanceFollowsALossAndItsEnd(t *testing.T) {
	t.Parallel()
	h := newHalves()
	if p, _, err := h.look(t); err != nil || !p.Empty() {
		t.Fatalf("nothing is missing, and the plan is %+v (%v)", p, err)
	}
	h.noticed = []string{"i-web-0", "i-web-3"}
	p, _, err := h.look(t)
	if err != nil || p.Empty() || p.Changes[0].Leaving != 2 {
		t.Errorf("two notices: %+v (%v)", p, err)
	}
	h.desired(t, 4)
	h.noticed = nil
	h.put("web", 4, 0, 18)
	for range 5 { // a hold time, looked at by processes that know nothing of each other
		h.desired(t, 4)
		if _, _, err := h.look(t); err != nil {
			t.Fatal(err)
		}
		h.now = h.now.Add(75 * time.Second)
	}
	h.desired(t, 2)
}

func TestBalanceCountsUnits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  astypes.LifecycleState
		health string
		weight string
		want   BalanceCount
	}{
		"serving":        {"InService", "Healthy", "", BalanceCount{InService: 1}},
		"weighted":       {"InService", "Healthy", "4", BalanceCount{InService: 4}},
		"ill":            {"InService", "Unhealthy", "2", BalanceCount{Leaving: 2}},
		"starting":       {"Pending:Wait", "Healthy", "2", BalanceCount{Starting: 2}},
		"ending":         {"Terminating:Wait", "Healthy", "2", BalanceCount{Leaving: 2}},
		"on standby":     {"Standby", "Healthy", "2", BalanceCount{}},
		"in a warm pool": {"Warmed:Running", "Healthy", "2", BalanceCount{}},
		"bad weight":     {"InService", "Healthy", "x", BalanceCount{InService: 1}},
	} {
		i := astypes.Instance{LifecycleState: c.state, HealthStatus: &c.health}
		if c.weight != "" {
			i.WeightedCapacity = &c.weight
		}
		var got BalanceCount
		if got.add(i, false, false); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestBalanceWritesOnlyOnWhatItSaw(t *testing.T) {
	t.Parallel()
	h := newHalves()
	h.noticed = []string{"i-web-0"}
	reads := 0
	h.describe = func() {
		if reads++; reads == 2 { // between look and write somebody else sets 7
			g := h.groups["web-backstop"]
			g.DesiredCapacity = aws.Int32(7)
			h.groups["web-backstop"] = g
		}
	}
	_, out, err := h.look(t)
	if err != nil || len(out) != 1 || out[0].Moved != "the backstop's desired capacity went from 2 to 7 meanwhile" {
		t.Errorf("the outcome is %+v (%v)", out, err)
	}
	h.desired(t, 7)
}

func TestTwoThatBalanceAtOnceWriteTheSame(t *testing.T) {
	t.Parallel()
	h := newHalves()
	h.noticed = []string{"i-web-0"}
	rule := BalanceRule{Hold: 5 * time.Minute}
	var plans []BalancePlan
	for range 2 {
		seen, err := BalanceObserve(context.Background(), h.world(), pairs())
		if err != nil {
			t.Fatal(err)
		}
		plans = append(plans, PlanBalance(seen, rule))
	}
	for _, p := range plans {
		if _, err := p.Apply(context.Background(), h.world()); err != nil {
			t.Fatal(err)
		}
	}
	h.desired(t, 3)
	if n := strings.Count(strings.Join(h.calls, " "), "SetDesiredCapacity"); n != 1 {
		t.Errorf("it was written %d times", n)
	}
}

func TestBalanceRefuses(t *testing.T) {
	t.Parallel()
	h := newHalves()
	delete(h.groups, "web-backstop")
	if _, _, err := h.look(t); err == nil || fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "there is no group web-backstop") {
		t.Errorf("without its half: %v", err)
	}
	for _, call := range []string{"DescribeAutoScalingGroups", "DescribeSpotInstanceRequests", "SetDesiredCapacity", "CreateOrUpdateTags"} {
		h := newHalves()
		h.noticed = []string{"i-web-0"}
		h.fail[call] = errors.New("no")
		if _, _, err := h.look(t); err == nil || fault.KindOf(err) != fault.AWS {
			t.Errorf("%s fails: %v", call, err)
		}
	}
	if _, err := BalancePairs(mustParse(t, base)); err == nil || fault.KindOf(err) != fault.Usage {
		t.Errorf("a file without a backstop: %v", err)
	}
}

func TestBalanceStateFitsATag(t *testing.T) {
	t.Parallel()
	for _, s := range []BalanceState{{}, {Known: true}, {Known: true, Covered: 7, Grew: balanceNoon()}, {Known: true, Covered: 1000, Grew: balanceNoon(), Since: balanceNoon(), Floor: 12, Risky: balanceNoon()}} {
		if got := parseBalanceState(s.text()); got != s || len(s.text()) > 256 || strings.ContainsAny(s.text(), ",;{}\"'") {
			t.Errorf("%+v came back as %+v from %q", s, got, s.text())
		}
	}
	for _, bad := range []string{"covered=x", "covered=1 since=yesterday", "what"} {
		if got := parseBalanceState(bad); got != (BalanceState{}) {
			t.Errorf("%q gives %+v", bad, got)
		}
	}
}

func TestThePlanLeavesTheStateOfBalanceAlone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := "version: 2\nregion: us-east-1\ngroups: {web: {capacity: {mode: backstop, min: 1, max: 4}, launch: {image: ami-1, type: t3.small}, network: {zones: [us-east-1a]}, tags: {Team: shop}}}"
	c.apply(file)
	_, err := c.as.CreateOrUpdateTags(context.Background(), &as.CreateOrUpdateTagsInput{Tags: []astypes.Tag{{ResourceId: aws.String("web-backstop"), ResourceType: aws.String("auto-scaling-group"),
		Key: aws.String(BalanceTag), Value: aws.String("covered=1"), PropagateAtLaunch: aws.Bool(false)}}})
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := c.plan(mustParse(t, file)); !p.Empty() {
		t.Errorf("the tag of balance is a difference: %s", summary(p))
	}
}
