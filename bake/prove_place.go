package bake

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// ProvePlace is where the instance that proves an image runs, when it is not
// where the builder ran.
type ProvePlace struct {
	Group      string      `json:"group,omitempty"` // the Auto Scaling group whose subnets these are
	VPC        string      `json:"vpc"`
	Address    string      `json:"address,omitempty"` // public or private; empty for ssm
	Placements []Placement `json:"placements"`        // the best first
}

// String names group and subnets.
func (p ProvePlace) String() string {
	out := placementText(p.Placements)
	if p.Group != "" {
		out = "the subnets of Auto Scaling group " + p.Group + ": " + out
	}
	return out
}

// checkPlace refuses places that cannot be right.
func (in ProveInputs) checkPlace() error {
	if in.Group != "" && len(in.Subnets) > 0 {
		return fault.Newf(fault.Usage, "drop either --prove-subnet (prove.subnet) or --prove-group (prove.group)",
			"checking inputs: the proving instance cannot run both in given subnets and in those of a group")
	}
	if in.Group != "" && !regexp.MustCompile(`^[^\x00-\x1f:]{1,255}$`).MatchString(in.Group) {
		return fault.Newf(fault.Usage, "give the group's name, up to 255 characters without a colon", "checking inputs: --prove-group %q is no name of an Auto Scaling group", in.Group)
	}
	for _, s := range in.Subnets {
		if !isSubnet(s) {
			return fault.Newf(fault.Usage, "write subnet-… or tag:KEY=VALUE", "checking inputs: --prove-subnet %q has an unknown form", s)
		}
	}
	return nil
}

// isSubnet says whether s can name subnets.
func isSubnet(s string) bool {
	return regexp.MustCompile(`^(subnet-[0-9a-z]+|tag:[^=]+=.*)$`).MatchString(s)
}

// resolveProof finds the subnets that the image is to be proven in; nil stands
// for the place where the builder ran.
func (w World) resolveProof(ctx context.Context, in Inputs, builder network) (*ProvePlace, error) {
	asked, use := in.Prove.Subnets, subnetUse{"the proving instance's", "--prove-subnet"}
	if in.Prove.Skip || in.Prove.Group == "" && len(asked) == 0 {
		return nil, nil
	}
	if in.Prove.Group != "" {
		var err error
		use.flag = "--prove-group"
		if asked, err = w.groupSubnets(ctx, in.Prove.Group); err != nil {
			return nil, err
		}
	}
	found, err := w.subnets(ctx, asked, use)
	if err != nil {
		return nil, err
	}
	at := &ProvePlace{Group: in.Prove.Group, VPC: aws.ToString(found[0].VpcId), Placements: placements(in.InstanceTypes, places(asked, found), false)}
	if in.Transport == TransportSSM {
		return at, nil
	}
	if at.VPC != builder.vpc {
		return nil, fault.Newf(fault.Usage, "bake in that VPC, too (--subnet), or use --transport ssm, which needs no security group",
			"looking for the proving instance's subnets: they are in %s, and the security group that SSH comes through is in %s", at.VPC, builder.vpc)
	}
	at.Address = builder.address
	if at.Address == AddressPublic && in.Address == AddressAuto && !allPublic(found) {
		return nil, fault.Newf(fault.Usage, "run where private addresses can be reached and say --address private, or use --transport ssm",
			"looking for the proving instance's subnets: the builder is reached by its public address, and %s gives none", strings.Join(asked, ", "))
	}
	return at, nil
}

// groupSubnets are the subnets that an Auto Scaling group launches into: those
// that it names, or, of a group that names zones alone, the default ones there
// (AvailabilityZones of CreateAutoScalingGroup).
func (w World) groupSubnets(ctx context.Context, name string) ([]string, error) {
	out, err := w.Groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil {
		return nil, awsfault.New(actGroups, "looking for Auto Scaling group "+name, err)
	}
	if len(out.AutoScalingGroups) == 0 {
		return nil, fault.Newf(fault.Usage, "correct --prove-group (prove.group): it must be in this region and account", "looking for Auto Scaling group %q: there is none", name)
	}
	group := out.AutoScalingGroups[0]
	subnets := strings.FieldsFunc(aws.ToString(group.VPCZoneIdentifier), func(r rune) bool { return r == ',' || r == ' ' })
	if len(subnets) == 0 {
		for _, zone := range group.AvailabilityZones {
			subnets = append(subnets, inZone+zone)
		}
	}
	if len(subnets) == 0 {
		return nil, fault.Newf(fault.Usage, "use --prove-subnet", "looking at Auto Scaling group %s: it names neither subnets nor zones", name)
	}
	return subnets, nil
}

// provePlacements lists where to launch the prover, the best first. A proof
// that spot interrupts proves nothing, so it is on-demand.
func (s *Session) provePlacements() []Placement {
	if at := s.plan.ProveAt; at != nil {
		return slices.Clone(at.Placements)
	}
	where := s.plan.Launch.Placement
	where.Market = MarketOnDemand
	return []Placement{where}
}

// ProveChannel is the channel that the proof pulls; empty: the image's.
func (p Plan) ProveChannel() string {
	if p.inputs.Prove.Skip {
		return ""
	}
	return p.inputs.Prove.Channel
}
