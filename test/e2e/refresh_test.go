//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// shopFile is a file of today: target group, hooks, mixed policy, schedule and
// notifications. Its arguments are capacity, image and target group.
const shopFile = `version: 2
region: us-east-1
owner: e2e
groups:
  shop:
    capacity: {min: 0, max: 4, desired: %s, cooldown: 0, warmup: 1}
    launch:
      image: %s
      type: t3.small
      profile: web
      metadata: {tokens: required, tags: enabled}
      user_data: |
        #cloud-config
        bootcmd:
        - [ruby, -rjson, -e, 'f = "/etc/bakehouse/agent.json"; c = JSON.parse(File.read(f)); c["group"] = {"launch_hook" => "ready", "terminate_hook" => "bye"}; File.write(f, JSON.pretty_generate(c))']
    mixed: {on_demand_base: 1, on_demand_percentage: 0, spot_strategy: price-capacity-optimized, types: [t3.small, t3a.small]}
    network: {zones: [us-east-1a, us-east-1b]}
    load_balancing: {target_groups: ['%s'], health_check: ELB, grace: 5}
    tags: {Team: shop}
    schedules:
      night: {cron: '0 3 1 1 *', time_zone: Europe/Berlin, max: 4}
    hooks:
      ready: {on: launching, timeout: 600, default: ABANDON}
      bye: {on: terminating, timeout: 600, default: CONTINUE}
    notifications:
      'arn:aws:sns:us-east-1:123456789012:ops': ['autoscaling:EC2_INSTANCE_LAUNCH_ERROR', 'autoscaling:EC2_INSTANCE_TERMINATE_ERROR']
    metrics: [GroupInServiceInstances]
`

// shop is the group of that file, behind a target group.
type shop struct {
	*scaling
	ctx    context.Context
	target string // the target group's ARN
}

// TestAGroupServesIsRefreshedAndShrinks takes one group of real guests through
// its life: made from a file, moved to a new image, back from a bad one, to a
// new build by deployctl, and down to one instance.
func TestAGroupServesIsRefreshedAndShrinks(t *testing.T) {
	x := &shop{scaling: newScaling(t), ctx: deadline(t, 6*time.Minute)}
	x.opens()
	x.removed("shop")
	first := x.isMade()
	x.isHealed(first)
	good := x.isRefreshed(first)
	x.isRolledBack(good)
	x.isDeployed(good)
	x.shrinks(good)
}

// opens makes the target group with its load balancer.
func (x *shop) opens() {
	x.t.Helper()
	b := &balancer{api: x.lb}
	x.target = b.front(x.ctx, x.t, "shop")
	x.t.Cleanup(func() {
		all, err := x.lb.DescribeLoadBalancers(s.ctx, &elb.DescribeLoadBalancersInput{Names: []string{"shop"}})
		if err == nil {
			_, err = x.lb.DeleteLoadBalancer(s.ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: all.LoadBalancers[0].LoadBalancerArn})
		}
		if err == nil {
			_, err = x.lb.DeleteTargetGroup(s.ctx, &elb.DeleteTargetGroupInput{TargetGroupArn: &x.target})
		}
		if err != nil {
			x.t.Error(err)
		}
	})
}

// describes writes the file, for a capacity and an image.
func (x *shop) describes(capacity, image string) {
	x.t.Helper()
	x.write(shopFile, capacity, image, x.target)
}

// members waits for n instances in service, and returns them as EC2 has them.
// All but one are spot.
func (x *shop) members(n int, image string) (all []ec2types.Instance) {
	x.t.Helper()
	var ids []string
	for _, i := range x.serving(x.ctx, "shop", n) {
		ids = append(ids, aws.ToString(i.InstanceId))
	}
	out, err := s.world.EC2.DescribeInstances(x.ctx, &ec2.DescribeInstancesInput{InstanceIds: ids})
	if err != nil {
		x.t.Fatal(err)
	}
	spot := 0
	for _, r := range out.Reservations {
		all = append(all, r.Instances...)
	}
	for _, i := range all {
		if i.InstanceLifecycle == ec2types.InstanceLifecycleTypeSpot {
			spot++
		}
		if aws.ToString(i.ImageId) != image {
			x.t.Errorf("%s is from %s, want %s", aws.ToString(i.InstanceId), aws.ToString(i.ImageId), image)
		}
	}
	if n > 1 && spot != n-1 {
		x.t.Errorf("%d of %d instances are spot, want all but one", spot, n)
	}
	return all
}

