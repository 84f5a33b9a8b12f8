//go:build e2e

package e2e

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/test/story"
)

// provedIn is the group that images are proven for.
const provedIn = "proved-in"

// ownSubnet makes a subnet of the default VPC that is nobody's default, until
// the test ends.
func ownSubnet(t *testing.T, cidr string) (id string) {
	t.Helper()
	ctx := deadline(t, 30*time.Second)
	vpcs, err := s.world.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filter("is-default", "true")})
	if err != nil || len(vpcs.Vpcs) != 1 {
		t.Fatalf("no default VPC: %v", err)
	}
	made, err := s.world.EC2.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: vpcs.Vpcs[0].VpcId, CidrBlock: &cidr, AvailabilityZone: aws.String("us-east-1b")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.world.EC2.DeleteSubnet(s.ctx, &ec2.DeleteSubnetInput{SubnetId: made.Subnet.SubnetId}); err != nil {
			t.Error(err)
		}
	})
	return aws.ToString(made.Subnet.SubnetId)
}

// groupIn makes a group that launches into a subnet, and has one instance there.
func (x *scaling) groupIn(subnet, image string) (member string) {
	x.t.Helper()
	x.removed(provedIn)
	ctx, name := deadline(x.t, 2*time.Minute), aws.String(provedIn)
	_, err := s.world.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: name, LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
		ImageId: &image, InstanceType: ec2types.InstanceTypeT3Small}})
	if err == nil {
		_, err = x.groups.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: name, MinSize: aws.Int32(1), MaxSize: aws.Int32(1),
			VPCZoneIdentifier: &subnet, LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateName: name, Version: aws.String("$Default")}})
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return aws.ToString(x.serving(ctx, provedIn, 1)[0].InstanceId)
}

// watchProver delivers the instance that a bake launches from its own image, as
// EC2 shows it while it lives.
func watchProver(ctx context.Context, base string) <-chan ec2types.Instance {
	seen := make(chan ec2types.Instance, 1)
	go func() {
		defer close(seen)
		_ = story.Until(ctx, 100*time.Millisecond, func() error {
			out, err := s.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
				Filters: append(filter("tag-key", "bakehouse:bake-id"), filter("instance-state-name", "running")...)})
			if err != nil {
				return err
			}
			for _, r := range out.Reservations {
				for _, i := range r.Instances {
					if aws.ToString(i.ImageId) != base {
						seen <- i
						return nil
					}
				}
			}
			return errors.New("no proving instance yet")
		}) // without one, the channel is closed empty
	}()
	return seen
}

// TestAnImageIsProvenWhereItsGroupLaunches proves an image on an instance in
// the one subnet of a group, which is not where the builder runs.
func TestAnImageIsProvenWhereItsGroupLaunches(t *testing.T) {
	x := newScaling(t)
	const cidr = "172.31.240.0/20"
	subnet := ownSubnet(t, cidr)
	member := x.groupIn(subnet, s.told.report.ImageID)
	before, err := s.world.Census(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen := watchProver(deadline(t, 3*time.Minute), theBase(t))
	file := filepath.Join(t.TempDir(), "report.json")
	tool, calls := ownCalls(t, proving(t, file, "  group: "+provedIn+"\n"))
	o := runTool(t, tool)
	var r struct {
		report
		Proof struct {
			InstanceID string `json:"instance_id"`
			Result     string `json:"result"`
		} `json:"proof"`
	}
	if err := readJSON(file, &r); o.Code != 0 || err != nil {
		t.Fatalf("exit %d, %v:\n%s", o.Code, err, tail(o.Stderr))
	}
	t.Cleanup(func() { removeImages(t, r.BakeID) })
	prover := <-seen
	id, addr := aws.ToString(prover.InstanceId), aws.ToString(prover.PrivateIpAddress)
	if r.Proof.Result != "proven" || r.Proof.InstanceID != id || aws.ToString(prover.ImageId) != r.ImageID || id == member {
		t.Errorf("the report says %+v; EC2 showed %s of %s", r.Proof, id, aws.ToString(prover.ImageId))
	}
	if at, err := netip.ParseAddr(addr); err != nil || aws.ToString(prover.SubnetId) != subnet || !netip.MustParsePrefix(cidr).Contains(at) {
		t.Errorf("the proving instance has %s in %s, want one of %s in %s", addr, aws.ToString(prover.SubnetId), cidr, subnet)
	}
	launches := callsTo(calls(), "RunInstances")
	if len(launches) != 2 || asksFor(launches[0].Params, subnet) || !asksFor(launches[1].Params, subnet) {
		t.Errorf("builder and prover were launched as %+v", launches)
	}
	if n := len(callsTo(calls(), "DescribeAutoScalingGroups")); n != 1 {
		t.Errorf("the group was asked for %d times", n)
	}
	if now, err := x.group(s.ctx, provedIn); err != nil || len(now.Instances) != 1 || aws.ToString(now.Instances[0].InstanceId) != member {
		t.Errorf("the proof changed the group: %+v, %v", now, err)
	}
	onlyImage(t, before, r.ImageID)
}

// asksFor says whether a launch names a subnet.
func asksFor(params map[string]string, subnet string) bool {
	for _, v := range params {
		if v == subnet {
			return true
		}
	}
	return false
}

// TestAGroupThatIsNotThereIsNoPlaceForAProof is refused before anything is made.
func TestAGroupThatIsNotThereIsNoPlaceForAProof(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	tool, calls := ownCalls(t, without(s.world.BakeTool("harmless", "--prove-group", "no-such-group", "--prove-instance-profile", "web"), "--no-prove"))
	o := runTool(t, tool)
	if o.Code != 2 || !strings.Contains(o.Stderr, `looking for Auto Scaling group "no-such-group": there is none`) || !strings.Contains(o.Stderr, "--prove-group (prove.group)") {
		t.Errorf("exit %d, want 2:\n%s", o.Code, o.Stderr)
	}
	for _, c := range calls() {
		if strings.HasPrefix(c.Action, "Create") || c.Action == "RunInstances" {
			t.Errorf("%s was called", c.Action)
		}
	}
	unchanged(t, before)
}
