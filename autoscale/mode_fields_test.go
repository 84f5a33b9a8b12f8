package autoscale

// modeCases are the cases of fieldCases for modes and short forms, which a
// plan expands.
func modeCases() map[string][2]string {
	return map[string][2]string{
		"part_of":                        {"shop", "store"},
		"capacity.mode":                  {"mixed, on_demand_base: 1", "on_demand"},
		"capacity.headroom":              {"50, mode: mixed, on_demand_base: 2", "200"},
		"capacity.backstop":              {"{period: 120, up_after: 2, down_after: 5, share: 50, count_starting: false}, mode: backstop", "{}, mode: backstop, on_demand_base: 1"},
		"policies.k.queue":               {"{name: jobs, latency: 60, seconds_per_message: 2}", "{url: 'https://sqs.us-east-1.amazonaws.com/123456789012/mail', latency: 10.5, seconds_per_message: 0.1, disable_scale_in: true}"},
		"policies.k.queue.arn":           {"'arn:aws:sqs:us-east-1:123456789012:jobs', latency: 60, seconds_per_message: 2", "'arn:aws:sqs:us-east-1:123456789012:mail', latency: 60, seconds_per_message: 2"},
		"policies.k.requests_per_target": {"{target: 1000, target_group: web}", "{target: 500, target_group: 'arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef', disable_scale_in: true}"},
		"policies.k.latency":             {"{target: 0.5, target_group: web}", "{target: 0.4, target_group: web, statistic: p90, after: 5, relaxed: 0.1, relaxed_after: 30}"},
		"schedules.k.hours":              {"{from: '08:00', to: '18:30', days: MON-FRI}, time_zone: Europe/Berlin, min: 2", "{from: '22:00', to: '06:00', outside: {min: 0, max: 3, desired: 1}}, max: 4, desired: 2"},
	}
}
