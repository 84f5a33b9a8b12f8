package autoscale

import (
	"context"
	"maps"
	"slices"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"bakehouse/internal/awserr"
)

// gone makes the absence of what was to be deleted a success. Auto Scaling
// answers ValidationError both to that and to a malformed call.
func gone(err error) error {
	if awserr.IsNotFound(err) {
		return nil
	}
	return err
}

// groupTag is what kind of thing a tag of this room stands on.
const groupTag = "auto-scaling-group"

func tagsOf(group string, tags map[string]Tag) []astypes.Tag {
	var out []astypes.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, astypes.Tag{Key: ptr(key), Value: tags[key].Value, PropagateAtLaunch: or(tags[key].Propagate, true),
			ResourceId: &group, ResourceType: ptr(groupTag)})
	}
	return out
}

func (r *run) putTags(ctx context.Context, tags map[string]Tag) error {
	_, err := r.w.Groups.CreateOrUpdateTags(ctx, &as.CreateOrUpdateTagsInput{Tags: tagsOf(r.group, tags)})
	return err
}

func (r *run) deleteTags(ctx context.Context, keys []string) error {
	in := &as.DeleteTagsInput{}
	for _, key := range keys {
		in.Tags = append(in.Tags, astypes.Tag{Key: ptr(key), ResourceId: &r.group, ResourceType: ptr(groupTag)})
	}
	_, err := r.w.Groups.DeleteTags(ctx, in)
	return err
}

func (r *run) targetGroups(ctx context.Context, k Kind, arns []string) error {
	if k == Attach {
		_, err := r.w.Groups.AttachLoadBalancerTargetGroups(ctx, &as.AttachLoadBalancerTargetGroupsInput{AutoScalingGroupName: &r.group, TargetGroupARNs: arns})
		return err
	}
	_, err := r.w.Groups.DetachLoadBalancerTargetGroups(ctx, &as.DetachLoadBalancerTargetGroupsInput{AutoScalingGroupName: &r.group, TargetGroupARNs: arns})
	return err
}

func (r *run) classic(ctx context.Context, k Kind, names []string) error {
	if k == Attach {
		_, err := r.w.Groups.AttachLoadBalancers(ctx, &as.AttachLoadBalancersInput{AutoScalingGroupName: &r.group, LoadBalancerNames: names})
		return err
	}
	_, err := r.w.Groups.DetachLoadBalancers(ctx, &as.DetachLoadBalancersInput{AutoScalingGroupName: &r.group, LoadBalancerNames: names})
	return err
}

func (r *run) metrics(ctx context.Context, k Kind, names []string) error {
	if k == EnableMetrics {
		_, err := r.w.Groups.EnableMetricsCollection(ctx, &as.EnableMetricsCollectionInput{AutoScalingGroupName: &r.group, Granularity: ptr("1Minute"), Metrics: names})
		return err
	}
	_, err := r.w.Groups.DisableMetricsCollection(ctx, &as.DisableMetricsCollectionInput{AutoScalingGroupName: &r.group, Metrics: names})
	return err
}

func (r *run) processes(ctx context.Context, k Kind, names []string) error {
	if k == Suspend {
		_, err := r.w.Groups.SuspendProcesses(ctx, &as.SuspendProcessesInput{AutoScalingGroupName: &r.group, ScalingProcesses: names})
		return err
	}
	_, err := r.w.Groups.ResumeProcesses(ctx, &as.ResumeProcessesInput{AutoScalingGroupName: &r.group, ScalingProcesses: names})
	return err
}

func (r *run) putHook(ctx context.Context, name string, h Hook) error {
	_, err := r.w.Groups.PutLifecycleHook(ctx, &as.PutLifecycleHookInput{AutoScalingGroupName: &r.group, LifecycleHookName: &name,
		LifecycleTransition: ptr(transitions()[val(h.On)]), HeartbeatTimeout: num32(h.Timeout), DefaultResult: h.Default,
		NotificationTargetARN: h.Topic, RoleARN: h.Role, NotificationMetadata: h.Metadata})
	return err
}

func (r *run) deleteHook(ctx context.Context, name string) error {
	_, err := r.w.Groups.DeleteLifecycleHook(ctx, &as.DeleteLifecycleHookInput{AutoScalingGroupName: &r.group, LifecycleHookName: &name})
	return gone(err)
}

func (r *run) putNotice(ctx context.Context, topic string, events []string) error {
	_, err := r.w.Groups.PutNotificationConfiguration(ctx, &as.PutNotificationConfigurationInput{AutoScalingGroupName: &r.group, TopicARN: &topic, NotificationTypes: events})
	return err
}

func (r *run) deleteNotice(ctx context.Context, topic string) error {
	_, err := r.w.Groups.DeleteNotificationConfiguration(ctx, &as.DeleteNotificationConfigurationInput{AutoScalingGroupName: &r.group, TopicARN: &topic})
	return gone(err)
}

func (r *run) putPolicy(ctx context.Context, name string, p Policy) error {
	in := &as.PutScalingPolicyInput{AutoScalingGroupName: &r.group, PolicyName: &name, PolicyType: ptr(p.style()), AdjustmentType: p.Type, Enabled: p.Enabled,
		MinAdjustmentMagnitude: num32(p.Magnitude), ScalingAdjustment: num32(p.Adjustment), Cooldown: num32(p.Cooldown),
		MetricAggregationType: p.Aggregate, EstimatedInstanceWarmup: num32(p.Warmup)}
	for _, s := range p.Steps {
		in.StepAdjustments = append(in.StepAdjustments, astypes.StepAdjustment{MetricIntervalLowerBound: s.From, MetricIntervalUpperBound: s.To, ScalingAdjustment: num32(s.Adjustment)})
	}
	if p.Track != nil {
		in.TargetTrackingConfiguration = tracking(*p.Track)
	}
	out, err := r.w.Groups.PutScalingPolicy(ctx, in)
	if err != nil {
		return err
	}
	r.arns[name] = val(out.PolicyARN)
	return nil
}

