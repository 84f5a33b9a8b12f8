//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// of2013 is a file as the first tool of the name took it. %s is the image.
const of2013 = `region: us-east-1
notification_topic: arn:aws:sns:us-east-1:123456789012:ops
user_data:
  - '#!/bin/sh'
  - echo old >/run/old
policies:
  up: {type: ChangeInCapacity, adjustment: 1, cooldown: 300}
  down: {type: ChangeInCapacity, adjustment: -1}
groups:
  old-web:
    min_size: 1
    max_size: 2
    capacity: 1
    ami: %s
    zones: [us-east-1a]
    ssh_key: lab
    security_group: old-web
    instance_type: t3.small
    tags: {Team: shop}
    alarms:
      busy: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 60, evaluation_periods: 2, policy: up}
      idle: {namespace: AWS/EC2, metric: CPUUtilization, comparison: <, threshold: 10, period: 300, policy: down}
`

// oldTool makes what the first tool made of such a file.
func (x *scaling) oldTool(ctx context.Context, image string) {
	x.t.Helper()
	name := aws.String("old-web")
	vpcs, err := s.world.EC2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: filter("is-default", "true")})
	if err == nil {
		_, err = s.world.EC2.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: name, Description: aws.String("old"), VpcId: vpcs.Vpcs[0].VpcId})
	}
	x.t.Cleanup(func() {
		if _, err := s.world.EC2.DeleteSecurityGroup(s.ctx, &ec2.DeleteSecurityGroupInput{GroupName: name}); err != nil {
			x.t.Error(err)
		}
		if _, err := x.groups.DeleteLaunchConfiguration(s.ctx, &autoscaling.DeleteLaunchConfigurationInput{LaunchConfigurationName: name}); err != nil {
			x.t.Error(err)
		}
	})
	x.removed(*name)
	if err == nil {
		_, err = x.groups.CreateLaunchConfiguration(ctx, &autoscaling.CreateLaunchConfigurationInput{LaunchConfigurationName: name, ImageId: &image, InstanceType: aws.String("t3.small"),
			KeyName: aws.String("lab"), SecurityGroups: []string{*name}, UserData: aws.String("IyEvYmluL3NoCmVjaG8gb2xkID4vcnVuL29sZA==")})
	}
	if err == nil {
		_, err = x.groups.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: name, LaunchConfigurationName: name,
			MinSize: aws.Int32(1), MaxSize: aws.Int32(2), DesiredCapacity: aws.Int32(1), AvailabilityZones: []string{"us-east-1a"},
			Tags: []astypes.Tag{{Key: aws.String("Team"), Value: aws.String("shop"), PropagateAtLaunch: aws.Bool(true)}}})
	}
	if err == nil {
		_, err = x.groups.PutNotificationConfiguration(ctx, &autoscaling.PutNotificationConfigurationInput{AutoScalingGroupName: name, TopicARN: aws.String("arn:aws:sns:us-east-1:123456789012:ops"),
			NotificationTypes: []string{"autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_LAUNCH_ERROR", "autoscaling:EC2_INSTANCE_TERMINATE", "autoscaling:EC2_INSTANCE_TERMINATE_ERROR"}})
	}
	if err != nil {
		x.t.Fatal(err)
	}
	x.oldAlarm(ctx, "up", 1, cwtypes.ComparisonOperatorGreaterThanThreshold, 70, 60, 2)
	x.oldAlarm(ctx, "down", -1, cwtypes.ComparisonOperatorLessThanThreshold, 10, 300, 1)
}

// oldAlarm makes a policy with its alarm, both under the old tool's names.
func (x *scaling) oldAlarm(ctx context.Context, policy string, by int32, than cwtypes.ComparisonOperator, threshold float64, period, periods int32) {
	x.t.Helper()
	name := "old-web|" + policy
	in := &autoscaling.PutScalingPolicyInput{AutoScalingGroupName: aws.String("old-web"), PolicyName: &name, AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: &by}
	if policy == "up" {
		in.Cooldown = aws.Int32(300)
	}
	p, err := x.groups.PutScalingPolicy(ctx, in)
	if err == nil {
		_, err = x.alarms.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String(name + "|CPUUtilization"), Namespace: aws.String("AWS/EC2"), MetricName: aws.String("CPUUtilization"),
			Statistic: cwtypes.StatisticAverage, ComparisonOperator: than, Threshold: &threshold, Period: &period, EvaluationPeriods: &periods, AlarmActions: []string{*p.PolicyARN},
			Dimensions: []cwtypes.Dimension{{Name: aws.String("AutoScalingGroupName"), Value: aws.String("old-web")}}})
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

