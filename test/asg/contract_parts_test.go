package asg_test

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// actionCases are about what groups do by themselves or are told to.
func actionCases() map[string]func(client) error {
	return map[string]func(client) error{
		"a hook holds a launch until it is completed":    client.aHookHoldsALaunchUntilItIsCompleted,
		"hooks are found by their names":                 client.hooksAreFoundByTheirNames,
		"a launch is an activity with a cause":           client.aLaunchIsAnActivityWithACause,
		"a refresh brings a new version in":              client.aRefreshBringsANewVersionIn,
		"a warm pool fills":                              client.aWarmPoolFills,
		"a policy that is executed changes the capacity": client.aPolicyThatIsExecutedChangesTheCapacity,
		"target tracking makes two alarms":               client.targetTrackingMakesTwoAlarms,
		"an alarm calls its policy":                      client.anAlarmCallsItsPolicy,
		"metrics that are put are listed":                client.metricsThatArePutAreListed,
		"traffic sources are kept":                       client.trafficSourcesAreKept,
		"suspended processes are shown and resumed":      client.suspendedProcessesAreShownAndResumed,
		"tags are found by the group's name":             client.tagsAreFoundByTheGroupsName,
		"a token that nobody gave is refused":            client.aTokenThatNobodyGaveIsRefused,
		"a schedule shows when it fires next":            client.aScheduleShowsWhenItFiresNext,
	}
}

func (c client) aHookHoldsALaunchUntilItIsCompleted() error {
	_, err := c.sized(1, func(in *as.CreateAutoScalingGroupInput) {
		in.LifecycleHookSpecificationList = []types.LifecycleHookSpecification{{LifecycleHookName: aws.String("ready"), LifecycleTransition: aws.String(onLaunch)}}
	})
	g, err := c.after(err)
	if err != nil || len(g.Instances) != 1 {
		return fmt.Errorf("%d instances, %v", len(g.Instances), err)
	}
	if err := same("states", lifecycles(g), []string{"Pending:Wait"}); err != nil {
		return err
	}
	_, err = c.as.CompleteLifecycleAction(c.ctx, &as.CompleteLifecycleActionInput{AutoScalingGroupName: &c.name, LifecycleHookName: aws.String("ready"), InstanceId: g.Instances[0].InstanceId, LifecycleActionResult: aws.String("CONTINUE")})
	g, err = c.after(err)
	return errors.Join(err, same("states", lifecycles(g), []string{"InService"}))
}

func (c client) aLaunchIsAnActivityWithACause() error {
	if _, err := c.sized(1); err != nil {
		return err
	}
	out, err := c.as.DescribeScalingActivities(c.ctx, &as.DescribeScalingActivitiesInput{AutoScalingGroupName: &c.name})
	if err != nil || len(out.Activities) != 1 {
		return fmt.Errorf("%v, %v", out, err)
	}
	return errors.Join(same("status", out.Activities[0].StatusCode, "Successful"), same("a cause", aws.ToString(out.Activities[0].Cause) != "", true))
}

func (c client) aRefreshBringsANewVersionIn() error {
	if _, err := c.sized(1); err != nil {
		return err
	}
	if err := errors.Join(c.next(), c.refresh("2", types.RefreshPreferences{InstanceWarmup: aws.Int32(0)})); err != nil {
		return err
	}
	g, err := c.after(nil)
	if err != nil {
		return err
	}
	r, err := c.newest()
	return errors.Join(err, same("status", r.Status, "Successful"), same("the group's version", *g.LaunchTemplate.Version, "2"), same("the instance's", *g.Instances[0].LaunchTemplate.Version, "2"))
}

func (c client) aWarmPoolFills() error {
	if _, err := c.sized(1); err != nil {
		return err
	}
	if _, err := c.as.PutWarmPool(c.ctx, &as.PutWarmPoolInput{AutoScalingGroupName: &c.name, MinSize: aws.Int32(1), MaxGroupPreparedCapacity: aws.Int32(2)}); err != nil {
		return err
	}
	out, err := c.as.DescribeWarmPool(c.ctx, &as.DescribeWarmPoolInput{AutoScalingGroupName: &c.name})
	if err != nil || len(out.Instances) != 1 {
		return fmt.Errorf("%v, %v", out, err)
	}
	return errors.Join(same("state", out.Instances[0].LifecycleState, "Warmed:Stopped"), same("min", *out.WarmPoolConfiguration.MinSize, 1))
}

