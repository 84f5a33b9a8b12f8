package autoscale

import (
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

// refusals are wrong files, by what is wrong with them: the text below the
// group web, and the whole message. All of it is known without asking AWS.
func refusals() map[string][2]string {
	const at = "autoscale.yaml:5:"
	return map[string][2]string{
		"an unknown key":           {"capacity: {mim: 1}", at + `16: unknown key "mim" in groups.web.capacity`},
		"an unknown section":       {"capacities: {min: 1}", at + `5: unknown key "capacities" in groups.web`},
		"an unknown key of a list": {"launch: {interfaces: [{device: 0}, {devise: 1}]}", at + `41: unknown key "devise" in groups.web.launch.interfaces.1`},
		"a wrong type":             {"capacity: {min: one}", at + `21: groups.web.capacity.min: expected a whole number, got "one"`},
		"half an instance":         {"capacity: {min: 1.5}", at + `21: groups.web.capacity.min: expected a whole number, got "1.5"`},
		"a list for a text":        {"launch: {type: [a]}", at + `20: groups.web.launch.type: expected text, got a list`},
		"a text for a list":        {"metrics: GroupMinSize", at + `14: groups.web.metrics: expected a list, got a single value`},
		"a text for a section":     {"capacity: 3", at + `15: groups.web.capacity: expected a section, got a single value`},
		"no value":                 {"metrics:", at + `14: groups.web.metrics has no value`},
		"min over max":             {"capacity: {min: 3, max: 2}", at + `16: groups.web.capacity.min: min 3 is over max 2`},
		"desired outside":          {"capacity: {min: 1, max: 2, desired: initial:3}", at + `32: groups.web.capacity.desired: desired 3 is outside min 1 and max 2`},
		"desired without a way":    {"capacity: {desired: 3}", at + `25: groups.web.capacity.desired: expected initial:N or enforce:N, got "3"`},
		"an unknown policy": {"policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms: {a: {namespace: N, metric: M, comparison: '>', threshold: 1, period: 60, policy: op}}",
			`autoscale.yaml:6:86: groups.web.alarms.a.policy: there is no policy "op" in this file for the group`},
		"an unknown zone":           {"network: {zones: [us-east-1a, us-east-1]}", at + `35: groups.web.network.zones.1: "us-east-1" is no zone of region us-east-1`},
		"a zone of another region":  {"network: {zones: [eu-west-1a]}", at + `23: groups.web.network.zones.0: "eu-west-1a" is no zone of region us-east-1`},
		"a group twice":             {"metrics: []\n  web:\n    metrics: []", `autoscale.yaml:6:3: mapping key "web" already defined at [4:3]`},
		"a key twice":               {"metrics: []\n    metrics: []", `autoscale.yaml:6:5: mapping key "metrics" already defined at [5:5]`},
		"a policy twice":            {"policies: {up: {type: ChangeInCapacity, adjustment: 1}, up: {type: ChangeInCapacity, adjustment: 2}}", at + `61: mapping key "up" already defined at [5:16]`},
		"two alarms of one name":    {"policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms: {a: " + plainAlarm + ", b: " + plainAlarm + "}", `autoscale.yaml:6:99: groups.web.alarms.b: it would be called web|up|M in AWS, as a: give one of them a name`},
		"no image":                  {"launch: {image: web}", at + `14: groups.web.launch.image: expected ami-ID, ssm:/NAME or role:NAME, got "web"`},
		"an image without a name":   {"launch: {image: 'role:'}", at + `14: groups.web.launch.image: expected ami-ID, ssm:/NAME or role:NAME, got "role:"`},
		"a word AWS does not know":  {"launch: {metadata: {tokens: maybe}}", at + `25: groups.web.launch.metadata.tokens: expected one of optional, required, got "maybe"`},
		"a word within a map":       {"launch: {block_devices: {/dev/sdb: {type: gp9}}}", at + `41: groups.web.launch.block_devices./dev/sdb.type: expected one of standard, io1, io2, gp2, sc1, st1, gp3, got "gp9"`},
		"type and requirements":     {"launch: {type: t3.small, requirements: {vcpus: {min: 1}, memory_mib: {min: 1}}}", at + `30: groups.web.launch.requirements: type and requirements exclude each other`},
		"requirements without size": {"launch: {requirements: {vcpus: {min: 1}}}", at + `14: groups.web.launch.requirements: vcpus.min and memory_mib.min are needed; 0 asks for nothing`},
		"weights for some":          {"mixed: {types: [t3.small, t3a.small=2]}", at + `31: groups.web.mixed.types.1: weights are given for every type or for none`},
		"a weight of nothing":       {"mixed: {types: [t3.small=0]}", at + `21: groups.web.mixed.types.0: expected TYPE or TYPE=WEIGHT with a weight of 1 to 999, got "t3.small=0"`},
		"a pool and none":           {"warm_pool: {none: true, min: 1}", at + `17: groups.web.warm_pool.none: there is either a warm pool or none`},
		"neither pool nor none":     {"warm_pool: nope", at + `16: groups.web.warm_pool: expected a section or none, got "nope"`},
		"two kinds of a policy":     {"policies: {p: {type: ExactCapacity, track: {target: 1, predefined: ASGAverageCPUUtilization}}}", at + `16: groups.web.policies.p: track and predict stand alone: no type, adjustment or steps beside them`},
		"half a prediction":         {"policies: {p: {predict: {target: 1, load: ASGTotalCPUUtilization}}}", at + `20: groups.web.policies.p.predict: give a pair, or a load metric and a scaling metric`},
		"a step backwards":          {"policies: {p: {type: ExactCapacity, steps: [{from: 0, adjustment: 1}, {from: 2, to: 1, adjustment: 1}]}}", at + `75: groups.web.policies.p.steps.1: a step needs an adjustment, and from below to; one of the two may be left out`},
		"steps with a gap":          {"policies: {p: {type: ExactCapacity, steps: [{from: 0, to: 1, adjustment: 1}, {from: 2, adjustment: 1}]}}", at + `41: groups.web.policies.p.steps: one step ends at 1 and the next begins at 2: steps meet, without a gap`},
		"a tag of AWS's own":        {"tags: {'aws:team': shop}", at + `12: groups.web.tags.aws:team: keys that begin with aws: are AWS's own`},
		"a tag that is too long":    {"tags: {team: " + strings.Repeat("x", 257) + "}", at + `12: groups.web.tags.team: a tag has a key of 1 to 128 characters and a value of at most 256`},
		"more than all healthy":     {"capacity: {min_healthy: 100, max_healthy: 250}", at + `16: groups.web.capacity.min_healthy: expected 0 to 100, and 100 to 200 for max_healthy`},
		"a template's bad name":     {"launch: {template: web template}", at + `14: groups.web.launch.template: expected 3 to 128 letters, digits and ( ) . - / _, got "web template"`},
		"a lifetime of an hour":     {"capacity: {max_lifetime: 3600}", at + `16: groups.web.capacity.max_lifetime: expected 0, or at least 86400 (a day), got 3600`},
		"a hook without a moment":   {"hooks: {h: {timeout: 60}}", at + `13: groups.web.hooks.h: on is needed`},
		"a target group elsewhere":  {"load_balancing: {traffic_sources: ['arn:aws:elasticloadbalancing:x']}", at + `40: groups.web.load_balancing.traffic_sources.0: expected the ARN of a target group of VPC Lattice, got "arn:aws:elasticloadbalancing:x"; others belong in target_groups or classic`},
		"a template that is none":   {"use: [a]", at + `11: groups.web.use.0: there is no template "a" in this file`},
		"a metric that is none":     {"metrics: [GroupMinSize, GroupMaximum]", at + `29: groups.web.metrics.1: expected one of GroupMinSize, GroupMaxSize, `},
		"a process that is none":    {"suspended: [AZRebalanced]", at + `17: groups.web.suspended.0: expected one of Launch, Terminate, `},
		"an event that is none":     {"notifications: {'arn:aws:sns:us-east-1:1:t': ['autoscaling:EC2_LAUNCH']}", at + `51: groups.web.notifications.arn:aws:sns:us-east-1:1:t.0: expected one of autoscaling:EC2_INSTANCE_LAUNCH, `},
		"an anchor":                 {"metrics: &a [GroupMinSize]", at + `14: groups.web.metrics: expected a list, got a YAML anchor or alias (write the value out)`},
		"a cron of 25 hours":        {"schedules: {s: {cron: 0 25 * * *, min: 1}}", at + `21: groups.web.schedules.s.cron: `},
		"a time that is none":       {"schedules: {s: {start: tomorrow, min: 1}}", at + `21: groups.web.schedules.s.start: expected a time like 2026-11-23T19:00:00Z, got "tomorrow"`},
		"a zone of time":            {"schedules: {s: {cron: 0 2 * * *, time_zone: Mars/Base, min: 1}}", at + `38: groups.web.schedules.s.time_zone: "Mars/Base" is no time zone`},
	}
}

const plainAlarm = "{namespace: N, metric: M, comparison: '>', threshold: 1, period: 60, policy: up}"

func TestWrongFilesAreRefusedWithLineAndColumn(t *testing.T) {
	t.Parallel()
	for what, c := range refusals() {
		_, err := Parse("autoscale.yaml", []byte("version: 2\nregion: us-east-1\ngroups:\n  web:\n    "+c[0]+"\n"))
		if fault.KindOf(err) != fault.Usage || !strings.HasPrefix(err.Error(), c[1]) {
			t.Errorf("%s:\n got %v\nwant %s", what, err, c[1])
		}
	}
}

// What a first file gets wrong has a next step that says how to put it right.
func TestTheNextStepOfAFirstFile(t *testing.T) {
	t.Parallel()
	head := "version: 2\nregion: us-east-1\ngroups:\n  web:\n    "
	for _, c := range []struct{ text, want, next string }{
		{head + "capacity: {mim: 1}", `unknown key "mim" in groups.web.capacity, did you mean "min"?`, "known keys there are mode, min, max"},
		{head + "launch: {security_group: web}", `did you mean "security_groups"?`, "known keys there are"},
		{"region: us-east-1\nowner: shop\ngroups: {web: {}}", "autoscale.yaml:2:1: owner is a key of version 2, and a file without a version is one of 2013", "begin the file with version: 2"},
		{"region: us-east-1\ngroups:\n  web:\n    capacity: {min: 1, max: 2}\n    network: {zones: [us-east-1a]}", "autoscale.yaml:5:5: groups.web.network is a key of version 2", "begin the file with version: 2"},
		{head + "capacity: {desired: 2}", "expected initial:N or enforce:N", "write initial:2 for a new group alone, or enforce:2 for each apply"},
		{head + "capacity: {desired: 'initial: 2'}", `expected initial:N or enforce:N, got "initial: 2"`, "without a space"},
		{head + "capacity: {min: 1}\n   network: {}", "value is not allowed in this context", "check the indentation"},
		{head + "policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms:\n      a: {comparison: >, threshold: 1}", "invalid header option", "put quotes around a value that begins with > or |"},
		{head + "capacity:\n\tmin: 1", "found character TAB (indent with spaces)", "YAML takes spaces for indentation, not tabs"},
		{head + "launch:\n      key: ops: x", "mapping value is not allowed in this context", "put quotes around a value with a colon and a space in it"},
		{head + "schedules: {s: {cron: 0 8 * * MON-FRY, min: 1}}", `cannot read "MON-FRY": expected 0 to 7 or SUN to SAT`, ""},
		{head + "schedules: {s: {cron: 0 8 * 13 *, min: 1}}", `cannot read "13": expected 1 to 12 or JAN to DEC`, ""},
		{head + "policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms: {a: {namespace: N, metric: M, statistic: Median, comparison: '>', threshold: 1, period: 60, policy: up}}",
			`groups.web.alarms.a.statistic: expected Average, Sum, Minimum, Maximum, SampleCount or one such as p95, got "Median"`, ""},
	} {
		_, err := Parse("autoscale.yaml", []byte(c.text+"\n"))
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.NextOf(err), c.next) {
			t.Errorf("%v\n  next: %s\nwant %s\n  next: %s", err, fault.NextOf(err), c.want, c.next)
		}
	}
}

func TestExtendedStatisticsAreTaken(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"p95", "p99.9", "p100", "tm90", "IQM", "PR(:300)", "TM(2%:98%)", "TC(0.005:0.030)", "ts90", "wm98", "Average", "SampleCount"} {
		text := "policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms: {a: {namespace: N, metric: M, statistic: '" + s + "', comparison: '>', threshold: 1, period: 60, policy: up}}"
		if _, err := Parse("autoscale.yaml", []byte(in(text))); err != nil {
			t.Error(err)
		}
	}
}
