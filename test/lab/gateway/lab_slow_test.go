//go:build lab

package gateway_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// TestEC2TakesItsTime holds the rules that make EC2 slow against the real SDK.
func TestEC2TakesItsTime(t *testing.T) {
	t.Parallel()
	upstream := startMoto(t)
	for name, test := range map[string]func(*bench){
		"new ids are unknown for a while":    testNewIDsAreUnknown,
		"images stay pending":                testImagesStayPending,
		"every second call is throttled":     testThrottlingStorm,
		"a filter finds nothing that is new": testFiltersFindNothingNew,
	} {
		t.Run(name, func(t *testing.T) { test(newBench(t, upstream)) })
	}
}

func testNewIDsAreUnknown(b *bench) {
	b.post("/_lab/faults", `{"service":"ec2","unknown_for":"10s","times":-1}`)
	group, err := b.ec2.CreateSecurityGroup(b.ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("new"), Description: aws.String("new")})
	if err != nil {
		b.t.Fatal(err)
	}
	launch := &ec2.RunInstancesInput{ImageId: aws.String(baseImage), InstanceType: types.InstanceTypeT3Small,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), SecurityGroupIds: []string{*group.GroupId}}
	_, err = b.ec2.RunInstances(b.ctx, launch)
	wantCode(b.t, "launching with a new group", err, "InvalidGroup.NotFound")
	b.clock.move(11 * time.Second)
	i, err := b.ec2.RunInstances(b.ctx, launch)
	if err != nil {
		b.t.Fatal(err)
	}
	id := *i.Instances[0].InstanceId
	for what, call := range map[string]func() error{
		"describing": func() error {
			_, err := b.ec2.DescribeInstances(b.ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
			return err
		},
		"tagging": func() error {
			_, err := b.ec2.CreateTags(b.ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []types.Tag{{Key: aws.String("a")}}})
			return err
		},
		"stopping": func() error {
			_, err := b.ec2.StopInstances(b.ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
			return err
		},
	} {
		wantCode(b.t, what, call(), "InvalidInstanceID.NotFound")
	}
	b.clock.move(11 * time.Second)
	if b.describe(id) == nil {
		b.t.Error("the instance is never known")
	}
}

func testFiltersFindNothingNew(b *bench) {
	b.post("/_lab/faults", `{"service":"ec2","unknown_for":"10s","times":-1}`)
	i := b.run()
	find := func() int {
		b.t.Helper()
		out, err := b.ec2.DescribeInstances(b.ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("instance-id"), Values: []string{*i.InstanceId}}}})
		if err != nil {
			b.t.Fatal(err)
		}
		return len(out.Reservations)
	}
	if n := find(); n != 0 {
		b.t.Errorf("a new instance is found by filter (%d)", n)
	}
	if b.image(baseImage) == nil {
		b.t.Error("the base image counts as new since a launch named it")
	}
	b.clock.move(11 * time.Second)
	if n := find(); n != 1 {
		b.t.Errorf("an old instance is not found by filter (%d)", n)
	}
}

func testImagesStayPending(b *bench) {
	b.post("/_lab/faults", `{"action":"CreateImage","pending_for":"10m"}`)
	id := b.bake("slow-image")
	b.machines.snapshots <- nil
	for range 20 { // its snapshot ends in the background
		if state := b.image(id).State; state != types.ImageStatePending {
			b.t.Fatalf("the image is %s before its time", state)
		}
	}
	b.clock.move(11 * time.Minute)
	for b.image(id).State != types.ImageStateAvailable && b.ctx.Err() == nil {
	}
	if b.ctx.Err() != nil {
		b.t.Error("the image is never available")
	}
}

func testThrottlingStorm(b *bench) {
	b.post("/_lab/faults", `{"action":"DescribeRegions","every":2,"times":-1,"code":"RequestLimitExceeded","status":503}`)
	for range 3 { // the SDK tries again
		if _, err := b.ec2.DescribeRegions(b.ctx, &ec2.DescribeRegionsInput{}); err != nil {
			b.t.Error(err)
		}
	}
	if r := b.calls("DescribeRegions"); len(r) != 6 || r[0].Fault == 0 || r[1].Fault != 0 || r[4].Fault == 0 {
		b.t.Errorf("records: %+v", r)
	}
}