func (c client) aPolicyThatIsExecutedChangesTheCapacity() error {
	if _, err := c.sized(1); err != nil {
		return err
	}
	if _, err := c.as.PutScalingPolicy(c.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &c.name, PolicyName: aws.String(c.name + "-up"), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: aws.Int32(2)}); err != nil {
		return err
	}
	_, err := c.as.ExecutePolicy(c.ctx, &as.ExecutePolicyInput{AutoScalingGroupName: &c.name, PolicyName: aws.String(c.name + "-up")})
	g, err := c.after(err)
	if err != nil {
		return err
	}
	return errors.Join(same("desired", *g.DesiredCapacity, 3), same("instances", len(g.Instances), 3))
}

func (c client) targetTrackingMakesTwoAlarms() error {
	if err := c.group(); err != nil {
		return err
	}
	out, err := c.as.PutScalingPolicy(c.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &c.name, PolicyName: aws.String(c.name + "-cpu"), PolicyType: aws.String("TargetTrackingScaling"),
		TargetTrackingConfiguration: &types.TargetTrackingConfiguration{TargetValue: aws.Float64(50), PredefinedMetricSpecification: &types.PredefinedMetricSpecification{PredefinedMetricType: "ASGAverageCPUUtilization"}}})
	if err != nil || len(out.Alarms) != 2 {
		return fmt.Errorf("%v, %v", out, err)
	}
	found, err := c.cw.DescribeAlarms(c.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{*out.Alarms[0].AlarmName, *out.Alarms[1].AlarmName}})
	if err != nil || len(found.MetricAlarms) != 2 {
		return fmt.Errorf("%v, %v", found, err)
	}
	return same("the policy is called", found.MetricAlarms[0].AlarmActions, []string{*out.PolicyARN})
}

func (c client) anAlarmCallsItsPolicy() error {
	if _, err := c.sized(1); err != nil {
		return err
	}
	out, err := c.as.PutScalingPolicy(c.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &c.name, PolicyName: aws.String(c.name + "-up"), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: aws.Int32(1)})
	if err != nil {
		return err
	}
	_, err = c.cw.PutMetricAlarm(c.ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: &c.name, Namespace: aws.String("N"), MetricName: aws.String("M"), Statistic: "Average", ComparisonOperator: "GreaterThanThreshold",
		Threshold: aws.Float64(1), Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), AlarmActions: []string{aws.ToString(out.PolicyARN)}})
	if err == nil {
		_, err = c.cw.SetAlarmState(c.ctx, &cloudwatch.SetAlarmStateInput{AlarmName: &c.name, StateValue: "ALARM", StateReason: aws.String("a drill")})
	}
	g, err := c.after(err)
	if err != nil {
		return err
	}
	return same("desired", *g.DesiredCapacity, 2)
}

func (c client) metricsThatArePutAreListed() error {
	_, err := c.cw.PutMetricData(c.ctx, &cloudwatch.PutMetricDataInput{Namespace: &c.name, MetricData: []cwtypes.MetricDatum{{MetricName: aws.String("m"), Value: aws.Float64(1.5)}}})
	if err != nil {
		return err
	}
	out, err := c.cw.ListMetrics(c.ctx, &cloudwatch.ListMetricsInput{Namespace: &c.name})
	if err != nil || len(out.Metrics) != 1 {
		return fmt.Errorf("%v, %v", out, err)
	}
	return same("name", *out.Metrics[0].MetricName, "m")
}

