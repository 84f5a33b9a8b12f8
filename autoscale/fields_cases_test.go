package autoscale

import "maps"

// fieldCases are the fields that take more than any text or number: for each
// the value to apply to a group that exists, and another one. What stands
// behind the value are other fields of the same section that it needs; NAME
// is the group's name.
func fieldCases() map[string][2]string {
	all := scalingCases()
	maps.Copy(all, groupCases())
	maps.Copy(all, modeCases())
	return all
}

// groupCases are those of the group itself and of what it launches.
func groupCases() map[string][2]string {
	return map[string][2]string{
		"capacity.on_demand_base":         {"1, mode: mixed", "2, mode: mixed"},
		"capacity.min":                    {"2", "0"},
		"capacity.max":                    {"6", "5"},
		"capacity.desired":                {"enforce:2", "enforce:3"},
		"capacity.max_lifetime":           {"86400", "0"},
		"capacity.warmup":                 {"120", "-1"},
		"capacity.min_healthy":            {"90, max_healthy: 110", "80, max_healthy: 100"},
		"capacity.max_healthy":            {"120, min_healthy: 100", "130, min_healthy: 100"},
		"launch.template":                 {"special", "other"},
		"launch.image":                    {"ami-2", "ami-3"},
		"launch.type":                     {"t3.large", "m5.large"},
		"launch.security_groups":          {"[sg-1, sg-2]", "[web]"},
		"launch.profile":                  {"web", "'arn:aws:iam::1:instance-profile/x'"},
		"launch.user_data":                {`"#!/bin/sh\necho ä <&>\n"`, `""`},
		"launch.market":                   {"capacity-block", "''"},
		"launch.spot.valid_until":         {"'2027-12-01T08:00:00Z'", "'2027-12-02T08:00:00Z'"},
		"launch.block_devices.k.omit":     {"true", "false, size: 8"},
		"mixed.none":                      {"false, on_demand_base: 1, types: [t3.small]", "true"},
		"mixed.on_demand_segments":        {"[[capacity-block, on-demand]]", "[[on-demand-capacity-reservation], [on-demand]]"},
		"mixed.types.[].type":             {"t3.large", "m5.large, weight: '2'"},
		"mixed.types.[].weight":           {"'3', type: t3.large", "'4', type: t3.large"},
		"mixed.types.[].image":            {"ami-2, type: t3.large", "role:web, type: t3.large"},
		"mixed.types.[].template":         {"NAME, version: '1', type: t3.large", "NAME, version: $Default, type: t3.small"},
		"mixed.types.[].version":          {"'1', template: NAME, type: t3.large", "$Latest, template: NAME, type: t3.large"},
		"network.zones":                   {"[us-east-1b, us-east-1a]", "[us-east-1c]"},
		"network.zone_ids":                {"[use1-az1, use1-az2]", "[use1-az3]"},
		"network.subnets":                 {"[subnet-2, subnet-1]", "[subnet-3]"},
		"load_balancing.traffic_sources":  {"['arn:aws:vpc-lattice:a', 'arn:aws:vpc-lattice:b']", "['arn:aws:vpc-lattice:c']"},
		"load_balancing.health_check":     {"ELB", "'EBS,ELB'"},
		"tags.k.value":                    {"a, propagate: false", "b, propagate: false"},
		"tags.k.propagate":                {"false, value: a", "true, value: a"},
		"warm_pool.none":                  {"false, min: 1", "true"},
		"hooks.k.timeout":                 {"30, on: launching", "90, on: launching"},
		"hooks.k.on":                      {"terminating, topic: 'arn:aws:sns:a:b:c', role: 'arn:r', metadata: 'x'", "launching"},
		"notifications":                   {"{'arn:aws:sns:us-east-1:1:t': ['autoscaling:EC2_INSTANCE_LAUNCH', 'autoscaling:TEST_NOTIFICATION']}", "{}"},
		"protection.termination_policies": {"[OldestInstance, Default]", "[Default, OldestInstance]"},
		"metrics":                         {"[GroupInServiceInstances, GroupDesiredCapacity]", "[]"},
		"suspended":                       {"[AZRebalance]", "[]"},
	}
}

