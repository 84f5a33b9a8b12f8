package asg_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/test/asg"
)

// mixed makes a group of types with a distribution.
func mixed(d types.InstancesDistribution, kinds ...string) func(*as.CreateAutoScalingGroupInput) {
	return func(in *as.CreateAutoScalingGroupInput) {
		var all []types.LaunchTemplateOverrides
		for _, k := range kinds {
			kind, weight, weighted := strings.Cut(k, "=")
			o := types.LaunchTemplateOverrides{InstanceType: &kind}
			if weighted {
				o.WeightedCapacity = &weight
			}
			all = append(all, o)
		}
		in.AvailabilityZones = []string{"us-east-1a", "us-east-1b"}
		in.MixedInstancesPolicy = &types.MixedInstancesPolicy{InstancesDistribution: &d, LaunchTemplate: &types.LaunchTemplate{LaunchTemplateSpecification: in.LaunchTemplate, Overrides: all}}
		in.LaunchTemplate = nil
	}
}

// bought counts what was launched, as KIND PURCHASE.
func (p *plant) bought() map[string]int {
	out := map[string]int{}
	for _, l := range p.yard.started {
		purchase := "on-demand"
		if l.Spot {
			purchase = "spot"
		}
		out[l.Type+" "+purchase]++
	}
	return out
}

func TestAMixedGroupBuysItsShareOnDemand(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(7, mixed(types.InstancesDistribution{OnDemandBaseCapacity: aws.Int32(1), OnDemandPercentageAboveBaseCapacity: aws.Int32(50), SpotAllocationStrategy: aws.String("capacity-optimized")}, "m5.large", "c5.large"))
	if got := p.bought(); got["m5.large on-demand"] != 4 || got["m5.large spot"] != 3 {
		t.Errorf("bought %v", got)
	}
	p.desired(3)
	spot := 0
	for _, s := range p.states() {
		id := strings.Fields(s)[0]
		if p.yard.started[slices.Index([]string{"i-01", "i-02", "i-03", "i-04", "i-05", "i-06", "i-07"}, id)].Spot {
			spot++
		}
	}
	if spot != 1 {
		t.Errorf("%d of 3 are spot, want 1", spot)
	}
}

func TestASpotStrategyChoosesThePool(t *testing.T) {
	t.Parallel()
	for strategy, want := range map[string]string{"lowest-price": "cheap", "capacity-optimized": "roomy", "price-capacity-optimized": "fair", "capacity-optimized-prioritized": "first"} {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t)
			for kind, o := range map[string]asg.Offer{"first": {Price: 8, Capacity: 50}, "cheap": {Price: 1, Capacity: 5}, "roomy": {Price: 9, Capacity: 100}, "fair": {Price: 2, Capacity: 90}} {
				for _, zone := range []string{"us-east-1a", "us-east-1b"} {
					p.s.Offer(asg.Pool{Zone: zone, Type: kind, Spot: true}, o)
				}
			}
			p.size(1, mixed(types.InstancesDistribution{OnDemandPercentageAboveBaseCapacity: aws.Int32(0), SpotAllocationStrategy: &strategy}, "first", "cheap", "roomy", "fair"))
			if got := p.bought(); got[want+" spot"] != 1 {
				t.Errorf("bought %v, want %s", got, want)
			}
		})
	}
}

func TestALostPoolIsReplacedByOthersAndByNoneWithAReason(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(2, mixed(types.InstancesDistribution{OnDemandPercentageAboveBaseCapacity: aws.Int32(0), SpotAllocationStrategy: aws.String("capacity-optimized"), SpotMaxPrice: aws.String("0.5")}, "m5.large", "c5.large"))
	lost := p.s.Lose(asg.Pool{Zone: "us-east-1a", Type: "m5.large", Spot: true})
	if !slices.Equal(lost, []string{"i-01"}) {
		t.Fatalf("lost %q", lost)
	}
	p.must(p.yard.set("terminated", lost...))
	p.tick(time.Second)
	p.expect("with another type", "i-02 InService", "i-03 InService")
	if l := p.yard.started[2]; l.Zone != "us-east-1a" || l.Type != "c5.large" {
		t.Errorf("replaced by %+v", l)
	}
	for _, zone := range []string{"us-east-1a", "us-east-1b"} {
		for _, kind := range []string{"m5.large", "c5.large"} {
			p.s.Offer(asg.Pool{Zone: zone, Type: kind, Spot: true}, asg.Offer{Price: 1, Capacity: 10})
		}
	}
	p.desired(3)
	if a := p.last(); a.StatusCode != "Failed" || !strings.HasPrefix(*a.StatusMessage, "SpotMaxPriceTooLow - ") {
		t.Errorf("the activity is %s, %s", a.StatusCode, aws.ToString(a.StatusMessage))
	}
}

func TestARebalanceRecommendationReplacesBeforeTheInterruption(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1, mixed(types.InstancesDistribution{OnDemandPercentageAboveBaseCapacity: aws.Int32(0)}, "m5.large"), func(in *as.CreateAutoScalingGroupInput) { in.CapacityRebalance = aws.Bool(true) })
	p.yard.boots = "pending"
	p.s.Recommend("i-01", "i-unknown")
	p.tick(0)
	p.expect("while the new one boots", "i-01 InService", "i-02 Pending")
	p.must(p.yard.set("running", "i-02"))
	p.tick(time.Second)
	p.expect("when it serves", "i-02 InService")
	if a := p.last(); !strings.Contains(*a.Cause, "rebalance recommendation") {
		t.Errorf("the cause is %q", *a.Cause)
	}
}

func TestWeightsCountTowardsTheCapacity(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(7, mixed(types.InstancesDistribution{}, "m5.xlarge=2"))
	g, err := p.describe()
	if err != nil || len(g.Instances) != 4 || *g.Instances[0].WeightedCapacity != "2" {
		t.Fatalf("%d instances, %v", len(g.Instances), err)
	}
	p.desired(5)
	if n := len(p.states()); n != 3 {
		t.Errorf("%d instances for 5 units of two, want 3: %q", n, p.states())
	}
}

func TestAZoneWithoutCapacityIsLeftForTheOthers(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.yard.refuse["us-east-1b"] = "InsufficientInstanceCapacity"
	p.size(4, func(in *as.CreateAutoScalingGroupInput) { in.AvailabilityZones = []string{"us-east-1a", "us-east-1b"} })
	p.expect("in one zone", "i-01 InService", "i-02 InService", "i-03 InService", "i-04 InService")
	delete(p.yard.refuse, "us-east-1b")
	p.tick(10 * time.Minute)
	zones := map[string]int{}
	g, err := p.describe()
	p.must(err)
	for _, i := range g.Instances {
		zones[*i.AvailabilityZone]++
	}
	if fmt.Sprint(zones) != "map[us-east-1a:2 us-east-1b:2]" {
		t.Errorf("after rebalancing: %v", zones)
	}
}
