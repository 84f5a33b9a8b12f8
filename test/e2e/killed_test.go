//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// TestABuilderWhoseBakeWasKilledDestroysItself kills bake-ami where it cannot
// undo anything, looks at what it had made, and waits for the timer inside
// the builder.
func TestABuilderWhoseBakeWasKilledDestroysItself(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	k := &signaller{step: "converge", signal: syscall.SIGKILL}
	tool := s.world.BakeTool("harmless", "--output", "json", "--timeout", "1m", "--expire-after", "1m")
	tool.Live, tool.Started = k, k.started
	start := time.Now()
	if o := runTool(t, tool); !k.sent {
		t.Fatalf("the bake ended before it converged, with exit code %d:\n%s", o.Code, tail(o.Stderr))
	}
	inst := onlyBuilder(t)
	t.Cleanup(func() { sweep(t, before, inst) })
	checkBuilder(t, inst)
	id := aws.ToString(inst.InstanceId)
	err = story.Until(deadline(t, 90*time.Second), 500*time.Millisecond, func() error {
		out, err := s.world.EC2.DescribeInstances(s.ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			return err
		}
		if state := out.Reservations[0].Instances[0].State.Name; state != types.InstanceStateNameTerminated {
			return fmt.Errorf("the builder is %s", state)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if early := time.Since(start) < 55*time.Second; early {
		t.Error("the builder was gone before its time: something else ended it")
	}
}

// onlyBuilder returns the one running builder.
func onlyBuilder(t *testing.T) types.Instance {
	t.Helper()
	id, err := runningBuilder(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.world.EC2.DescribeInstances(deadline(t, 10*time.Second), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Reservations[0].Instances[0]
}

// checkBuilder holds a builder against what a bake promises of it.
func checkBuilder(t *testing.T, inst types.Instance) {
	t.Helper()
	if inst.KeyName != nil {
		t.Errorf("the builder has an EC2 key pair: %s", *inst.KeyName)
	}
	if inst.MetadataOptions.HttpTokens != types.HttpTokensStateRequired {
		t.Errorf("IMDSv2 is %s", inst.MetadataOptions.HttpTokens)
	}
	tags := map[string]string{}
	for _, tag := range inst.Tags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	for _, key := range []string{"bakehouse:bake-id", "bakehouse:role", "bakehouse:owner", "bakehouse:expires-at"} {
		if tags[key] == "" {
			t.Errorf("the builder has no tag %s: %v", key, tags)
		}
	}
	out, err := s.world.EC2.DescribeSecurityGroups(deadline(t, 10*time.Second), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{aws.ToString(inst.SecurityGroups[0].GroupId)}})
	if err != nil {
		t.Fatal(err)
	}
	rules := out.SecurityGroups[0].IpPermissions
	if len(rules) != 1 || aws.ToInt32(rules[0].FromPort) != 22 || aws.ToInt32(rules[0].ToPort) != 22 ||
		len(rules[0].IpRanges) != 1 || aws.ToString(rules[0].IpRanges[0].CidrIp) != "172.31.0.1/32" || len(rules[0].Ipv6Ranges) != 0 {
		t.Errorf("the security group admits more than the caller's SSH: %+v", rules)
	}
}

// sweep lets bake-ami remove what the killed bake left, journal included.
func sweep(t *testing.T, before story.Census, inst types.Instance) {
	t.Helper()
	ctx, cancel := ending(time.Minute)
	defer cancel()
	if err := s.world.Terminate(ctx, aws.ToString(inst.InstanceId)); err != nil {
		t.Error(err)
	}
	state := filepath.Join(s.world.Dir, "state")
	o := runTool(t, story.Tool{Name: "bake-ami", Args: []string{"sweep", "--config", s.world.Config, "--state-dir", state}})
	if o.Code != 0 {
		t.Errorf("the sweep ended with exit code %d:\n%s", o.Code, tail(o.Stderr))
	}
	unchanged(t, before)
	if left := journals(t); len(left) > 0 {
		t.Errorf("journals are left: %v", left)
	}
}

// journals lists what stands in the state folder of this suite's bakes.
func journals(t *testing.T) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(s.world.Dir, "state", "bakes", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}
