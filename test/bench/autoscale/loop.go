//go:build bench

package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// byGroup reads what a plan compares as the tool of 2013 and simple scripts
// do: for each group the group, its launch template, its policies and its
// alarms. It compares nothing, which only helps it.
func byGroup(ctx context.Context, groups int) error {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	scaling, machines, alarms := as.NewFromConfig(cfg), ec2.NewFromConfig(cfg), cloudwatch.NewFromConfig(cfg)
	for n := range groups {
		one := name(n)
		if _, err := scaling.DescribeAutoScalingGroups(ctx, &as.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{one}}); err != nil {
			return err
		}
		if _, err := machines.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: &one}); err != nil {
			return err
		}
		if _, err := scaling.DescribePolicies(ctx, &as.DescribePoliciesInput{AutoScalingGroupName: &one}); err != nil {
			return err
		}
		if _, err := alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String(one + "|")}); err != nil {
			return err
		}
	}
	return nil
}