// answer wants every instance to be a healthy target, no other target, and
// all to answer with a build.
func (x *shop) answer(all []ec2types.Instance, build string) {
	x.t.Helper()
	var want []string
	for _, i := range all {
		want = append(want, aws.ToString(i.InstanceId)+" healthy")
	}
	slices.Sort(want)
	err := story.Until(x.ctx, 200*time.Millisecond, func() error {
		out, err := x.lb.DescribeTargetHealth(x.ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &x.target})
		if err != nil {
			return err
		}
		var got []string
		for _, d := range out.TargetHealthDescriptions {
			if state := d.TargetHealth.State; state != elbtypes.TargetHealthStateEnumDraining {
				got = append(got, fmt.Sprintf("%s %s", aws.ToString(d.Target.Id), state))
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("targets %q, want %q", got, want)
		}
		return nil
	})
	if err != nil {
		x.t.Error(err)
	}
	for _, i := range all {
		if a, err := s.world.Answers(x.ctx, aws.ToString(i.PrivateIpAddress)); err != nil || a.Release != build {
			x.t.Errorf("%s answers with %s (%v), want %s", aws.ToString(i.InstanceId), a.Release, err, build)
		}
	}
}

// isMade applies the file: the instances come up, tell their hook, and serve.
func (x *shop) isMade() string {
	x.t.Helper()
	image := s.told.report.ImageID
	x.describes("initial:2", image)
	x.settled()
	all := x.members(2, image)
	for _, i := range all {
		answers(x.ctx, x.t, aws.ToString(i.InstanceId), "ready CONTINUE")
	}
	x.answer(all, s.told.build)
	x.ends(0, "plan", "--exit-code", "FILE")
	return image
}

// isHealed stops the app of one instance: the load balancer finds it ill, and
// the group replaces it.
func (x *shop) isHealed(image string) {
	x.t.Helper()
	ill := aws.ToString(x.members(2, image)[0].InstanceId)
	inGuest(x.t, ill, "systemctl stop web.service")
	ended(x.ctx, x.t, ill)
	all := x.members(2, image)
	x.answer(all, s.told.build)
	if said := x.activities("shop"); !strings.Contains(said, "ELB") {
		x.t.Errorf("the group does not say why it replaced %s:\n%s", ill, said)
	}
}

// isRefreshed moves the group to another image, and then the file's plan is
// empty but for the version, which the refresh brought.
func (x *shop) isRefreshed(old string) string {
	x.t.Helper()
	copied, err := s.world.EC2.CopyImage(x.ctx, &ec2.CopyImageInput{SourceImageId: &old, SourceRegion: aws.String("us-east-1"), Name: aws.String("shop-next")})
	if err != nil {
		x.t.Fatal(err)
	}
	image := aws.ToString(copied.ImageId)
	x.forgets(image)
	x.available(image)
	before := x.members(2, old)
	x.describes("initial:2", image)
	o := x.ends(0, "refresh", "shop", "FILE", "--yes", "--wait", "--min-healthy", "100", "--max-healthy", "200", "--auto-rollback")
	after := x.members(2, image)
	for _, i := range before {
		answers(x.ctx, x.t, aws.ToString(i.InstanceId), "ready CONTINUE", "bye CONTINUE")
		if err := goneFromChef(x.ctx, aws.ToString(i.InstanceId)); err != nil {
			x.t.Error(err)
		}
	}
	x.answer(after, s.told.build)
	if !strings.Contains(o.Stdout+o.Stderr, "100 %") {
		x.t.Errorf("the refresh did not say how far it was:\n%s%s", o.Stdout, o.Stderr)
	}
	x.ends(0, "plan", "--exit-code", "FILE")
	return image
}

// isRolledBack refreshes the group to an image whose first boot fails; the
// alarm that then goes off takes it back.
func (x *shop) isRolledBack(good string) {
	x.t.Helper()
	before := x.members(2, good)
	bad := x.broken(aws.ToString(before[0].InstanceId))
	alarm := aws.String("shop-fails")
	if _, err := x.alarms.PutMetricAlarm(x.ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: alarm, Namespace: aws.String("shop"), MetricName: aws.String("launches failed"),
		Statistic: cwtypes.StatisticSum, Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(0), ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold,
		TreatMissingData: aws.String("ignore")}); err != nil { // so that the state stays as it is set
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() {
		if _, err := x.alarms.DeleteAlarms(s.ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{*alarm}}); err != nil {
			x.t.Error(err)
		}
	})
	x.describes("initial:2", bad)
	rung := make(chan error, 1)
	go func() { rung <- x.rings(*alarm) }()
	o := x.ends(4, "refresh", "shop", "FILE", "--yes", "--wait", "--min-healthy", "100", "--max-healthy", "150", "--auto-rollback", "--alarm", *alarm)
	if err := <-rung; err != nil {
		x.t.Fatal(err)
	}
	if said := o.Stdout + o.Stderr; !strings.Contains(said, "RollbackSuccessful") || !strings.Contains(said, *alarm) {
		x.t.Errorf("it does not say what became of the refresh, and why:\n%s", said)
	}
	after := x.members(2, good)
	x.answer(after, s.told.build)
	x.describes("initial:2", good)
	x.ends(0, "plan", "--exit-code", "FILE")
}

