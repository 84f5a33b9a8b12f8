package bake

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/fault"
)

// fakeGroups is group name → VPCZoneIdentifier, or zones after "in ".
type fakeGroups map[string]string

func (g fakeGroups) DescribeAutoScalingGroups(_ context.Context, in *autoscaling.DescribeAutoScalingGroupsInput, _ ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
	out := &autoscaling.DescribeAutoScalingGroupsOutput{}
	if subnets, ok := g[in.AutoScalingGroupNames[0]]; ok {
		out.AutoScalingGroups = []types.AutoScalingGroup{{VPCZoneIdentifier: aws.String(subnets)}}
		if zones, ok := strings.CutPrefix(subnets, "in "); ok {
			out.AutoScalingGroups[0] = types.AutoScalingGroup{AvailabilityZones: strings.Fields(zones)}
		}
	}
	return out, nil
}

func TestAnImageIsProvenInTheGroupsSubnets(t *testing.T) {
	t.Parallel()
	for name, wish := range map[string]func(*ProveInputs){
		"group":  func(in *ProveInputs) { in.Group = "web" },
		"zones":  func(in *ProveInputs) { in.Group = "zoned" },
		"id":     func(in *ProveInputs) { in.Subnets = []string{"subnet-2"} },
		"by tag": func(in *ProveInputs) { in.Subnets = []string{"tag:tier=build"} },
	} {
		f := newProving(t, up)
		f.Groups = fakeGroups{"web": "subnet-2,subnet-1", "zoned": "in b a"}
		wish(&f.in.Prove)
		p := f.plan(t)
		if p.ProveAt == nil || p.ProveAt.Placements[0].Subnet != map[string]string{"by tag": "subnet-1"}[name] && p.ProveAt.Placements[0].Subnet != "subnet-2" ||
			!strings.Contains(p.Text(), "proof in") {
			t.Fatalf("%s: the plan says %+v", name, p.ProveAt)
		}
		if _, err := f.Bake(t.Context(), p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, want := f.ec2.instances[1].params.Get("SubnetId"), p.ProveAt.Placements[0].Subnet; got != want {
			t.Errorf("%s: the proving instance is in %q, want %q", name, got, want)
		}
		if got := f.ec2.instances[0].params.Get("SubnetId"); got != "" {
			t.Errorf("%s: the builder moved to %s", name, got)
		}
	}
}

func TestAProofWalksOnWhenASubnetIsFull(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	f.in.Prove.Subnets = []string{"subnet-2", "subnet-1"}
	f.ec2.deny = func(action string, p url.Values) string {
		if action == "RunInstances" && p.Get("SubnetId") == "subnet-2" {
			return "InsufficientInstanceCapacity"
		}
		return ""
	}
	if _, err := f.Bake(t.Context(), f.plan(t)); err != nil {
		t.Fatal(err)
	}
	if last := f.ec2.instances[len(f.ec2.instances)-1]; last.params.Get("SubnetId") != "subnet-1" {
		t.Errorf("proven in %q", last.params.Get("SubnetId"))
	}
}

func TestPlacesOfProofsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*fakes){
		"both in given subnets":          func(f *fakes) { f.in.Prove.Group, f.in.Prove.Subnets = "web", []string{"subnet-1"} },
		`--prove-subnet "1"`:             func(f *fakes) { f.in.Prove.Subnets = []string{"1"} },
		"is no name of an Auto Scaling":  func(f *fakes) { f.in.Prove.Group = "a:b" },
		`group "nosuch": there is none`:  func(f *fakes) { f.in.Prove.Group = "nosuch" },
		"neither subnets nor zones":      func(f *fakes) { f.in.Prove.Group = "empty" },
		"zone z has no default subnet":   func(f *fakes) { f.in.Prove.Group = "far" },
		"there is no subnet-9":           func(f *fakes) { f.in.Prove.Subnets = []string{"subnet-9"} },
		"SSH comes through is in vpc-1":  func(f *fakes) { f.in.Prove.Subnets = []string{"subnet-3"} },
		"subnet-1 is in vpc-1, subnet-3": func(f *fakes) { f.in.Prove.Subnets = []string{"subnet-1", "subnet-3"} },
		"or a channel or subnet for":     func(f *fakes) { f.in.Prove.Skip, f.in.Prove.Channel, f.in.Prove.Group = true, "", "web" },
	} {
		f := newProving(t, up)
		f.Groups = fakeGroups{"web": "subnet-1", "empty": "", "far": "in a z"}
		spoil(f)
		refusedWith(t, f, fault.Usage, want)
	}
	ssm := newProving(t, up)
	ssm.in.Transport, ssm.in.InstanceProfile, ssm.in.Prove.Subnets = TransportSSM, "builder", []string{"subnet-3"}
	if p := ssm.plan(t); p.ProveAt.VPC != "vpc-2" || p.ProveAt.Address != "" {
		t.Errorf("SSM needs no group, so another VPC will do: %+v", p.ProveAt)
	}
}
