package asg_test

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/smithy-go"

	"bakehouse/test/asg"
)

// yard is a yard of machines that a test moves by hand.
type yard struct {
	mu      sync.Mutex
	serial  int
	boots   string // the state that a launch leaves; "" is running
	refuse  map[string]string
	states  map[string]string
	started []asg.Launch
}

func (y *yard) Launch(_ context.Context, in asg.Launch) (string, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, what := range []string{in.Zone, in.Type, "all"} {
		if code := y.refuse[what]; code != "" {
			return "", &smithy.GenericAPIError{Code: code, Message: "as the test asked"}
		}
	}
	y.serial++
	id := fmt.Sprintf("i-%02d", y.serial)
	y.states[id] = cmpOr(y.boots, "running")
	y.started = append(y.started, in)
	return id, nil
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (y *yard) set(state string, ids ...string) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, id := range ids {
		y.states[id] = state
	}
	return nil
}

func (y *yard) Terminate(_ context.Context, ids []string) error { return y.set("terminated", ids...) }
func (y *yard) Stop(_ context.Context, ids []string) error      { return y.set("stopped", ids...) }
func (y *yard) Start(_ context.Context, ids []string) error     { return y.set("running", ids...) }

func (y *yard) States(_ context.Context, ids []string) (map[string]string, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	out := map[string]string{}
	for _, id := range ids {
		if y.states[id] != "" {
			out[id] = y.states[id]
		}
	}
	return out, nil
}

// plant is a service on a fake clock whose groups hold the machines of a yard.
type plant struct {
	client
	t    *testing.T
	s    *asg.Service
	yard *yard
	now  time.Time
	news []asg.Change
}

func newPlant(t *testing.T, change ...func(*asg.Config)) *plant {
	t.Helper()
	p := &plant{t: t, yard: &yard{states: map[string]string{}, refuse: map[string]string{}}, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	c := asg.Config{Now: func() time.Time { return p.now }, Machines: p.yard, Notify: func(c asg.Change) { p.news = append(p.news, c) }}
	for _, f := range change {
		f(&c)
	}
	p.s = asg.With(c)
	server := httptest.NewServer(p.s)
	t.Cleanup(server.Close)
	p.client = newClient(t, server.URL, "web")
	return p
}

// tick moves the clock and ticks.
func (p *plant) tick(after time.Duration) {
	p.t.Helper()
	p.now = p.now.Add(after)
	if err := p.s.Tick(p.ctx); err != nil {
		p.t.Fatal(err)
	}
}

// must fails the test on an error.
func (p *plant) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// size makes a group of n instances and ticks once.
func (p *plant) size(n int32, change ...func(*as.CreateAutoScalingGroupInput)) {
	p.t.Helper()
	p.must(p.group(append([]func(*as.CreateAutoScalingGroupInput){func(in *as.CreateAutoScalingGroupInput) {
		in.MaxSize, in.DesiredCapacity = aws.Int32(20), &n
	}}, change...)...))
	p.tick(0)
}

func (p *plant) desired(n int32) {
	p.t.Helper()
	_, err := p.as.UpdateAutoScalingGroup(p.ctx, &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &p.name, DesiredCapacity: &n})
	p.must(err)
	p.tick(0)
}

// states lists the group's instances as ID STATE.
func (p *plant) states() []string {
	p.t.Helper()
	g, err := p.describe()
	p.must(err)
	var out []string
	for _, i := range g.Instances {
		out = append(out, *i.InstanceId+" "+string(i.LifecycleState))
	}
	return out
}

func (p *plant) expect(what string, want ...string) {
	p.t.Helper()
	if got := p.states(); !slices.Equal(got, want) {
		p.t.Fatalf("%s: the group holds %q, want %q", what, got, want)
	}
}

// activities are newest first.
func (p *plant) activities() []types.Activity {
	p.t.Helper()
	out, err := p.as.DescribeScalingActivities(p.ctx, &as.DescribeScalingActivitiesInput{AutoScalingGroupName: &p.name})
	p.must(err)
	return out.Activities
}