func tracking(t Track) *astypes.TargetTrackingConfiguration {
	c := &astypes.TargetTrackingConfiguration{TargetValue: t.Target, DisableScaleIn: t.DisableScaleIn}
	if t.Predefined != nil {
		c.PredefinedMetricSpecification = &astypes.PredefinedMetricSpecification{PredefinedMetricType: astypes.MetricType(*t.Predefined), ResourceLabel: t.Label}
		return c
	}
	m := &astypes.CustomizedMetricSpecification{Namespace: t.Namespace, MetricName: t.Metric, Statistic: astypes.MetricStatistic(val(t.Statistic)),
		Unit: t.Unit, Period: num32(t.Period), Dimensions: dimensions(t.Dimensions)}
	for _, q := range t.Queries {
		out := astypes.TargetTrackingMetricDataQuery{Id: q.ID, Expression: q.Expression, Label: q.Label, ReturnData: q.Return}
		if q.Metric != nil {
			out.MetricStat = &astypes.TargetTrackingMetricStat{Stat: q.Statistic, Unit: q.Unit, Period: num32(q.Period),
				Metric: &astypes.Metric{MetricName: q.Metric, Namespace: q.Namespace, Dimensions: dimensions(q.Dimensions)}}
		} else {
			out.Period = num32(q.Period)
		}
		m.Metrics = append(m.Metrics, out)
	}
	c.CustomizedMetricSpecification = m
	return c
}

func dimensions(all map[string]string) []astypes.MetricDimension {
	var out []astypes.MetricDimension
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, astypes.MetricDimension{Name: ptr(name), Value: ptr(all[name])})
	}
	return out
}

func (r *run) deletePolicy(ctx context.Context, name string) error {
	_, err := r.w.Groups.DeletePolicy(ctx, &as.DeletePolicyInput{AutoScalingGroupName: &r.group, PolicyName: &name})
	return gone(err)
}

func (r *run) putAlarm(ctx context.Context, name, policy string, a Alarm) error {
	arn, err := r.arn(ctx, policy)
	if err != nil {
		return err
	}
	in := &cloudwatch.PutMetricAlarmInput{AlarmName: &name, Namespace: a.Namespace, MetricName: a.Metric, Statistic: cwtypes.Statistic(val(a.Statistic)),
		ComparisonOperator: comparisons()[val(a.Comparison)], Threshold: a.Threshold, Period: num32(a.Period), EvaluationPeriods: num32(a.Periods),
		DatapointsToAlarm: num32(a.Datapoints), TreatMissingData: a.Missing, Unit: cwtypes.StandardUnit(val(a.Unit)), AlarmActions: []string{arn}}
	in.Dimensions, in.Metrics = watchedDimensions(a.Dimensions), watched(a.Queries)
	_, err = r.w.Alarms.PutMetricAlarm(ctx, in)
	return err
}

func watchedDimensions(all map[string]string) []cwtypes.Dimension {
	var out []cwtypes.Dimension
	for _, key := range slices.Sorted(maps.Keys(all)) {
		out = append(out, cwtypes.Dimension{Name: ptr(key), Value: ptr(all[key])})
	}
	return out
}

// watched are queries as an alarm has them; a target tracking policy has the
// same in types of its own.
func watched(all []Query) []cwtypes.MetricDataQuery {
	var out []cwtypes.MetricDataQuery
	for _, q := range all {
		one := cwtypes.MetricDataQuery{Id: q.ID, Expression: q.Expression, Label: q.Label, ReturnData: q.Return}
		if q.Metric != nil {
			one.MetricStat = &cwtypes.MetricStat{Stat: q.Statistic, Unit: cwtypes.StandardUnit(val(q.Unit)), Period: num32(q.Period),
				Metric: &cwtypes.Metric{MetricName: q.Metric, Namespace: q.Namespace, Dimensions: watchedDimensions(q.Dimensions)}}
		} else {
			one.Period = num32(q.Period)
		}
		out = append(out, one)
	}
	return out
}

func (r *run) deleteAlarm(ctx context.Context, name string) error {
	_, err := r.w.Alarms.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{name}})
	return gone(err)
}

func (r *run) putSchedule(ctx context.Context, name string, s Schedule) error {
	in := &as.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: &r.group, ScheduledActionName: &name, Recurrence: s.Cron,
		MinSize: num32(s.Min), MaxSize: num32(s.Max), DesiredCapacity: num32(s.Desired)}
	if s.Cron != nil {
		in.TimeZone = s.TimeZone
	}
	for _, t := range []struct {
		into **time.Time
		text *string
	}{{&in.StartTime, s.Start}, {&in.EndTime, s.End}} {
		// Parse has refused what does not read.
		if at, err := time.Parse(time.RFC3339, val(t.text)); err == nil {
			*t.into = &at
		}
	}
	_, err := r.w.Groups.PutScheduledUpdateGroupAction(ctx, in)
	return err
}

func (r *run) deleteSchedule(ctx context.Context, name string) error {
	_, err := r.w.Groups.DeleteScheduledAction(ctx, &as.DeleteScheduledActionInput{AutoScalingGroupName: &r.group, ScheduledActionName: &name})
	return gone(err)
}
