package asg

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// autoScaling is the table of actions.
func (s *Service) autoScaling() map[string]operation {
	return map[string]operation{
		"CreateAutoScalingGroup":    s.createGroup,
		"UpdateAutoScalingGroup":    s.updateGroup,
		"DeleteAutoScalingGroup":    s.deleteGroup,
		"DescribeAutoScalingGroups": s.describeGroups,
		"SetDesiredCapacity":        s.setDesired,
		"DescribeScalingActivities": s.describeActivities,

		"DescribeAutoScalingInstances":        s.describeInstances,
		"AttachInstances":                     s.attachInstances,
		"DetachInstances":                     s.detachInstances,
		"EnterStandby":                        s.enterStandby,
		"ExitStandby":                         s.exitStandby,
		"SetInstanceHealth":                   s.setHealth,
		"SetInstanceProtection":               s.setProtection,
		"TerminateInstanceInAutoScalingGroup": s.terminateInstance,

		"CreateLaunchConfiguration":    s.createConfiguration,
		"DescribeLaunchConfigurations": s.describeConfigurations,
		"DeleteLaunchConfiguration":    s.deleteConfiguration,

		"CreateOrUpdateTags": s.putTags,
		"DeleteTags":         s.deleteTags,
		"DescribeTags":       s.describeTags,

		"PutScalingPolicy": s.putPolicy,
		"DeletePolicy":     s.deletePolicy,
		"DescribePolicies": s.describePolicies,
		"ExecutePolicy":    s.executePolicy,

		"PutScheduledUpdateGroupAction":      s.putSchedule,
		"BatchPutScheduledUpdateGroupAction": s.batchSchedules("ScheduledUpdateGroupActions", "FailedScheduledUpdateGroupActions", s.putSchedule),
		"DeleteScheduledAction":              s.deleteSchedule,
		"BatchDeleteScheduledAction":         s.batchSchedules("ScheduledActionNames", "FailedScheduledActions", s.deleteSchedule),
		"DescribeScheduledActions":           s.describeSchedules,

		"PutLifecycleHook":               s.putHook,
		"DeleteLifecycleHook":            s.deleteHook,
		"DescribeLifecycleHooks":         s.describe(s.hooks, "LifecycleHooks"),
		"CompleteLifecycleAction":        s.completeAction,
		"RecordLifecycleActionHeartbeat": s.heartbeat,

		"StartInstanceRefresh":      s.startRefresh,
		"CancelInstanceRefresh":     s.cancelRefresh,
		"RollbackInstanceRefresh":   s.rollbackRefresh,
		"DescribeInstanceRefreshes": s.describeRefreshes,

		"PutWarmPool":      s.putPool,
		"DeleteWarmPool":   s.deletePool,
		"DescribeWarmPool": s.describePool,

		"PutNotificationConfiguration":       s.putNotices,
		"DeleteNotificationConfiguration":    s.deleteNotices,
		"DescribeNotificationConfigurations": s.describe(s.notices, "NotificationConfigurations"),

		"EnableMetricsCollection":  s.enableMetrics,
		"DisableMetricsCollection": s.disableMetrics,
		"SuspendProcesses":         s.suspend,
		"ResumeProcesses":          s.resume,

		"AttachLoadBalancerTargetGroups":   s.attach("TargetGroupARNs"),
		"DetachLoadBalancerTargetGroups":   s.detach("TargetGroupARNs"),
		"DescribeLoadBalancerTargetGroups": s.describeTargets("TargetGroupARNs", "LoadBalancerTargetGroups", "LoadBalancerTargetGroupARN"),
		"AttachLoadBalancers":              s.attach("LoadBalancerNames"),
		"DetachLoadBalancers":              s.detach("LoadBalancerNames"),
		"DescribeLoadBalancers":            s.describeTargets("LoadBalancerNames", "LoadBalancers", "LoadBalancerName"),
		"AttachTrafficSources":             s.attachSources,
		"DetachTrafficSources":             s.detachSources,
		"DescribeTrafficSources":           s.describeSources,

		"DescribeAccountLimits":                s.describeLimits,
		"DescribeAdjustmentTypes":              constant("AdjustmentTypes", "AdjustmentType", []string{"ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity"}),
		"DescribeAutoScalingNotificationTypes": constant("AutoScalingNotificationTypes", "", noticeTypes()),
		"DescribeLifecycleHookTypes":           constant("LifecycleHookTypes", "", []string{onLaunch, onEnd}),
		"DescribeMetricCollectionTypes":        constant("Metrics", "Metric", metrics()),
		"DescribeScalingProcessTypes":          constant("Processes", "ProcessName", processes()),
		"DescribeTerminationPolicyTypes":       constant("TerminationPolicyTypes", "", terminationPolicies()),
	}
}

// page cuts a list to MaxRecords from NextToken, a token of the same list.
func page(name string, all []*node, in *node, normal int) (*node, error) {
	from, size := 0, normal
	if in.has("MaxRecords") {
		size = in.number("MaxRecords")
	}
	if size < 1 || size > 100 {
		return nil, invalid("MaxRecords is 1 to 100")
	}
	if in.has("NextToken") {
		b, bad := base64.RawURLEncoding.DecodeString(in.str("NextToken"))
		rest, ours := strings.CutPrefix(string(b), name+":")
		var err error
		if from, err = strconv.Atoi(rest); bad != nil || err != nil || !ours {
			return nil, &refusal{"InvalidNextToken", "The token '" + in.str("NextToken") + "' is invalid.", 400}
		}
	}
	from = min(from, len(all))
	to := min(from+size, len(all))
	out := fields(name, list(all[from:to]...))
	if to < len(all) {
		out.set("NextToken", text(base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%s:%d", name, to)))))
	}
	return out, nil
}