func TestAGroupHoldsTheMachinesItLaunched(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.yard.boots = "pending"
	p.size(2, func(in *as.CreateAutoScalingGroupInput) {
		in.AvailabilityZones = []string{"us-east-1a", "us-east-1b"}
		in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("shop"), PropagateAtLaunch: aws.Bool(true)}, {Key: aws.String("note"), Value: aws.String("x"), PropagateAtLaunch: aws.Bool(false)}}
	})
	p.expect("while they boot", "i-01 Pending", "i-02 Pending")
	if zones := []string{p.yard.started[0].Zone, p.yard.started[1].Zone}; !slices.Equal(slices.Sorted(slices.Values(zones)), []string{"us-east-1a", "us-east-1b"}) {
		t.Errorf("launched in %q", zones)
	}
	if l := p.yard.started[0]; l.TemplateName != "web" || l.Version != "1" || l.Token == "" || !maps.Equal(l.Tags, map[string]string{"aws:autoscaling:groupName": "web", "team": "shop"}) {
		t.Errorf("launched with %+v", l)
	}
	p.must(p.yard.set("running", "i-01", "i-02"))
	p.tick(time.Second)
	p.expect("once they run", "i-01 InService", "i-02 InService")
	p.desired(0)
	p.expect("after the end")
	a := p.activities()
	if len(a) != 4 || a[0].StatusCode != "Successful" || !strings.Contains(*a[0].Cause, "shrinking the capacity from") || !strings.Contains(*a[3].Cause, "increasing the capacity from 0 to 2") {
		t.Errorf("activities are %d: %+v", len(a), a)
	}
	if last := p.news[len(p.news)-1]; last.State != "Terminating" || last.Target != "Terminated" || last.Group != "web" {
		t.Errorf("the last news is %+v", last)
	}
}

func TestAFailedLaunchSaysWhyAndIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.yard.refuse["all"] = "InsufficientInstanceCapacity"
	p.size(1)
	if a := p.activities(); len(a) != 1 || a[0].StatusCode != "Failed" || !strings.HasPrefix(*a[0].StatusMessage, "InsufficientInstanceCapacity - ") || a[0].EndTime == nil {
		t.Fatalf("activities are %+v", a)
	}
	delete(p.yard.refuse, "all")
	p.tick(time.Second)
	p.expect("at once")
	p.tick(time.Minute)
	p.expect("after the pause", "i-01 InService")
}

// health makes load balancers find ill what *ill names.
func health(ill *[]string) func(*asg.Config) {
	return func(c *asg.Config) {
		c.Health = func(context.Context, asg.Balanced) ([]string, error) { return *ill, nil }
	}
}

// A subnet may be younger than the service.
func TestASubnetThatWasMadeSinceIsFound(t *testing.T) {
	t.Parallel()
	p := newPlant(t, func(c *asg.Config) {
		c.Subnets = map[string]string{"subnet-1": "us-east-1a"}
		c.Subnet = func(_ context.Context, id string) string { return map[string]string{"subnet-2": "us-east-1b"}[id] }
	})
	in := func(subnet string) error {
		return p.group(func(in *as.CreateAutoScalingGroupInput) { in.AvailabilityZones, in.VPCZoneIdentifier = nil, &subnet })
	}
	if err := in("subnet-3"); err == nil || !strings.Contains(err.Error(), "'subnet-3' does not exist") {
		t.Errorf("a subnet that nobody knows: %v", err)
	}
	p.name = "later"
	if err := in("subnet-2"); err != nil {
		t.Error(err)
	}
	if g, err := p.describe(); err != nil || !slices.Equal(g.AvailabilityZones, []string{"us-east-1b"}) {
		t.Errorf("zones %v, %v", g.AvailabilityZones, err)
	}
}
