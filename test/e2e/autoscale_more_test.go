//go:build e2e

package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// prunedFile has a group that stays and, when %[2]s is one, a group that goes.
// %[1]s is the image.
const prunedFile = `version: 2
region: us-east-1
owner: e2e-prune
defaults:
  network: {zones: [us-east-1a]}
  launch: {image: %[1]s, type: t3.small}
groups:
  prune-stays:
    capacity: {min: 0, max: 1}
%[2]s`

// byHand makes a group as somebody would without this tool.
func (x *scaling) byHand(image string) {
	x.t.Helper()
	ctx, name := deadline(x.t, 30*time.Second), aws.String("by-hand")
	x.removed(*name)
	_, err := s.world.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: name, LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
		ImageId: &image, InstanceType: ec2types.InstanceTypeT3Small, KeyName: aws.String("lab"), UserData: aws.String("IyEvYmluL3NoCmVjaG8gaGkK")}})
	if err == nil {
		_, err = x.groups.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: name, MinSize: aws.Int32(0), MaxSize: aws.Int32(3), DesiredCapacity: aws.Int32(1),
			AvailabilityZones: []string{"us-east-1b"}, LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateName: name, Version: aws.String("$Default")},
			HealthCheckGracePeriod: aws.Int32(45), Tags: []astypes.Tag{{Key: aws.String("Team"), Value: aws.String("ops"), PropagateAtLaunch: aws.Bool(false)}},
			LifecycleHookSpecificationList: []astypes.LifecycleHookSpecification{{LifecycleHookName: aws.String("slow"), LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_LAUNCHING"),
				HeartbeatTimeout: aws.Int32(30), DefaultResult: aws.String("CONTINUE")}}})
	}
	if err == nil {
		_, err = x.groups.PutScalingPolicy(ctx, &autoscaling.PutScalingPolicyInput{AutoScalingGroupName: name, PolicyName: aws.String("half"), PolicyType: aws.String("TargetTrackingScaling"),
			TargetTrackingConfiguration: &astypes.TargetTrackingConfiguration{TargetValue: aws.Float64(50),
				PredefinedMetricSpecification: &astypes.PredefinedMetricSpecification{PredefinedMetricType: astypes.MetricTypeASGAverageCPUUtilization}}})
	}
	if err == nil {
		_, err = x.groups.PutScheduledUpdateGroupAction(ctx, &autoscaling.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: name, ScheduledActionName: aws.String("new-year"),
			Recurrence: aws.String("0 0 1 1 *"), MaxSize: aws.Int32(3)})
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

// TestPruneAndImportTellOursFromTheirs imports a group that was made by hand,
// and takes away only what an owner's file has no more.
func TestPruneAndImportTellOursFromTheirs(t *testing.T) {
	x := newScaling(t)
	ctx, image := deadline(t, 90*time.Second), s.told.report.ImageID
	x.byHand(image)
	x.removed("prune-stays", "prune-goes")
	x.write(prunedFile, image, "  prune-goes:\n    capacity: {min: 0, max: 1, desired: initial:1}\n")
	x.settled()
	x.serving(ctx, "prune-goes", 1)

	x.write("%s", x.ends(0, "import", "--region", "us-east-1", "by-hand").Stdout)
	x.ends(0, "plan", "--exit-code", "FILE")

	x.write(prunedFile, image, "")
	if o := x.ends(4, "prune", "--yes", "FILE"); !strings.Contains(o.Stderr, "1 of 2 groups of owner e2e-prune would go (prune-goes)") {
		t.Errorf("over the limit: %s", o.Stderr)
	}
	o := x.ends(0, "prune", "--yes", "--max-share", "0.5", "FILE")
	if !strings.Contains(o.Stderr, "not ours, left alone: by-hand (owner unknown)") {
		t.Errorf("it does not say what it leaves alone:\n%s%s", o.Stdout, o.Stderr)
	}
	if err := membersGone(ctx, "prune-goes"); err != nil {
		t.Error(err)
	}
	if err := x.gone(ctx, "prune-goes"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"prune-stays", "by-hand"} {
		if g, err := x.group(ctx, name); err != nil || g == nil {
			t.Errorf("group %s is gone (%v)", name, err)
		}
	}
}

