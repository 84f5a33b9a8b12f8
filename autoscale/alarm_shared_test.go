package autoscale

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
)

// putAlarm is an alarm that somebody made by hand.
func (c *cloud) putAlarm(name string, actions ...string) {
	c.t.Helper()
	if _, err := c.w.Alarms.PutMetricAlarm(context.Background(), &cloudwatch.PutMetricAlarmInput{AlarmName: &name, Namespace: aws.String("N"), MetricName: aws.String("M"), Statistic: "Average",
		ComparisonOperator: "GreaterThanThreshold", Threshold: aws.Float64(1), Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), AlarmActions: actions}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) actionsOf(alarm string) []string {
	c.t.Helper()
	out, err := c.w.Alarms.DescribeAlarms(context.Background(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{alarm}})
	if err != nil {
		c.t.Fatal(err)
	}
	if len(out.MetricAlarms) != 1 {
		return nil
	}
	return out.MetricAlarms[0].AlarmActions
}

const twoGroups = `version: 2
region: us-east-1
defaults: {capacity: {min: 1, max: 4}, launch: {image: ami-1, type: t3.small}, network: {zones: [us-east-1a]}, policies: {up: {type: ChangeInCapacity, adjustment: 1}}}
groups:
  api: {alarms: %s}
  web: {alarms: %s}
`

func TestAnAlarmOfTwoGroupsOutlivesOneOfThem(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	s := mustParse(t, fmt.Sprintf(twoGroups, "{}", "{}"))
	c.apply(fmt.Sprintf(twoGroups, "{}", "{}"))
	live := c.observe(s).Groups
	api, web := live["api"].PolicyARNs["api|up"], live["web"].PolicyARNs["web|up"]
	c.putAlarm("both", api, web, "arn:aws:sns:a:b:page")
	keeps := "{busy: {name: both, namespace: N, metric: M, dimensions: {}, comparison: '>', threshold: 1, period: 60, policy: up}}"
	c.apply(fmt.Sprintf(twoGroups, keeps, "{}"))
	if got := c.actionsOf("both"); !slices.Contains(got, api) || slices.Contains(got, web) || !slices.Contains(got, "arn:aws:sns:a:b:page") {
		t.Errorf("the alarm that api keeps and web does not sets off %v", got)
	}
	c.putAlarm("both", api, web)
	if p := c.apply(fmt.Sprintf(twoGroups, keeps, keeps)); !p.Empty() {
		t.Errorf("an alarm that both groups describe: %s", summary(p))
	}
}

func TestAnAlarmIsNotAGroupsForTheFirstWordOfItsName(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(in(alarmed))
	c.putAlarm("web|disk full", "arn:aws:sns:a:b:page")
	c.putAlarm("web|gone|M")
	p := c.apply(in(alarmed))
	if got := summary(p); len(got) != 1 || !strings.Contains(got[0], "web|gone|M") {
		t.Errorf("beside what an older file left, the plan touches %v", got)
	}
	c.putAlarm("page Jo", "arn:aws:sns:a:b:page")
	c.apply(in(strings.Replace(alarmed, "busy: {", "busy: {name: page Jo, ", 1)))
	if got := c.actionsOf("page Jo"); !slices.Contains(got, "arn:aws:sns:a:b:page") || len(got) != 2 {
		t.Errorf("an alarm that was there by the name that the file gives sets off %v", got)
	}
}

func TestAFileOf2013LeavesAlarmsThatItCannotSay(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.oldTool()
	c.apply(old)
	out, err := c.as.PutScalingPolicy(context.Background(), &as.PutScalingPolicyInput{AutoScalingGroupName: aws.String("web"), PolicyName: aws.String("steps"), PolicyType: aws.String("StepScaling"),
		AdjustmentType: aws.String("ChangeInCapacity"), StepAdjustments: []astypes.StepAdjustment{{MetricIntervalLowerBound: aws.Float64(0), ScalingAdjustment: aws.Int32(1)}}})
	if err != nil {
		t.Fatal(err)
	}
	c.putAlarm("by hand", val(out.PolicyARN))
	c.putAlarm("web||disk", "arn:aws:sns:a:b:page")
	c.putAlarm("web|gone|M")
	p := c.apply(old)
	if got := summary(p); len(got) != 1 || !strings.HasPrefix(got[0], "delete alarm web|gone|M") {
		t.Errorf("the plan of a file of 2013 touches %s", got)
	}
}