// scalingCases are those of policies, alarms and schedules.
func scalingCases() map[string][2]string {
	return map[string][2]string{
		"policies.k.type":                               {"ExactCapacity, adjustment: 2", "ChangeInCapacity, adjustment: 2"},
		"policies.k.adjustment":                         {"2, type: ChangeInCapacity", "-2, type: ChangeInCapacity"},
		"policies.k.min_magnitude":                      {"2, type: PercentChangeInCapacity, adjustment: 10", "3, type: PercentChangeInCapacity, adjustment: 10"},
		"policies.k.steps.[].from":                      {"0.5, adjustment: 1", "1, to: 2, adjustment: 1"},
		"policies.k.steps.[].to":                        {"10.5, adjustment: 1", "-1, from: -2, adjustment: 1"},
		"policies.k.steps.[].adjustment":                {"1, from: 0", "2, from: 0"},
		"policies.k.aggregate":                          {"Maximum, type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]", "Minimum, type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]"},
		"policies.k.warmup":                             {"60, type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]", "0, type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]"},
		"policies.k.track.target":                       {"50, predefined: ASGAverageCPUUtilization", "60.5, predefined: ASGAverageCPUUtilization"},
		"policies.k.track.predefined":                   {"ASGAverageCPUUtilization, target: 1", "ALBRequestCountPerTarget, target: 1, label: app/x/1/targetgroup/y/2"},
		"policies.k.track.label":                        {"app/x/1/targetgroup/y/2, target: 1, predefined: ALBRequestCountPerTarget", "app/x/1/targetgroup/y/3, target: 1, predefined: ALBRequestCountPerTarget"},
		"policies.k.track.disable_scale_in":             {"true, target: 1, predefined: ASGAverageCPUUtilization", "false, target: 1, namespace: N, metric: M, statistic: Sum"},
		"policies.k.track.queries.[].id":                {"a, namespace: N, metric: M, statistic: Sum", "b, namespace: N, metric: M, statistic: Sum"},
		"policies.k.track.queries.[].period":            {"10, id: a, expression: '1'", "30, id: a, namespace: N, metric: M, statistic: Sum"},
		"policies.k.track.queries.[].return":            {"false, id: a, namespace: N, metric: M, statistic: Sum}, {id: b, expression: a", "true, id: a, namespace: N, metric: M, statistic: Sum"},
		"policies.k.predict.load_queries.[].return":     {queryPair, oneQuery},
		"policies.k.predict.scaling_queries.[].return":  {queryPair, oneQuery},
		"policies.k.predict.capacity_queries.[].return": {queryPair, oneQuery},
		"policies.k.predict.pair":                       {"ASGCPUUtilization, target: 1", "ALBRequestCount, target: 1, pair_label: app/x/1/targetgroup/y/2"},
		"policies.k.predict.load":                       {"ASGTotalCPUUtilization, scaling: ASGAverageCPUUtilization, target: 1", "ALBTargetGroupRequestCount, load_label: app/x/1/targetgroup/y/2, scaling: ASGAverageCPUUtilization, target: 1"},
		"policies.k.predict.load_queries":               {"[{id: a, namespace: N, metric: M, statistic: Sum}], scaling: ASGAverageCPUUtilization, target: 1", "[{id: b, namespace: N, metric: M, statistic: Sum}], scaling: ASGAverageCPUUtilization, target: 1"},
		"policies.k.predict.scaling":                    {"ASGAverageCPUUtilization, load: ASGTotalCPUUtilization, target: 1", "ALBRequestCountPerTarget, scaling_label: app/x/1/targetgroup/y/2, load: ASGTotalCPUUtilization, target: 1"},
		"policies.k.predict.scaling_queries":            {"[{id: a, namespace: N, metric: M, statistic: Sum}], load: ASGTotalCPUUtilization, target: 1", "[{id: b, namespace: N, metric: M, statistic: Sum}], load: ASGTotalCPUUtilization, target: 1"},
		"policies.k.predict.capacity_queries":           {customPredict("c"), customPredict("d")},
		"policies.k.predict.over_max_buffer":            {"10, over_max: IncreaseMaxCapacity, target: 1, pair: ASGCPUUtilization", "20, over_max: IncreaseMaxCapacity, target: 1, pair: ASGCPUUtilization"},

		"alarms.k.metric":             {"M, " + alarmRest, "O, " + alarmRest},
		"alarms.k.statistic":          {"p95, metric: M, " + alarmRest, "Maximum, metric: M, " + alarmRest},
		"alarms.k.namespace":          {"A, metric: M, comparison: '>', threshold: 70.5, period: 60, policy: up", "B, metric: M, comparison: '>', threshold: 70.5, period: 60, policy: up"},
		"alarms.k.period":             {"30, namespace: N, metric: M, comparison: '>', threshold: 70.5, policy: up", "60, namespace: N, metric: M, comparison: '>', threshold: 70.5, policy: up"},
		"alarms.k.comparison":         {"'>=', metric: M, namespace: N, threshold: 70.5, period: 60, policy: up", "'<', metric: M, namespace: N, threshold: 70.5, period: 60, policy: up"},
		"alarms.k.threshold":          {"1.5, metric: M, namespace: N, comparison: '>', period: 60, policy: up", "-2, metric: M, namespace: N, comparison: '>', period: 60, policy: up"},
		"alarms.k.policy":             {"up, metric: M, namespace: N, comparison: '>', threshold: 70.5, period: 60", "down, metric: M, namespace: N, comparison: '>', threshold: 70.5, period: 60"},
		"alarms.k.actions":            {"['arn:aws:sns:us-east-1:123456789012:a'], metric: M, " + alarmRest, "[], metric: M, " + alarmRest},
		"alarms.k.ok_actions":         {"['arn:aws:sns:us-east-1:123456789012:a', 'arn:aws:sns:us-east-1:123456789012:b'], metric: M, " + alarmRest, "['arn:aws:sns:us-east-1:123456789012:c'], metric: M, " + alarmRest},
		"alarms.k.no_data_actions":    {"['arn:aws:sns:us-east-1:123456789012:a'], metric: M, " + alarmRest, "['arn:aws:sns:us-east-1:123456789012:b'], metric: M, " + alarmRest},
		"alarms.k.datapoints":         {"2, evaluation_periods: 3, metric: M, " + alarmRest, "1, evaluation_periods: 2, metric: M, " + alarmRest},
		"alarms.k.dimensions":         {"{LoadBalancer: app/x}, metric: M, " + alarmRest, "{}, metric: M, " + alarmRest},
		"alarms.k.threshold_query":    {bandAlarm("band"), bandAlarm("other")},
		"alarms.k.queries.[].id":      {"a, namespace: N, metric: M, statistic: Sum, period: 60", "b, namespace: N, metric: M, statistic: Sum, period: 60"},
		"alarms.k.queries.[].period":  {"10, id: a, expression: '1'", "30, id: a, namespace: N, metric: M, statistic: Sum"},
		"alarms.k.queries.[].return":  {"false, id: a, namespace: N, metric: M, statistic: Sum, period: 60}, {id: b, expression: a", "true, id: a, namespace: N, metric: M, statistic: Sum, period: 60"},
		"alarms.k.window":             {"wall-clock, metric: M, " + alarmRest, "sliding, metric: M, " + alarmRest},
		"alarms.k.window_time_zone":   {"Europe/Berlin, window: wall-clock, metric: M, " + alarmRest, "'+05:30', window: wall-clock, metric: M, " + alarmRest},
		"alarms.k.warmup.minutes":     {"10", "20"},
		"alarms.k.warmup.whole":       {"true, minutes: 10", "false, minutes: 10"},
		"alarms.k.event_tags.include": {"[a, b], enabled: true", "[c], enabled: true"},
		"alarms.k.event_tags.exclude": {"[a, b], enabled: true", "[c], enabled: true"},

		"schedules.k.cron":      {"'0 20 * * *', min: 1, max: 3, desired: 1", "'0 21 * * *', min: 1"},
		"schedules.k.time_zone": {"Europe/Berlin, cron: '0 8 * * *', min: 1", "Etc/UTC, cron: '0 8 * * *', min: 1"},
		"schedules.k.start":     {"'2026-12-01T08:00:00Z', desired: 2", "'2026-12-02T08:00:00Z', desired: 2"},
		"schedules.k.end":       {"'2027-12-01T08:00:00Z', cron: '0 8 * * *', desired: 2", "'2027-12-02T08:00:00Z', cron: '0 8 * * *', desired: 2"},
	}
}

