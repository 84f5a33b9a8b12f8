package asg

import "slices"

// processes that may be suspended, see SuspendProcesses.
func processes() []string {
	return []string{"Launch", "Terminate", "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh", "ReplaceUnhealthy", "ScheduledActions"}
}

// metrics that a group may publish, see EnableMetricsCollection.
func metrics() []string {
	return []string{"GroupMinSize", "GroupMaxSize", "GroupDesiredCapacity", "GroupInServiceInstances", "GroupPendingInstances", "GroupStandbyInstances",
		"GroupTerminatingInstances", "GroupTotalInstances", "GroupInServiceCapacity", "GroupPendingCapacity", "GroupStandbyCapacity", "GroupTerminatingCapacity",
		"GroupTotalCapacity", "WarmPoolDesiredCapacity", "WarmPoolWarmedCapacity", "WarmPoolPendingCapacity", "WarmPoolTerminatingCapacity", "WarmPoolTotalCapacity",
		"GroupAndWarmPoolDesiredCapacity", "GroupAndWarmPoolTotalCapacity"}
}

func terminationPolicies() []string {
	return []string{"AllocationStrategy", "ClosestToNextInstanceHour", "Default", "NewestInstance", "OldestInstance", "OldestLaunchConfiguration", "OldestLaunchTemplate"}
}

// known refuses values that are none of those allowed.
func known(what string, values, allowed []string) error {
	for _, v := range values {
		if !slices.Contains(allowed, v) {
			return invalid(what + " " + v + " does not exist")
		}
	}
	return nil
}

// constant answers a call whose answer never changes.
func constant(name, field string, values []string) operation {
	return func(*node) (*node, error) {
		items := list()
		for _, v := range values {
			if field == "" {
				items.items = append(items.items, text(v))
			} else {
				items.items = append(items.items, fields(field, v))
			}
		}
		out := fields(name, items)
		if name == "Metrics" {
			out.set("Granularities", list(fields("Granularity", "1Minute")))
		}
		return out, nil
	}
}

func (s *Service) describeLimits(*node) (*node, error) {
	return fields("MaxNumberOfAutoScalingGroups", 500, "MaxNumberOfLaunchConfigurations", 200, "NumberOfAutoScalingGroups", len(s.groups), "NumberOfLaunchConfigurations", len(s.configs)), nil
}
