package autoscale

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/test/asg"
)

// requests are spot requests of which some are under notice, and of which EC2
// recommends to replace some.
type requests struct {
	noticed, recommended []string
	early                bool
}

func (r *requests) DescribeSpotInstanceRequests(_ context.Context, in *ec2.DescribeSpotInstanceRequestsInput, _ ...func(*ec2.Options)) (*ec2.DescribeSpotInstanceRequestsOutput, error) {
	out := &ec2.DescribeSpotInstanceRequestsOutput{}
	for _, id := range in.Filters[0].Values {
		if slices.Contains(r.noticed, id) {
			out.SpotInstanceRequests = append(out.SpotInstanceRequests, ec2types.SpotInstanceRequest{InstanceId: &id,
				Status: &ec2types.SpotInstanceStatus{Code: aws.String("marked-for-termination")}})
		}
	}
	return out, nil
}

// balance looks every 15 seconds for a while, beside the group's own alarms.
func (c *cloud) balance(r *requests, looks int, each func(look int, p BalancePlan)) {
	c.t.Helper()
	pairs, err := BalancePairs(mustParse(c.t, liveBackstop))
	if err != nil {
		c.t.Fatal(err)
	}
	w := BalanceWorld{Groups: c.as, Spot: r, Now: func() time.Time { return c.now }, AtRisk: func(id string) bool { return slices.Contains(r.recommended, id) }}
	for i := range looks {
		seen, err := BalanceObserve(context.Background(), w, pairs)
		if err != nil {
			c.t.Fatal(err)
		}
		p := PlanBalance(seen, BalanceRule{Hold: BalanceHold, Grace: BalanceGrace, Early: r.early})
		if _, err := p.Apply(context.Background(), w); err != nil {
			c.t.Fatal(err)
		}
		each(i+1, p)
		c.now = c.now.Add(15 * time.Second)
	}
}

func TestBalanceOnTheService(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(liveBackstop)
	c.minutes(5, nil)
	r := &requests{}
	c.balance(r, 8, func(look int, p BalancePlan) {
		if !p.Empty() {
			t.Errorf("look %d with all the spot there is: %+v", look, p.Changes)
		}
	})
	// The notice comes for all ten; the next look makes up for them.
	for _, i := range c.observe(Spec{Groups: map[string]Group{"web": {}}}).Groups["web"].Instances {
		r.noticed = append(r.noticed, i.ID)
	}
	sizes, turns := []int{2}, 0
	follow := func(_ int, p BalancePlan) {
		if to := p.Changes[0].To; to != sizes[len(sizes)-1] {
			sizes, turns = append(sizes, to), turns+1
		}
	}
	c.balance(r, 1, follow)
	if desired, _ := c.sizes("web-backstop"); desired != 12 {
		t.Errorf("one look after the notice the backstop wants %d, want 12", desired)
	}
	pools := []asg.Pool{{Zone: "us-east-1a", Type: "t3.small", Spot: true}, {Zone: "us-east-1b", Type: "t3.small", Spot: true}}
	c.balance(r, 7, follow)
	for _, p := range pools {
		c.aws.Lose(p)
	}
	c.balance(r, 80, follow)
	if _, serving := c.sizes("web-backstop"); serving != 12 || turns != 1 {
		t.Errorf("without spot %d units serve after %d changes: %v", serving, turns, sizes)
	}
	for _, p := range pools {
		c.aws.Offer(p, asg.Offer{Capacity: 100})
	}
	c.balance(r, 80, follow)
	if desired, _ := c.sizes("web-backstop"); desired != 2 || sizes[len(sizes)-1] != 2 || turns > 3 {
		t.Errorf("twenty minutes after spot is back the backstop wants %d after %v", desired, sizes)
	}
	if p, _ := c.plan(mustParse(t, liveBackstop)); !p.Empty() {
		t.Errorf("balancing leaves something to plan: %s", summary(p))
	}
}

// TestEarlyServesBeforeTheLoss: EC2 recommends to replace all spot instances,
// and no pool has any to replace them with. When they are lost the backstop
// serves already. Where spot replaces the one at risk, it has nothing to do.
func TestEarlyServesBeforeTheLoss(t *testing.T) {
	t.Parallel()
	pools := []asg.Pool{{Zone: "us-east-1a", Type: "t3.small", Spot: true}, {Zone: "us-east-1b", Type: "t3.small", Spot: true}}
	for _, full := range []bool{true, false} {
		c := newCloud(t)
		c.apply(liveBackstop)
		c.minutes(5, nil)
		r := &requests{early: true}
		for _, i := range c.observe(Spec{Groups: map[string]Group{"web": {}}}).Groups["web"].Instances {
			r.recommended = append(r.recommended, i.ID)
		}
		if full {
			c.aws.Offer(pools[0], asg.Offer{Capacity: 5})
			c.aws.Offer(pools[1], asg.Offer{Capacity: 5})
		} else { // Auto Scaling replaces a tenth of the group at a time
			r.recommended = r.recommended[:1]
		}
		c.aws.Recommend(r.recommended...)
		most := 0
		c.balance(r, 8, func(_ int, p BalancePlan) { most = max(most, p.Changes[0].To) })
		_, spot := c.sizes("web")
		_, backstop := c.sizes("web-backstop")
		if want := map[bool]int{true: 12, false: 2}[full]; backstop != want || most != want || spot != 10 {
			t.Errorf("full %v: %d on spot, and %d of the backstop serve (at most %d were wanted); want 10 and %d", full, spot, backstop, most, want)
		}
		if !full {
			continue
		}
		for _, p := range pools {
			c.aws.Lose(p)
		}
		c.balance(r, 4, func(int, BalancePlan) {
			if _, serving := c.sizes("web-backstop"); serving != 12 {
				t.Errorf("after the loss %d serve, want all 12", serving)
			}
		})
	}
}