// refusedFields are those that the section has for others: AWS does not take
// them there.
func refusedFields() []string {
	return []string{"policies.k.track.queries.[].account", "policies.k.predict.load_queries.[].account", "policies.k.predict.scaling_queries.[].account",
		"policies.k.predict.capacity_queries.[].account", "policies.k.predict.load_queries.[].period", "policies.k.predict.scaling_queries.[].period",
		"policies.k.predict.capacity_queries.[].period", "mixed.types.[].requirements.encryption_in_transit"}
}

// Whether a query returns data, and another one with it.
const (
	queryPair = "false, id: a, namespace: N, metric: M, statistic: Sum}, {id: b, expression: a"
	oneQuery  = "true, id: a, namespace: N, metric: M, statistic: Sum"
)

// alarmRest is what an alarm needs beside the field of its case and a metric.
const alarmRest = "namespace: AWS/EC2, comparison: '>', threshold: 70.5, period: 60, policy: up"

func bandAlarm(id string) string {
	return id + ", policy: up, comparison: GreaterThanUpperThreshold, queries: [{id: m, namespace: N, metric: M, statistic: Sum, period: 60}, {id: " + id +
		", expression: 'ANOMALY_DETECTION_BAND(m, 2)', return: false}]"
}

func customPredict(id string) string {
	one := "[{id: " + id + ", namespace: N, metric: M, statistic: Sum}]"
	return one + ", target: 1, load_queries: " + one + ", scaling_queries: " + one
}

