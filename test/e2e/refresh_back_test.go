//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// swapAlarm is the alarm that the rollouts of the group swap watch.
const swapAlarm = "swap-fails"

// inSwap is user-data of the group's instances: the agent answers the launch
// hook, a build has a quarter of a minute to become healthy, and %s is added.
const inSwap = `#cloud-config
bootcmd:
- [sed, -i, 's/"timeout": "1m0s"/"timeout": "15s"/', /etc/bakehouse/agent.json]
- [ruby, -rjson, -e, 'f = "/etc/bakehouse/agent.json"; c = JSON.parse(File.read(f)); c["group"] = {"launch_hook" => "ready"}; File.write(f, JSON.pretty_generate(c))']
%s`

// noChef makes an image's first boot fail.
const noChef = `write_files:
- path: /usr/local/bin/chef-client
  permissions: "0755"
  content: |
    #!/bin/sh
    exit 43
`

// swap is a group of two guests on a channel of its own, whose builds deployctl
// replaces by instance refresh.
type swap struct {
	*scaling
	pulled
	template string // id
}

// refreshed is what the tests read of the JSON report beside the hosts.
type refreshed struct {
	rolled
	Refreshes []struct {
		Group, Version, Before, Status string
		Back                           bool
	}
}

// TestARefreshGoesBack takes a group of real guests through rollouts by instance
// refresh that do not come to their end: a bad build, a bad image, Ctrl-C and an
// abort, and a SIGTERM after which another process goes on.
func TestARefreshGoesBack(t *testing.T) {
	x := &swap{scaling: newScaling(t), pulled: pulled{t: t, ctx: deadline(t, 15*time.Minute), channel: "swap"}}
	x.first = x.push("swap-1", nil)
	x.opens()
	x.isOn(x.first)
	x.badBuild()
	x.badImage()
	x.aborted()
	x.resumed()
}

// opens makes the alarm, the launch template with a good and a bad version, and
// the group on the good one.
func (x *swap) opens() {
	x.scaling.t.Helper()
	t := x.pulled.t
	x.removed(x.channel)
	if _, err := x.alarms.PutMetricAlarm(x.ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String(swapAlarm), Namespace: aws.String("swap"), MetricName: aws.String("launches failed"),
		Statistic: cwtypes.StatisticSum, Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(0), TreatMissingData: aws.String("ignore"), // the state stays as it is set
		ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := x.alarms.DeleteAlarms(s.ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{swapAlarm}}); err != nil {
			t.Error(err)
		}
	})
	made, err := s.world.EC2.CreateLaunchTemplate(x.ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: &x.channel, LaunchTemplateData: x.data("")})
	if err != nil {
		t.Fatal(err)
	}
	x.template = aws.ToString(made.LaunchTemplate.LaunchTemplateId)
	_, err = s.world.EC2.CreateLaunchTemplateVersion(x.ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: &x.template, LaunchTemplateData: x.data(noChef)})
	if err == nil {
		_, err = x.groups.CreateAutoScalingGroup(x.ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: &x.channel, MinSize: aws.Int32(0), MaxSize: aws.Int32(4), DesiredCapacity: aws.Int32(2),
			AvailabilityZones: []string{"us-east-1a"}, DefaultInstanceWarmup: aws.Int32(0), LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateId: &x.template, Version: aws.String("1")},
			LifecycleHookSpecificationList: []astypes.LifecycleHookSpecification{{LifecycleHookName: aws.String("ready"), LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_LAUNCHING"),
				HeartbeatTimeout: aws.Int32(300), DefaultResult: aws.String("ABANDON")}}})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// data is one version of the launch template, of the story's image.
func (x *swap) data(more string) *ec2types.RequestLaunchTemplateData {
	return &ec2types.RequestLaunchTemplateData{ImageId: aws.String(s.told.report.ImageID), InstanceType: ec2types.InstanceTypeT3Small,
		IamInstanceProfile: &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("web")},
		MetadataOptions: &ec2types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: ec2types.LaunchTemplateHttpTokensStateRequired,
			InstanceMetadataTags: ec2types.LaunchTemplateInstanceMetadataTagsStateEnabled},
		TagSpecifications: []ec2types.LaunchTemplateTagSpecificationRequest{{ResourceType: ec2types.ResourceTypeInstance,
			Tags: []ec2types.Tag{{Key: aws.String("bakehouse:channel"), Value: &x.channel}}}},
		UserData: aws.String(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, inSwap, more)))}
}

