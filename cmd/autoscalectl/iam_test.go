package main

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"bakehouse/test/asg"
)

// policy reads the actions that docs/iam/autoscalectl.json allows under sid.
func policy(t *testing.T, sid string) []string {
	t.Helper()
	b, err := os.ReadFile("../../docs/iam/autoscalectl.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Statement []struct {
			Sid    string
			Action []string
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, s := range doc.Statement {
		if s.Sid == sid {
			return s.Action
		}
	}
	t.Fatalf("there is no statement %s", sid)
	return nil
}

// called are the actions since the last call, as IAM names them.
func (d *desk) called() []string {
	var out []string
	for _, c := range d.aws.Calls() {
		service := map[string]string{"autoscaling": "autoscaling", "ec2": "ec2", "monitoring": "cloudwatch", "elasticloadbalancing": "elasticloadbalancing", "ssm": "ssm"}[c.Service]
		out = append(out, service+":"+c.Action)
	}
	d.aws.Forget()
	slices.Sort(out)
	return slices.Compact(out)
}

// passed are rights that AWS checks without a call of ours.
func passed() []string { return []string{"ec2:RunInstances", "iam:PassRole", "ec2:CreateTags"} }

// need demands that got is what the statements allow.
func need(t *testing.T, what string, got []string, sids ...string) {
	t.Helper()
	var allowed []string
	for _, sid := range sids {
		allowed = append(allowed, policy(t, sid)...)
	}
	slices.Sort(allowed)
	allowed = slices.DeleteFunc(slices.Compact(allowed), func(a string) bool { return slices.Contains(passed(), a) })
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, allowed) {
		t.Errorf("%s calls\n%v\nand docs/iam/autoscalectl.json allows\n%v", what, got, allowed)
	}
}

func TestThePolicyListsTheCallsThatAreMade(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	h := d.hand()
	ctx := context.Background()
	// A plan makes every read, on a group that still has its launch configuration.
	must[*as.CreateLaunchConfigurationOutput](h)(h.as.CreateLaunchConfiguration(ctx, &as.CreateLaunchConfigurationInput{LaunchConfigurationName: aws.String("lc")}))
	h.group(as.CreateAutoScalingGroupInput{LaunchConfigurationName: aws.String("lc")})
	d.aws.AddTargetGroup(asg.TargetGroup{Name: "shop", ID: "0123456789abcdef", LoadBalancers: []string{"app/shop/fedcba9876543210"}})
	d.aws.Forget()
	d.aws.SetParameter("/ami/web", "ami-1")
	h.alarm(cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("web|up|CPUUtilization")})
	d.aws.Forget()
	d.write(strings.NewReplacer("image: ami-1, type: t3.small, user", "image: ssm:/ami/web, type: t3.small, user", "period: 300, policy: up}", "period: 300, policy: up, tags: {A: b}}").Replace(short))
	d.want(0, "the group moves from lc to a launch template", "plan", "FILE")
	read := d.called()
	need(t, "a plan", read, "Plan")
	got := read
	for _, text := range []string{everything, strings.Replace(everything, "tags: {A: b}", "tags: {C: d}", 1), strings.ReplaceAll(sample, "    schedules: {}\n", nothing), sample, short} {
		d.write(text)
		d.want(0, "", "apply", "--yes", "FILE")
	}
	d.write(strings.Replace(sample, "  web:", "  none:", 1))
	d.want(0, "", "prune", "--yes", "--max-share", "1", "FILE")
	d.want(0, "", "apply", "--yes", "FILE")
	got = append(got, d.called()...)
	must[*as.PutWarmPoolOutput](h)(h.as.PutWarmPool(ctx, &as.PutWarmPoolInput{AutoScalingGroupName: aws.String("none"), MinSize: aws.Int32(1)}))
	instance := must[*as.DescribeAutoScalingGroupsOutput](h)(h.as.DescribeAutoScalingGroups(ctx, &as.DescribeAutoScalingGroupsInput{})).AutoScalingGroups[0].Instances[0]
	must[*as.SetInstanceProtectionOutput](h)(h.as.SetInstanceProtection(ctx, &as.SetInstanceProtectionInput{AutoScalingGroupName: aws.String("none"), InstanceIds: []string{*instance.InstanceId}, ProtectedFromScaleIn: aws.Bool(true)}))
	d.aws.Forget()
	d.want(0, "warm pool", "status", "FILE")
	look := d.called()
	for _, args := range [][]string{{"--replace-all"}, {"--rollback"}, {"--replace-all"}, {"--cancel"}} {
		d.want(0, "", append([]string{"refresh", "--yes", "none", "FILE"}, args...)...)
	}
	refresh := d.called()
	d.want(0, "unprotect instances", "destroy", "--yes", "--lift", "--region", "us-east-1", "none")
	got = append(got, d.called()...)
	need(t, "status", slices.Concat(look, read), "Plan", "Look")
	need(t, "refresh", slices.Concat(refresh, look, read), "Plan", "Look", "Refresh")
	need(t, "everything but refresh", slices.DeleteFunc(slices.Concat(got, look), func(a string) bool { return a == "autoscaling:CancelInstanceRefresh" }), "Plan", "Look", "Apply")
}

// short makes each read beside those of any plan.
const short = sample + `    metrics: []
  jobs:
    capacity: {min: 1, max: 4}
    launch: {image: ami-1, type: t3.small}
    network: {zones: [us-east-1a]}
    policies: {jobs: {queue: {name: jobs, latency: 60, seconds_per_message: 2}}, load: {requests_per_target: {target: 9, target_group: shop}}}
`

// everything and nothing make each write once.
const everything = `version: 2
region: us-east-1
owner: shop
groups:
  web:
    capacity: {min: 1, max: 4}
    launch: {image: ssm:/ami/web, type: t3.small}
    network: {zones: [us-east-1a]}
    load_balancing: {target_groups: ['arn:a'], classic: [a], traffic_sources: ['arn:aws:vpc-lattice:b']}
    warm_pool: {min: 0}
    tags: {Team: shop}
    policies: {up: {type: ChangeInCapacity, adjustment: 1}, more: {type: ChangeInCapacity, adjustment: 1}}
    alarms: {idle: {namespace: AWS/EC2, metric: NetworkIn, comparison: '<', threshold: 1, period: 60, policy: up, tags: {A: b}}}
    hooks: {h: {on: launching}}
    notifications: {'arn:aws:sns:us-east-1:1:t': ['autoscaling:EC2_INSTANCE_LAUNCH']}
    schedules: {s: {cron: '0 8 * * *', min: 1}}
    metrics: [GroupDesiredCapacity]
    suspended: [AZRebalance]
`

const nothing = `    schedules: {}
    load_balancing: {target_groups: [], classic: [], traffic_sources: []}
    warm_pool: none
    tags: {}
    metrics: []
    suspended: []
`
