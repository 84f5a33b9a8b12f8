package autoscale

import (
	"context"
	"maps"
	"reflect"
	"strings"
	"testing"
)

const base = `version: 2
region: us-east-1
groups:
  web:
    capacity: {min: 1, max: 4}
    launch: {image: ami-1, type: t3.small}
    network: {zones: [us-east-1a]}
`

// alarmRest is what an alarm needs beside the field of its case.
const alarmRest = "namespace: AWS/EC2, metric: CPUUtilization, threshold: 70.5, period: 60, policy: up"

// fieldCases have every field of the file once: the value to apply to a group
// that exists, and another one. Below each path stands what to write.
func fieldCases() map[string][2]string {
	cases := modeCases()
	maps.Copy(cases, map[string][2]string{
		"alarms.a.comparison": {"'>=', " + alarmRest, "'<', " + alarmRest},
		"alarms.a.missing":    {"breaching, comparison: '>', " + alarmRest, "ignore, comparison: '>', " + alarmRest},
		"alarms.a.datapoints": {"2, evaluation_periods: 3, statistic: Maximum, comparison: '>', " + alarmRest, "1, evaluation_periods: 2, statistic: Sum, comparison: '<=', " + alarmRest},
		"alarms.a.dimensions": {"{LoadBalancer: app/x}, unit: Percent, comparison: '>', " + alarmRest, "{}, unit: Count, comparison: '>', " + alarmRest},
		"alarms.a.name":       {"hand made, comparison: '>', " + alarmRest, "renamed, comparison: '>', " + alarmRest},

		"capacity.min":                    {"2", "0"},
		"capacity.max":                    {"6", "5"},
		"capacity.desired":                {"enforce:2", "enforce:3"},
		"capacity.units":                  {"vcpu", "units"},
		"capacity.cooldown":               {"60", "0"},
		"capacity.warmup":                 {"120", "0"},
		"capacity.max_lifetime":           {"86400", "0"},
		"capacity.rebalance":              {"true", "false"},
		"capacity.min_healthy":            {"90, max_healthy: 110", "80, max_healthy: 100"},
		"capacity.max_healthy":            {"120, min_healthy: 100", "130, min_healthy: 100"},
		"launch.template":                 {"special", "other"},
		"launch.image":                    {"ami-2", "ami-3"},
		"launch.type":                     {"t3.large", "m5.large"},
		"launch.key":                      {"ops", "dev"},
		"launch.security_groups":          {"[sg-1, sg-2]", "[web]"},
		"launch.profile":                  {"web", "'arn:aws:iam::1:instance-profile/x'"},
		"launch.user_data":                {`"#!/bin/sh\necho ä <&>\n"`, `""`},
		"launch.monitoring":               {"true", "false"},
		"launch.ebs_optimized":            {"true", "false"},
		"launch.tokens":                   {"required", "optional"},
		"launch.hop_limit":                {"2", "1"},
		"launch.spot_price":               {"'0.05'", "'0.1'"},
		"mixed.on_demand_base":            {"2", "0"},
		"mixed.on_demand_percentage":      {"0", "50"},
		"mixed.on_demand_strategy":        {"lowest-price", "prioritized"},
		"mixed.spot_strategy":             {"price-capacity-optimized", "capacity-optimized"},
		"mixed.spot_pools":                {"3", "4"},
		"mixed.spot_max_price":            {"'0.5'", "'0.6'"},
		"mixed.types":                     {"[t3.large=2, t3.small=1]", "[m5.large]"},
		"network.zones":                   {"[us-east-1b, us-east-1a]", "[us-east-1c]"},
		"network.subnets":                 {"[subnet-2, subnet-1]", "[subnet-3]"},
		"network.placement_group":         {"near", "far"},
		"load_balancing.target_groups":    {"['arn:a', 'arn:b']", "['arn:b', 'arn:c']"},
		"load_balancing.classic":          {"[a, b]", "[]"},
		"load_balancing.health_check":     {"ELB", "EC2"},
		"load_balancing.grace":            {"90", "0"},
		"tags":                            {"{Team: shop, Cost: {value: '7', propagate: false}}", "{}"},
		"tags.T":                          {"{value: a, propagate: false}", "{value: a, propagate: true}"},
		"policies":                        {"{up: {type: ChangeInCapacity, adjustment: 1}}", "{}"},
		"policies.p.name":                 {"hand, type: ExactCapacity, adjustment: 1", "made, type: ExactCapacity, adjustment: 1"},
		"policies.p.type":                 {"ExactCapacity, adjustment: 2", "ChangeInCapacity, adjustment: 2"},
		"policies.p.adjustment":           {"2, type: ChangeInCapacity", "-2, type: ChangeInCapacity"},
		"policies.p.cooldown":             {"30, type: ChangeInCapacity, adjustment: 1", "0, type: ChangeInCapacity, adjustment: 1"},
		"policies.p.min_magnitude":        {"2, type: PercentChangeInCapacity, adjustment: 10", "3, type: PercentChangeInCapacity, adjustment: 10"},
		"policies.p.enabled":              {"false, type: ChangeInCapacity, adjustment: 1", "true, type: ChangeInCapacity, adjustment: 1"},
		"policies.p.steps":                {"[{from: 0, to: 10.5, adjustment: 1}, {from: 10.5, adjustment: 2}], type: ChangeInCapacity", "[{to: 0, adjustment: -1}], type: ChangeInCapacity"},
		"policies.p.aggregate":            {"Maximum, type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]", "Minimum, type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]"},
		"policies.p.warmup":               {"60, type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]", "0, type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]"},
		"policies.p.track":                {"{target: 50, predefined: ASGAverageCPUUtilization}", "{target: 60.5, predefined: ALBRequestCountPerTarget, label: app/x/1/targetgroup/y/2, disable_scale_in: true}"},
		"policies.p.track.metric":         {"M, target: 1, namespace: N, statistic: Sum, unit: Count, period: 10, dimensions: {Queue: q}", "M2, target: 1, namespace: N, statistic: Average"},
		"policies.p.track.queries":        {"[{id: m, namespace: N, metric: M, statistic: Sum, period: 60, unit: Count, label: l, dimensions: {Q: a}, return: false}, {id: e, expression: m / 2, period: 10}], target: 5", "[{id: e, namespace: N, metric: M, statistic: Sum}], target: 5"},
		"schedules":                       {"{night: {cron: '0 20 * * *', min: 1, max: 3, desired: 1}}", "{}"},
		"schedules.s.time_zone":           {"Europe/Berlin, cron: '0 8 * * *', min: 1", "Etc/UTC, cron: '0 8 * * *', min: 1"},
		"schedules.s.start":               {"'2026-12-01T08:00:00Z', desired: 2", "'2026-12-02T08:00:00Z', desired: 2"},
		"schedules.s.end":                 {"'2027-12-01T08:00:00Z', cron: '0 8 * * *', desired: 2", "'2027-12-02T08:00:00Z', cron: '0 8 * * *', desired: 2"},
		"hooks":                           {"{warm: {on: launching, timeout: 60, default: CONTINUE}}", "{}"},
		"hooks.h.on":                      {"terminating, topic: 'arn:aws:sns:a:b:c', role: 'arn:r', metadata: 'x'", "launching"},
		"notifications":                   {"{'arn:aws:sns:us-east-1:1:t': ['autoscaling:EC2_INSTANCE_LAUNCH', 'autoscaling:TEST_NOTIFICATION']}", "{}"},
		"protection.scale_in":             {"true", "false"},
		"protection.termination_policies": {"[OldestInstance, Default]", "[Default, OldestInstance]"},
		"protection.deletion":             {"prevent-all-deletion", "none"},
		"metrics":                         {"[GroupInServiceInstances, GroupDesiredCapacity]", "[]"},
		"suspended":                       {"[AZRebalance]", "[]"},
	})
	return cases
}