// tenFile makes ten changes: template, group, notification, three policies,
// two alarms, and two schedules.
const tenFile = `version: 2
region: us-east-1
groups:
  ten:
    capacity: {min: 0, max: 2}
    launch: {image: %s, type: t3.small}
    network: {zones: [us-east-1a]}
    policies:
      up: {type: ChangeInCapacity, adjustment: 1}
      down: {type: ChangeInCapacity, adjustment: -1}
      half: {track: {target: 50, predefined: ASGAverageCPUUtilization}}
    alarms:
      hot: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 60, policy: up}
      cold: {namespace: AWS/EC2, metric: CPUUtilization, comparison: <, threshold: 20, period: 60, policy: down}
    schedules:
      day: {cron: '0 8 * * *', min: 0}
      night: {cron: '0 20 * * *', max: 2}
    notifications:
      'arn:aws:sns:us-east-1:123456789012:ops': ['autoscaling:EC2_INSTANCE_LAUNCH_ERROR']
`

// TestADeniedCallIsToldAndARunAfterItFinishes denies the third of ten calls,
// and then throttles every second one.
func TestADeniedCallIsToldAndARunAfterItFinishes(t *testing.T) {
	x := newScaling(t)
	x.tool, _ = ownCalls(t, x.tool)
	x.removed("ten")
	x.write(tenFile, s.told.report.ImageID)
	fault(t, x.tool, gateway.Rule{Service: "autoscaling", Action: "Put*", Code: "AccessDenied", Status: 403, Message: "User: operator is not authorized to perform this"})
	o := x.ends(5, "apply", "--yes", "FILE")
	for _, want := range []string{"2 of 10 changes done, 1 failed, 7 not tried", "AccessDenied", "docs/iam/autoscalectl.json", "not tried"} {
		if !strings.Contains(o.Stdout+o.Stderr, want) {
			t.Errorf("a denied call: no %q in\n%s%s", want, o.Stdout, o.Stderr)
		}
	}
	if g, err := x.group(deadline(t, 10*time.Second), "ten"); err != nil || g == nil {
		t.Errorf("the group, which was made before, is gone: %v", err)
	}
	fault(t, x.tool, gateway.Rule{Service: "*", Action: "*", Code: "Throttling", Message: "Rate exceeded", Every: 2, Times: -1})
	fault(t, x.tool, gateway.Rule{Service: "autoscaling", Action: "PutScalingPolicy", Code: "Throttling", Message: "Rate exceeded", Times: 4})
	o = x.ends(0, "apply", "--yes", "FILE")
	t.Logf("in a storm of throttling, apply took %v", o.Took)
	if _, err := control(deadline(t, 10*time.Second), http.MethodDelete, "faults", nil); err != nil {
		t.Fatal(err)
	}
	x.onlyReads("plan", "--exit-code", "FILE")
}

// onlyReads runs a command, which must end well and make no calls but those
// that the policy lists for a plan.
func (x *scaling) onlyReads(args ...string) {
	x.t.Helper()
	before := x.tool
	defer func() { x.tool = before }()
	var calls func() []gateway.Record
	x.tool, calls = ownCalls(x.t, before)
	x.ends(0, args...)
	var policy struct{ Statement []struct{ Sid, Action any } }
	if err := readJSON(filepath.Join(s.world.Root, "docs/iam/autoscalectl.json"), &policy); err != nil {
		x.t.Fatal(err)
	}
	var may []any
	for _, st := range policy.Statement {
		if all, ok := st.Action.([]any); ok && st.Sid == "Plan" {
			may = all
		}
	}
	made := 0
	for _, c := range calls() {
		if action := c.Service + ":" + c.Action; action != "sts:GetCallerIdentity" {
			made++
			if !slices.Contains(may, any(action)) {
				x.t.Errorf("%v calls %s, which the policy does not list for a plan: %v", args, action, may)
			}
		}
	}
	if made == 0 {
		x.t.Errorf("%v made no calls", args)
	}
}
