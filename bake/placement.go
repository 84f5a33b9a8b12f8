package bake

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The values of Placement.Market.
const (
	MarketOnDemand = "on-demand"
	MarketSpot     = "spot"
)

// Placement is one way to launch the builder.
type Placement struct {
	Market       string `json:"market"` // on-demand or spot
	InstanceType string `json:"instance_type"`
	Subnet       string `json:"subnet,omitempty"` // empty: EC2 picks a default one
	Zone         string `json:"zone,omitempty"`
}

// Attempt is a placement that AWS had no capacity for, and its words.
type Attempt struct {
	Placement
	Reason string `json:"reason"`
}

// String reads like "t3.small (spot) in subnet-1 (us-east-1a)".
func (p Placement) String() string {
	out := p.InstanceType
	if p.Market == MarketSpot {
		out += " (spot)"
	}
	if p.Subnet == "" {
		return out + " in a default subnet"
	}
	return out + " in " + p.Subnet + " (" + p.Zone + ")"
}

func placementText(all []Placement) string {
	var out []string
	for _, p := range all {
		out = append(out, p.String())
	}
	return strings.Join(out, ", ")
}

// place is a subnet that the builder may go to.
type place struct{ subnet, zone string }

// places orders the subnets to try. When none was asked for, EC2 is left to
// pick a default subnet first; it does not try the others itself.
func places(asked []string, found []types.Subnet) []place {
	var out []place
	if len(asked) == 0 {
		out = append(out, place{})
	}
	for _, s := range found {
		out = append(out, place{aws.ToString(s.SubnetId), aws.ToString(s.AvailabilityZone)})
	}
	return out
}

// placements lists all ways to launch, the best first: spot before on-demand,
// an earlier type in every subnet before a later one.
func placements(instanceTypes []string, in []place, spot bool) []Placement {
	markets := []string{MarketOnDemand}
	if spot {
		markets = []string{MarketSpot, MarketOnDemand}
	}
	var out []Placement
	for _, market := range markets {
		for _, t := range instanceTypes {
			for _, p := range in {
				out = append(out, Placement{market, t, p.subnet, p.zone})
			}
		}
	}
	return out
}

// remaining drops from the placements the one that failed, and those that will
// fail for the same reason (docs.aws.amazon.com/AWSEC2, "Error codes"): a full
// subnet is full for every type, a limit of the account holds in every subnet.
func remaining(all []Placement, failed Placement, code string) []Placement {
	return slices.DeleteFunc(slices.Clone(all), func(p Placement) bool {
		switch code {
		case "InsufficientFreeAddressesInSubnet":
			return p.Subnet == failed.Subnet
		case "MaxSpotInstanceCountExceeded":
			return p.Market == failed.Market
		case "VcpuLimitExceeded", "InstanceLimitExceeded":
			return p.Market == failed.Market && p.InstanceType == failed.InstanceType
		}
		return p == failed
	})
}