func (c client) trafficSourcesAreKept() error {
	if err := c.group(); err != nil {
		return err
	}
	if _, err := c.as.AttachTrafficSources(c.ctx, &as.AttachTrafficSourcesInput{AutoScalingGroupName: &c.name, TrafficSources: []types.TrafficSourceIdentifier{{Identifier: aws.String("arn:lattice"), Type: aws.String("vpc-lattice")}}}); err != nil {
		return err
	}
	out, err := c.as.DescribeTrafficSources(c.ctx, &as.DescribeTrafficSourcesInput{AutoScalingGroupName: &c.name})
	if err != nil || len(out.TrafficSources) != 1 {
		return fmt.Errorf("%v, %v", out, err)
	}
	return same("identifier", *out.TrafficSources[0].Identifier, "arn:lattice")
}

func (c client) suspendedProcessesAreShownAndResumed() error {
	if err := c.group(); err != nil {
		return err
	}
	_, err := c.as.SuspendProcesses(c.ctx, &as.SuspendProcessesInput{AutoScalingGroupName: &c.name, ScalingProcesses: []string{"Launch", "Terminate"}})
	if err == nil {
		_, err = c.as.ResumeProcesses(c.ctx, &as.ResumeProcessesInput{AutoScalingGroupName: &c.name, ScalingProcesses: []string{"Launch"}})
	}
	g, err := c.after(err)
	if err != nil || len(g.SuspendedProcesses) != 1 {
		return fmt.Errorf("%v, %v", g.SuspendedProcesses, err)
	}
	return same("process", *g.SuspendedProcesses[0].ProcessName, "Terminate")
}

func (c client) tagsAreFoundByTheGroupsName() error {
	_, err := c.sized(0, func(in *as.CreateAutoScalingGroupInput) {
		in.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("shop"), PropagateAtLaunch: aws.Bool(true)}}
	})
	if err != nil {
		return err
	}
	out, err := c.as.DescribeTags(c.ctx, &as.DescribeTagsInput{Filters: []types.Filter{{Name: aws.String("auto-scaling-group"), Values: []string{c.name}}}})
	if err != nil || len(out.Tags) != 1 {
		return fmt.Errorf("%v, %v", out, err)
	}
	return errors.Join(same("tag", *out.Tags[0].Key+"="+*out.Tags[0].Value, "team=shop"), same("propagates", *out.Tags[0].PropagateAtLaunch, true))
}

func (c client) aTokenThatNobodyGaveIsRefused() error {
	_, err := c.as.DescribeAutoScalingGroups(c.ctx, &as.DescribeAutoScalingGroupsInput{NextToken: aws.String("nobody")})
	return code(err, "InvalidNextToken")
}

func (c client) aScheduleShowsWhenItFiresNext() error {
	if err := c.group(); err != nil {
		return err
	}
	if _, err := c.as.PutScheduledUpdateGroupAction(c.ctx, &as.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: &c.name, ScheduledActionName: aws.String(c.name), Recurrence: aws.String("0 8 * * *"), MinSize: aws.Int32(1)}); err != nil {
		return err
	}
	out, err := c.as.DescribeScheduledActions(c.ctx, &as.DescribeScheduledActionsInput{AutoScalingGroupName: &c.name})
	if err != nil || len(out.ScheduledUpdateGroupActions) != 1 || out.ScheduledUpdateGroupActions[0].StartTime == nil {
		return fmt.Errorf("%v, %v", out, err)
	}
	return same("hour", out.ScheduledUpdateGroupActions[0].StartTime.UTC().Hour(), 8)
}

func (c client) hooksAreFoundByTheirNames() error {
	if err := c.group(); err != nil {
		return err
	}
	for _, name := range []string{"one", "two"} {
		if _, err := c.as.PutLifecycleHook(c.ctx, &as.PutLifecycleHookInput{AutoScalingGroupName: &c.name, LifecycleHookName: &name, LifecycleTransition: aws.String(onLaunch)}); err != nil {
			return err
		}
	}
	out, err := c.as.DescribeLifecycleHooks(c.ctx, &as.DescribeLifecycleHooksInput{AutoScalingGroupName: &c.name, LifecycleHookNames: []string{"two"}})
	if err != nil || len(out.LifecycleHooks) != 1 {
		return fmt.Errorf("%v, %v", out, err)
	}
	return same("name", *out.LifecycleHooks[0].LifecycleHookName, "two")
}