// isOn wants the channel and both members on a build, from version 1 of the
// template, and nobody to roll the channel.
func (x *swap) isOn(build string) {
	t := x.pulled.t
	t.Helper()
	for _, m := range x.serving(x.ctx, x.channel, 2) {
		id := aws.ToString(m.InstanceId)
		if v := aws.ToString(m.LaunchTemplate.Version); v != "1" {
			t.Errorf("%s is of version %s, want 1", id, v)
		}
		out, err := s.world.EC2.DescribeInstances(x.ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.world.Answers(x.ctx, aws.ToString(out.Reservations[0].Instances[0].PrivateIpAddress))
		if err != nil || a.Release != build {
			t.Errorf("%s answers with %s (%v), want %s\n%s", id, a.Release, err, build, diagnose(id))
		}
	}
	if got := builtOn(t, x.channel); got != build {
		t.Errorf("the channel is at %s, want %s", got, build)
	}
}

// rollout runs deployctl on the group, by instance refresh.
func (x *swap) rollout(started func(*os.Process), live *watcher, args ...string) (story.Outcome, refreshed) {
	x.pulled.t.Helper()
	return x.runs(started, live, append([]string{"--channel", x.channel, "--environment", "_default", "--query", "bakehouse_group:" + x.channel,
		"--engine", "refresh", "--wave", "50%"}, args...)...)
}

// resume goes on with a rollout by the next step that Ctrl-C prints, and no more.
func (x *swap) resume(id string, args ...string) (story.Outcome, refreshed) {
	x.pulled.t.Helper()
	return x.runs(nil, nil, append([]string{"--resume", id}, args...)...)
}

// runs runs deployctl rollout, reads its report and wants the lease back.
func (x *swap) runs(started func(*os.Process), live *watcher, args ...string) (story.Outcome, refreshed) {
	t := x.pulled.t
	t.Helper()
	tool := story.Tool{Name: "deployctl", Started: started, Args: append([]string{"rollout", "--config", s.world.Config, "--app", "web", "-o", "json"}, args...)}
	if live != nil {
		tool.Live = live
	}
	o, err := s.world.Run(x.ctx, tool)
	if err != nil {
		t.Fatal(err)
	}
	var r refreshed
	if err := json.Unmarshal([]byte(o.Stdout), &r); err != nil {
		t.Fatalf("reading the report: %v, code %d\n%s%s", err, o.Code, o.Stdout, o.Stderr)
	}
	x.free()
	return o, r
}

// free wants the lease of the channel given back.
func (x *swap) free() {
	x.pulled.t.Helper()
	var held struct{ Released bool }
	if b := x.object("web/leases/"+x.channel+".json", func(b []byte) []byte { return b }); json.Unmarshal(b, &held) != nil || !held.Released {
		x.pulled.t.Errorf("the lease is not free: %s", b)
	}
}

// fails rolls something out whose new instance gives its launch up, which sets
// the alarm off.
func (x *swap) fails(args ...string) (story.Outcome, refreshed) {
	t := x.pulled.t
	t.Helper()
	before, err := x.abandoned(x.ctx)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(x.ctx)
	defer cancel()
	rung := make(chan error, 1)
	go func() {
		rung <- story.Until(ctx, 200*time.Millisecond, func() error {
			now, err := x.abandoned(ctx)
			if err == nil && now == before {
				err = errors.New("no instance has abandoned its launch")
			}
			if err != nil {
				return err
			}
			return x.sound(ctx, cwtypes.StateValueAlarm)
		})
	}()
	o, r := x.rollout(nil, nil, append(args, "--alarm", swapAlarm)...)
	cancel()
	if err := <-rung; err != nil {
		t.Errorf("%v: code %d\n%s", err, o.Code, o.Stderr)
	}
	if err := x.sound(x.ctx, cwtypes.StateValueOk); err != nil {
		t.Fatal(err)
	}
	return o, r
}

// abandoned counts the group's launches that were given up.
func (x *swap) abandoned(ctx context.Context) (n int, err error) {
	b, err := control(ctx, http.MethodGet, "lifecycle", nil)
	if err != nil {
		return 0, err
	}
	var all struct{ Instances map[string]gateway.Lifecycle }
	if err := json.Unmarshal(b, &all); err != nil {
		return 0, err
	}
	for _, l := range all.Instances {
		if l.Group == x.channel && slices.Contains(l.Answers, "ready ABANDON") {
			n++
		}
	}
	return n, nil
}

// sound sets the alarm's state.
func (x *swap) sound(ctx context.Context, state cwtypes.StateValue) error {
	_, err := x.alarms.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: aws.String(swapAlarm), StateValue: state, StateReason: aws.String("the test says so")})
	return err
}

