package autoscale

import (
	"context"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// newAlarm is an alarm to write.
type newAlarm struct {
	name    string
	policy  string              // in AWS, that it sets off; "" for none of the group's
	instead []string            // ARNs of the policies that it set off before
	full    Alarm               // file over what there is
	have    cwtypes.MetricAlarm // as it came
	tags    map[string]string   // nil: left alone
	had     map[string]string
}

// putAlarm keeps the actions that the file does not manage, and the policies of
// others: a put replaces all.
func (r *run) putAlarm(ctx context.Context, n newAlarm) error {
	off := n.instead // actions to take off
	var on []string
	if n.policy != "" {
		arn, err := r.arn(ctx, n.policy)
		if err != nil {
			return err
		}
		off, on = append(slices.Clone(off), arn), []string{arn}
	}
	a := n.full
	in := &cloudwatch.PutMetricAlarmInput{EvaluationCriteria: n.have.EvaluationCriteria, EvaluationInterval: n.have.EvaluationInterval}
	toAWS(&a, in)
	in.AlarmName, in.ComparisonOperator = &n.name, comparisons()[val(a.Comparison)]
	switch {
	case a.Metric == nil: // each query has its own
	case slices.Contains(cwtypes.Statistic("").Values(), cwtypes.Statistic(val(a.Statistic))):
		in.Statistic = cwtypes.Statistic(*a.Statistic)
	default:
		in.ExtendedStatistic = a.Statistic
	}
	switch val(a.Window) {
	case "sliding":
		in.EvaluationWindow = &cwtypes.EvaluationWindowMemberSlidingWindow{}
	case "wall-clock":
		in.EvaluationWindow = &cwtypes.EvaluationWindowMemberWallClockWindow{Value: cwtypes.WallClockWindow{Timezone: a.WindowZone}}
	}
	in.AlarmActions = slices.DeleteFunc(slices.Clone(n.have.AlarmActions), func(action string) bool { return !isPolicy(action) || slices.Contains(off, action) })
	in.AlarmActions = slices.Concat(in.AlarmActions, on, a.Actions)
	if n.have.AlarmName == nil {
		in.Tags = alarmTagsOf(n.tags)
	}
	if _, err := r.w.Alarms.PutMetricAlarm(ctx, in); err != nil || n.have.AlarmName == nil {
		return err
	}
	return r.retag(ctx, n)
}

func alarmTagsOf(tags map[string]string) []cwtypes.Tag {
	var out []cwtypes.Tag
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, cwtypes.Tag{Key: &key, Value: ptr(tags[key])})
	}
	return out
}

// retag brings the tags of an alarm that exists up to date: a put gives tags to
// new alarms alone.
func (r *run) retag(ctx context.Context, n newAlarm) error {
	if n.tags == nil {
		return nil
	}
	fresh, gone := map[string]string{}, []string{}
	for key, value := range n.tags {
		if had, there := n.had[key]; !there || had != value {
			fresh[key] = value
		}
	}
	for _, key := range slices.Sorted(maps.Keys(n.had)) {
		if _, kept := n.tags[key]; !kept {
			gone = append(gone, key)
		}
	}
	if len(fresh) > 0 {
		if _, err := r.w.Alarms.TagResource(ctx, &cloudwatch.TagResourceInput{ResourceARN: n.have.AlarmArn, Tags: alarmTagsOf(fresh)}); err != nil {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	_, err := r.w.Alarms.UntagResource(ctx, &cloudwatch.UntagResourceInput{ResourceARN: n.have.AlarmArn, TagKeys: gone})
	return err
}