// company is what stands beside a field in its section, by the beginning of
// the field's path; the longest one of a section counts.
func company() map[string]string {
	const query = "id: a, namespace: N, metric: M, statistic: Sum"
	return map[string]string{
		"policies.k.":                                       "type: ChangeInCapacity, adjustment: 1",
		"policies.k.steps":                                  "type: ChangeInCapacity",
		"policies.k.track":                                  "",
		"policies.k.queue":                                  "",
		"policies.k.requests_per_target":                    "",
		"policies.k.latency":                                "",
		"schedules.k.hours":                                 "",
		"policies.k.predict":                                "",
		"policies.k.track.":                                 "target: 1, namespace: N, metric: M, statistic: Sum",
		"policies.k.track.queries":                          "target: 1",
		"policies.k.track.queries.[].":                      query,
		"policies.k.track.queries.[].expression":            "id: a",
		"policies.k.predict.":                               "target: 1, pair: ASGCPUUtilization",
		"policies.k.predict.pair_":                          "target: 1, pair: ALBRequestCount",
		"policies.k.predict.load_":                          "target: 1, load: ALBTargetGroupRequestCount, scaling: ASGAverageCPUUtilization",
		"policies.k.predict.scaling_":                       "target: 1, load: ASGTotalCPUUtilization, scaling: ALBRequestCountPerTarget",
		"policies.k.predict.load_queries":                   "target: 1, scaling: ASGAverageCPUUtilization",
		"policies.k.predict.scaling_queries":                "target: 1, load: ASGTotalCPUUtilization",
		"policies.k.predict.capacity_queries":               "target: 1, load_queries: [{" + query + "}], scaling_queries: [{" + query + "}]",
		"policies.k.predict.load_queries.[].":               query,
		"policies.k.predict.scaling_queries.[].":            query,
		"policies.k.predict.capacity_queries.[].":           query,
		"alarms.k.":                                         "metric: M, " + alarmRest,
		"alarms.k.queries":                                  "policy: up, comparison: '>', threshold: 70.5",
		"alarms.k.queries.[].":                              query + ", period: 60",
		"policies.k.predict.load_queries.[].expression":     "id: a",
		"policies.k.predict.scaling_queries.[].expression":  "id: a",
		"policies.k.predict.capacity_queries.[].expression": "id: a",
		"alarms.k.queries.[].expression":                    "id: a",
		"schedules.k.":                                      "cron: '0 8 * * *', min: 1",
		"hooks.k.":                                          "on: launching",
		"launch.requirements.":                              "vcpus: {min: 1}, memory_mib: {min: 1}",
		"launch.requirements.vcpus.":                        "min: 1",
		"launch.requirements.memory_mib.":                   "min: 1",
		"mixed.types.[].requirements.":                      "vcpus: {min: 1}, memory_mib: {min: 1}",
		"mixed.types.[].requirements.vcpus.":                "min: 1",
		"mixed.types.[].requirements.memory_mib.":           "min: 1",
	}
}