// wentBack wants a rollout to have gone back with code 4 and its reason in report and
// last words, by refreshes of these kinds as Auto Scaling has them, latest first.
func (x *swap) wentBack(o story.Outcome, r refreshed, why string, kinds ...astypes.InstanceRefreshStatus) {
	t := x.pulled.t
	t.Helper()
	if o.Code != 4 || r.Phase != "rolled back" || r.states()["restored"] != 2 || !strings.Contains(r.Reason, why) || !strings.Contains(o.Stderr, why) ||
		!strings.Contains(o.Stderr, "rolled back to build "+x.first[:12]) {
		t.Errorf("code %d, %+v, want it to go back since %q\n%s", o.Code, r, why, o.Stderr)
	}
	if len(r.Refreshes) != 1 || r.Refreshes[0].Group != x.channel || !r.Refreshes[0].Back || r.Refreshes[0].Status != string(kinds[0]) {
		t.Errorf("refreshes %+v, want one that went back and is %s", r.Refreshes, kinds[0])
	}
	out, err := x.groups.DescribeInstanceRefreshes(x.ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &x.channel, MaxRecords: aws.Int32(int32(len(kinds)))})
	if err != nil {
		t.Fatal(err)
	}
	var got []astypes.InstanceRefreshStatus
	for _, one := range out.InstanceRefreshes {
		got = append(got, one.Status)
	}
	if !slices.Equal(got, kinds) {
		t.Errorf("Auto Scaling's refreshes are %q, want %q", got, kinds)
	}
	t.Logf("%s: %s", r.Phase, r.Reason)
	x.isOn(x.first)
}

// badBuild rolls out a build whose health check fails: there is no version of the
// template to go back to, so the refresh is cancelled and another one goes back.
func (x *swap) badBuild() {
	x.pulled.t.Helper()
	o, r := x.fails(pushed(x.pulled.t, "swap-bad", true))
	x.wentBack(o, r, "group swap: alarm "+swapAlarm+" went off", astypes.InstanceRefreshStatusSuccessful, astypes.InstanceRefreshStatusCancelled)
}

// badImage moves the group to a version of the template whose first boot fails:
// Auto Scaling's own rollback brings the group back.
func (x *swap) badImage() {
	x.pulled.t.Helper()
	o, r := x.fails(pushed(x.pulled.t, "swap-2", false), "--launch-template-version", "2")
	x.wentBack(o, r, "group swap: alarm "+swapAlarm+" went off", astypes.InstanceRefreshStatusRollbackSuccessful)
	if len(r.Refreshes) == 1 && (r.Refreshes[0].Version != "2" || r.Refreshes[0].Before != "1") {
		x.pulled.t.Errorf("it went from version %s to %s, want 1 and 2", r.Refreshes[0].Before, r.Refreshes[0].Version)
	}
}

// signalled starts a rollout, sends the operator a signal once the board says
// text, and wants the refresh left to Auto Scaling.
func (x *swap) signalled(sig os.Signal, code int, text string, args ...string) refreshed {
	t := x.pulled.t
	t.Helper()
	process := make(chan *os.Process, 1)
	end := &watcher{text: text, act: func() { _ = (<-process).Signal(sig) }}
	o, r := x.rollout(func(p *os.Process) { process <- p }, end, args...)
	if o.Code != code || r.Phase != "rolling" || !strings.Contains(o.Stderr, "deployctl rollout --app web --resume "+r.ID) {
		t.Fatalf("after %s: code %d, %+v, want %d\n%s", sig, o.Code, r, code, o.Stderr)
	}
	out, err := x.groups.DescribeInstanceRefreshes(x.ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &x.channel, MaxRecords: aws.Int32(1)})
	if err != nil || len(out.InstanceRefreshes) != 1 || slices.Contains([]astypes.InstanceRefreshStatus{astypes.InstanceRefreshStatusCancelling, astypes.InstanceRefreshStatusCancelled}, out.InstanceRefreshes[0].Status) {
		t.Errorf("after %s the refresh is not Auto Scaling's own: %+v, %v", sig, out, err)
	}
	return r
}

// aborted ends the operator by Ctrl-C while the refresh stands at its checkpoint,
// which it would for half an hour, and has another one go back.
func (x *swap) aborted() {
	t := x.pulled.t
	t.Helper()
	begun := x.signalled(os.Interrupt, 130, "Checkpoint of 50", pushed(t, "swap-3", false), "--canary", "50%", "--pause", "30m")
	o, r := x.resume(begun.ID, "--abort")
	x.wentBack(o, r, "stopped by ", astypes.InstanceRefreshStatusSuccessful, astypes.InstanceRefreshStatusCancelled)
}

// resumed starts a new rollout, ends its operator by SIGTERM, and has another one
// watch it to its end.
func (x *swap) resumed() {
	t := x.pulled.t
	t.Helper()
	good := pushed(t, "swap-4", false)
	begun := x.signalled(syscall.SIGTERM, 143, "instances to go", good)
	o, r := x.resume(begun.ID)
	if o.Code != 0 || r.Phase != "done" || r.ID != begun.ID || r.states()["replaced"] != 2 {
		t.Errorf("watched again: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	x.isOn(good)
}
