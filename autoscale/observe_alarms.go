package autoscale

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// alarms reads those of groups.
func (r reader) alarms(ctx context.Context) error {
	if len(r.o.Groups) == 0 {
		return nil
	}
	of := r.alarmOwners()
	in := &cloudwatch.DescribeAlarmsInput{MaxRecords: ptr(int32(pageSize)), AlarmTypes: []cwtypes.AlarmType{cwtypes.AlarmTypeMetricAlarm}}
	for pages := cloudwatch.NewDescribeAlarmsPaginator(r.w.Alarms, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, a := range out.MetricAlarms {
			if strings.HasPrefix(val(a.AlarmName), "TargetTracking-") {
				continue // AWS's own
			}
			for _, group := range of.groups(a) {
				if l, ours := r.o.Groups[group]; ours {
					l.addAlarm(group, a)
				}
			}
		}
	}
	return nil
}

// alarmOwners knows what makes an alarm a group's.
type alarmOwners struct {
	policies  map[string]string   // groups by their policies' ARNs
	described map[string][]string // groups whose file gives an alarm of this name
}

func (r reader) alarmOwners() alarmOwners {
	of := alarmOwners{map[string]string{}, map[string][]string{}}
	for name, l := range r.o.Groups {
		for _, arn := range l.PolicyARNs {
			of.policies[arn] = name
		}
	}
	for _, group := range r.s.Names() {
		for _, a := range r.s.Groups[group].Alarms {
			name := AlarmName(group, a)
			of.described[name] = append(of.described[name], group)
		}
	}
	return of
}

// groups are those whose policies a sets off or whose file gives it; several
// may share one. One that is nobody's by that, and is named as alarms are named
// here (GROUP|POLICY|METRIC), is what is left of a policy.
func (of alarmOwners) groups(a cwtypes.MetricAlarm) []string {
	out := slices.Clone(of.described[val(a.AlarmName)])
	for _, action := range a.AlarmActions {
		if group, ours := of.policies[action]; ours && !slices.Contains(out, group) {
			out = append(out, group)
		}
	}
	if parts := strings.Split(val(a.AlarmName), "|"); len(out) == 0 && len(parts) == 3 {
		out = parts[:1]
	}
	return out
}

// shared says that an alarm of group sets off a policy of another one as well.
func (l Live) shared(group, alarm string) bool {
	return slices.ContainsFunc(l.alarms[alarm].AlarmActions, func(action string) bool {
		return isPolicy(action) && !strings.Contains(action, ":autoScalingGroupName/"+group+":")
	})
}

// isPolicy says that an action of an alarm is a policy of some group.
func isPolicy(action string) bool { return strings.Contains(action, ":scalingPolicy:") }

// alarmTags reads the tags of alarms whose file has some, or of all; CloudWatch
// lists them alarm by alarm. An alarm that is gone by now has none.
func (r reader) alarmTags(ctx context.Context) error {
	arns := map[string]string{} // by the alarm's name
	for group, l := range r.o.Groups {
		wanted := map[string]bool{}
		for _, a := range r.s.Groups[group].Alarms {
			wanted[AlarmName(group, a)] = a.Tags != nil
		}
		for name, a := range l.alarms {
			if r.whole || wanted[name] {
				arns[name] = val(a.AlarmArn)
			}
		}
	}
	found := make(chan alarmTags, len(arns))
	err := side(ctx, slices.Sorted(maps.Keys(arns)), func(ctx context.Context, name string) error {
		out, err := r.w.Alarms.ListTagsForResource(ctx, &cloudwatch.ListTagsForResourceInput{ResourceARN: ptr(arns[name])})
		if err != nil {
			return gone(err)
		}
		tags := map[string]string{}
		for _, t := range out.Tags {
			if key := val(t.Key); !strings.HasPrefix(key, "aws:") {
				tags[key] = val(t.Value)
			}
		}
		found <- alarmTags{name, tags}
		return nil
	})
	close(found)
	for one := range found {
		for group, l := range r.o.Groups {
			for key, a := range l.Alarms {
				if AlarmName(group, a) == one.alarm {
					a.Tags = one.tags
					l.Alarms[key] = a
				}
			}
		}
	}
	return err
}

// alarmTags are the tags of one alarm.
type alarmTags struct {
	alarm string
	tags  map[string]string
}
