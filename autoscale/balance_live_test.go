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

// requests are spot requests of which some are under notice.
type requests struct{ noticed []string }

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
	w := BalanceWorld{Groups: c.as, Spot: r, Now: func() time.Time { return c.now }}
	for i := range looks {
		seen, err := BalanceObserve(context.Background(), w, pairs)
		if err != nil {
			c.t.Fatal(err)
		}
		p := PlanBalance(seen, BalanceRule{Hold: BalanceHold, Grace: BalanceGrace})
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
