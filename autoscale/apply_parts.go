package autoscale

import (
	"context"
	"maps"
	"slices"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

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

// sources are traffic sources of the one kind that has no list of its own.
func sources(arns []string) []astypes.TrafficSourceIdentifier {
	var all []astypes.TrafficSourceIdentifier
	for _, arn := range arns {
		all = append(all, astypes.TrafficSourceIdentifier{Identifier: &arn, Type: ptr("vpc-lattice")})
	}
	return all
}

func (r *run) traffic(ctx context.Context, k Kind, arns []string, skip *bool) error {
	all := sources(arns)
	if k == Attach {
		_, err := r.w.Groups.AttachTrafficSources(ctx, &as.AttachTrafficSourcesInput{AutoScalingGroupName: &r.group, TrafficSources: all, SkipZonalShiftValidation: skip})
		return err
	}
	_, err := r.w.Groups.DetachTrafficSources(ctx, &as.DetachTrafficSourcesInput{AutoScalingGroupName: &r.group, TrafficSources: all})
	return err
}

func (r *run) putWarmPool(ctx context.Context, p WarmPool) error {
	in := &as.PutWarmPoolInput{AutoScalingGroupName: &r.group}
	toAWS(&p, in)
	_, err := r.w.Groups.PutWarmPool(ctx, in)
	return err
}

// deleteWarmPool lets AWS end the pool's instances before the pool goes.
func (r *run) deleteWarmPool(ctx context.Context) error {
	_, err := r.w.Groups.DeleteWarmPool(ctx, &as.DeleteWarmPoolInput{AutoScalingGroupName: &r.group})
	return gone(err)
}

func (r *run) putHook(ctx context.Context, name string, h Hook) error {
	in := &as.PutLifecycleHookInput{AutoScalingGroupName: &r.group, LifecycleHookName: &name, LifecycleTransition: ptr(transitions()[val(h.On)])}
	toAWS(&h, in)
	_, err := r.w.Groups.PutLifecycleHook(ctx, in)
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
	in := &as.PutScalingPolicyInput{AutoScalingGroupName: &r.group, PolicyName: &name, PolicyType: ptr(p.style())}
	toAWS(&p, in)
	out, err := r.w.Groups.PutScalingPolicy(ctx, in)
	if err != nil {
		return err
	}
	r.arns[name] = val(out.PolicyARN)
	return nil
}

func (r *run) deletePolicy(ctx context.Context, name string) error {
	_, err := r.w.Groups.DeletePolicy(ctx, &as.DeletePolicyInput{AutoScalingGroupName: &r.group, PolicyName: &name})
	return gone(err)
}

func (r *run) deleteAlarm(ctx context.Context, name string) error {
	_, err := r.w.Alarms.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{name}})
	return gone(err)
}

func (r *run) putSchedule(ctx context.Context, name string, s Schedule) error {
	if s.Cron == nil {
		s.TimeZone = nil // AWS takes one only with a recurrence
	}
	in := &as.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: &r.group, ScheduledActionName: &name}
	toAWS(&s, in)
	_, err := r.w.Groups.PutScheduledUpdateGroupAction(ctx, in)
	return err
}

func (r *run) deleteSchedule(ctx context.Context, name string) error {
	_, err := r.w.Groups.DeleteScheduledAction(ctx, &as.DeleteScheduledActionInput{AutoScalingGroupName: &r.group, ScheduledActionName: &name})
	return gone(err)
}