// broken makes an image of a member whose Chef client ends in an error.
func (x *shop) broken(id string) string {
	x.t.Helper()
	inGuest(x.t, id, `printf '#!/bin/sh\nexit 43\n' >/usr/local/bin/chef-client && chmod +x /usr/local/bin/chef-client && sync`)
	out, err := s.world.EC2.CreateImage(x.ctx, &ec2.CreateImageInput{InstanceId: &id, Name: aws.String("shop-broken"), NoReboot: aws.Bool(true)})
	if err != nil {
		x.t.Fatal(err)
	}
	image := aws.ToString(out.ImageId)
	x.forgets(image)
	x.available(image)
	inGuest(x.t, id, "rm /usr/local/bin/chef-client")
	return image
}

// available waits until an image can be launched.
func (x *shop) available(image string) {
	x.t.Helper()
	err := story.Until(x.ctx, 100*time.Millisecond, func() error {
		out, err := s.world.EC2.DescribeImages(x.ctx, &ec2.DescribeImagesInput{ImageIds: []string{image}})
		if err == nil && out.Images[0].State != ec2types.ImageStateAvailable {
			err = fmt.Errorf("%s is %s", image, out.Images[0].State)
		}
		return err
	})
	if err != nil {
		x.t.Fatal(err)
	}
}

// forgets takes an image away at the end.
func (x *shop) forgets(image string) {
	x.t.Cleanup(func() {
		if _, err := s.world.EC2.DeregisterImage(s.ctx, &ec2.DeregisterImageInput{ImageId: &image, DeleteAssociatedSnapshots: aws.Bool(true)}); err != nil {
			x.t.Error(err)
		}
	})
}

// rings sets an alarm off once an instance has abandoned its launch.
func (x *shop) rings(alarm string) error {
	err := story.Until(x.ctx, 200*time.Millisecond, func() error {
		b, err := control(x.ctx, http.MethodGet, "lifecycle", nil)
		if err != nil {
			return err
		}
		var all struct{ Instances map[string]gateway.Lifecycle }
		if err := json.Unmarshal(b, &all); err != nil {
			return err
		}
		for _, l := range all.Instances {
			if l.Group == "shop" && slices.Contains(l.Answers, "ready ABANDON") {
				return nil
			}
		}
		return errors.New("no instance has abandoned its launch")
	})
	if err != nil {
		return err
	}
	_, err = x.alarms.SetAlarmState(x.ctx, &cloudwatch.SetAlarmStateInput{AlarmName: &alarm, StateValue: cwtypes.StateValueAlarm, StateReason: aws.String("a launch was abandoned")})
	return err
}

// isDeployed rolls a build out by replacing the group's instances.
func (x *shop) isDeployed(image string) {
	x.t.Helper()
	x.t.Cleanup(func() { promote(x.t, s.told.build) }) // others expect the story's build
	before := x.members(2, image)
	g, err := x.scaling.group(x.ctx, "shop")
	if err != nil {
		x.t.Fatal(err)
	}
	build := pushed(x.t, "shop-2", false)
	o, err := s.world.Run(x.ctx, story.Tool{Name: "deployctl", Args: []string{"rollout", build, "--config", s.world.Config, "--app", "web", "--environment", "_default",
		"--query", "bakehouse_group:shop", "--engine", "refresh", "--wave", "100%", "-o", "json",
		"--launch-template-version", aws.ToString(g.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.Version)}})
	var r rolled
	if err != nil || o.Code != 0 || json.Unmarshal([]byte(o.Stdout), &r) != nil || r.Phase != "done" || r.Build != build {
		x.t.Fatalf("by instance refresh: code %d, %v, %+v\n%s", o.Code, err, r, o.Stderr)
	}
	after := x.members(2, image)
	for _, i := range after {
		if slices.ContainsFunc(before, func(b ec2types.Instance) bool { return *b.InstanceId == *i.InstanceId }) {
			x.t.Errorf("%s was not replaced", *i.InstanceId)
		}
	}
	x.answer(after, build)
}

// shrinks takes the group down to one instance; the other leaves Chef first.
func (x *shop) shrinks(image string) {
	x.t.Helper()
	before := x.members(2, image)
	x.describes("enforce:1", image)
	x.settled()
	left := x.members(1, image)
	for _, i := range before {
		id := aws.ToString(i.InstanceId)
		if id == aws.ToString(left[0].InstanceId) {
			continue
		}
		answers(x.ctx, x.t, id, "ready CONTINUE", "bye CONTINUE")
		if err := goneFromChef(x.ctx, id); err != nil {
			x.t.Error(err)
		}
		ended(x.ctx, x.t, id)
	}
}