// with puts value at path beneath a group of its own, which the base file's
// group defaults complete.
func with(path, value string) string {
	parts := strings.Split(path, ".")
	text := parts[len(parts)-1] + ": " + value
	for i := len(parts) - 2; i >= 0; i-- {
		text = parts[i] + ": {" + text + "}"
	}
	if parts[0] == "alarms" {
		text += ", policies: {up: {type: ChangeInCapacity, adjustment: 1}}"
	}
	return "version: 2\nregion: us-east-1\n" +
		"defaults: {capacity: {min: 1, max: 4}, launch: {image: ami-1, type: t3.small}, network: {zones: [us-east-1a]}}\n" +
		"groups: {web: {" + text + "}}\n"
}

func TestApplyThenPlanIsEmptyForEveryField(t *testing.T) {
	t.Parallel()
	for path, values := range fieldCases() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			// On a group that exists: to one value, to the other, and back.
			c := newCloud(t)
			c.apply(base)
			for i, v := range []string{values[0], values[1], values[0]} {
				if p := c.apply(with(path, v)); p.Empty() && i != 0 {
					t.Errorf("writing %s changed nothing", v)
				}
			}
			// On a group that it creates.
			newCloud(t).apply(with(path, values[0]))
		})
	}
}

func TestEveryFieldOfTheFileHasACase(t *testing.T) {
	t.Parallel()
	cases := fieldCases()
	text := ""
	for path, v := range cases {
		text += path + ": {" + v[0] + "} {" + v[1] + "}\n"
	}
	var walk func(t2 reflect.Type, path string)
	walk = func(t2 reflect.Type, path string) {
		for t2.Kind() == reflect.Pointer || t2.Kind() == reflect.Slice || t2.Kind() == reflect.Map && t2.Elem().Kind() == reflect.Struct {
			t2 = t2.Elem()
		}
		if t2.Kind() != reflect.Struct || t2 == reflect.TypeFor[Desired]() {
			last := path[strings.LastIndexByte(path, '.')+1:]
			if !strings.Contains(text, last+":") {
				t.Errorf("no case writes %s", path)
			}
			return
		}
		for i, key := range keysOf(t2) {
			walk(t2.Field(i).Type, path+"."+key)
		}
	}
	walk(reflect.TypeFor[Group](), "group")
}

func TestImportThenPlanIsEmpty(t *testing.T) {
	t.Parallel()
	for path, values := range fieldCases() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.apply(with(path, values[0]))
			s, err := Import(context.Background(), c.w, "us-east-1", []string{"web"})
			if err != nil {
				t.Fatal(err)
			}
			b, err := Encode(s)
			if err != nil {
				t.Fatal(err)
			}
			if p, _ := c.plan(mustParse(t, string(b))); !p.Empty() {
				t.Errorf("%s\n%s", summary(p), b)
			}
		})
	}
}