// made lists policies and alarms of a group by name.
func (x *scaling) made(ctx context.Context, group string) (names []string) {
	x.t.Helper()
	policies, err := x.groups.DescribePolicies(ctx, &autoscaling.DescribePoliciesInput{AutoScalingGroupName: &group})
	if err != nil {
		x.t.Fatal(err)
	}
	for _, p := range policies.ScalingPolicies {
		names = append(names, aws.ToString(p.PolicyName))
	}
	alarms, err := x.alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String(group + "|")})
	if err != nil {
		x.t.Fatal(err)
	}
	for _, a := range alarms.MetricAlarms {
		if strings.HasPrefix(aws.ToString(a.AlarmName), group+"|") {
			names = append(names, aws.ToString(a.AlarmName))
		}
	}
	slices.Sort(names)
	return names
}

// TestAGroupOfTheOldToolIsAdopted takes what the tool of 2013 made, with its
// machine, over to today: nothing is made twice, and nothing that runs is touched.
func TestAGroupOfTheOldToolIsAdopted(t *testing.T) {
	x := newScaling(t)
	ctx := deadline(t, 90*time.Second)
	image := s.told.report.ImageID
	x.oldTool(ctx, image)
	before := x.serving(ctx, "old-web", 1)
	had := x.made(ctx, "old-web")
	x.write(of2013, image)
	o := x.ends(10, "plan", "--exit-code", "FILE")
	for _, want := range []string{"launch configurations are closed by AWS: the group moves from old-web to a launch template", "2 changes in 1 group"} {
		if !strings.Contains(o.Stdout, want) {
			t.Errorf("the plan does not say %q:\n%s", want, o.Stdout)
		}
	}
	x.settled()
	if now := x.made(ctx, "old-web"); !slices.Equal(now, had) || len(now) != 4 {
		t.Errorf("policies and alarms were %q, are %q", had, now)
	}
	after := x.serving(ctx, "old-web", 1)
	if *after[0].InstanceId != *before[0].InstanceId {
		t.Errorf("%s was replaced by %s", *before[0].InstanceId, *after[0].InstanceId)
	}
	g, err := x.group(ctx, "old-web")
	if err != nil || g.LaunchConfigurationName != nil || g.LaunchTemplate == nil || aws.ToString(g.LaunchTemplate.Version) != "1" {
		t.Errorf("the group launches from %+v (%v), want version 1 of a template", g, err)
	}
	x.grows(ctx, *before[0].InstanceId)
}

// grows has the alarm of the old tool set its policy off: the second machine
// comes from the new template, and is what the old one was.
func (x *scaling) grows(ctx context.Context, first string) {
	x.t.Helper()
	if _, err := x.alarms.SetAlarmState(ctx, &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("old-web|up|CPUUtilization"), StateValue: cwtypes.StateValueAlarm, StateReason: aws.String("the test says so")}); err != nil {
		x.t.Fatal(err)
	}
	all := x.serving(ctx, "old-web", 2)
	for _, i := range all {
		out, err := s.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{*i.InstanceId}})
		if err != nil {
			x.t.Fatal(err)
		}
		is := out.Reservations[0].Instances[0]
		if *i.InstanceId != first && aws.ToString(i.LaunchTemplate.Version) != "1" {
			x.t.Errorf("%s comes from %+v", *i.InstanceId, i.LaunchTemplate)
		}
		if got := described(is); got != fmt.Sprintf("%s lab old-web shop", s.told.report.ImageID) {
			x.t.Errorf("%s is %s", *i.InstanceId, got)
		}
	}
	x.ends(0, "plan", "--exit-code", "FILE")
}

// described is what an instance was launched with, as far as the files here say it.
func described(i ec2types.Instance) string {
	team, group := "", ""
	for _, tag := range i.Tags {
		if aws.ToString(tag.Key) == "Team" {
			team = aws.ToString(tag.Value)
		}
	}
	if len(i.SecurityGroups) > 0 {
		group = aws.ToString(i.SecurityGroups[0].GroupName)
	}
	return fmt.Sprintf("%s %s %s %s", aws.ToString(i.ImageId), aws.ToString(i.KeyName), group, team)
}
