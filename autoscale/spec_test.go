package autoscale

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const old = `region: us-east-1
notification_topic: arn:aws:sns:us-east-1:123456789012:ops
user_data:
  - '#!/bin/sh'
  - echo hello
policies:
  up: {type: ChangeInCapacity, adjustment: 2, cooldown: 300}
  down: {type: ChangeInCapacity, adjustment: -1}
groups:
  web:
    min_size: 1
    max_size: 4
    capacity: 2
    ami: ami-1
    zones: [us-east-1a, us-east-1b]
    ssh_key: ops
    security_group: web
    instance_type: t3.small
    tags: {Team: shop, Build: 7}
    alarms:
      busy: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 60, evaluation_periods: 3, policy: up}
      idle: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '<', threshold: 20.5, period: 300, policy: down}
`

func mustParse(t *testing.T, text string) Spec {
	t.Helper()
	s, err := Parse("autoscale.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheFormatOf2013IsReadWhole(t *testing.T) {
	t.Parallel()
	s := mustParse(t, old)
	g := s.Groups["web"]
	if got := g.Capacity.Desired.String(); got != "initial:2" {
		t.Errorf("capacity: 2 means %s, want initial:2", got)
	}
	if got := *g.Launch.UserData; got != "#!/bin/sh\necho hello" {
		t.Errorf("user data %q", got)
	}
	if got := AlarmName("web", g.Alarms["busy"]); got != "web|up|CPUUtilization" {
		t.Errorf("alarm is called %s", got)
	}
	if got := PolicyName("web", "up", g.Policies["up"]); got != "web|up" {
		t.Errorf("policy is called %s", got)
	}
	if *g.Alarms["idle"].Periods != 1 || *g.Alarms["idle"].Statistic != "Average" || *g.Tags["Build"].Value != "7" || !*g.Tags["Build"].Propagate {
		t.Errorf("defaults of 2013 are lost: %+v", g)
	}
	if n := len(g.Notifications["arn:aws:sns:us-east-1:123456789012:ops"]); n != 4 {
		t.Errorf("%d events, want 4", n)
	}
	if s := mustParse(t, "groups: {a: {min_size: 0, max_size: 1, ami: ami-1, instance_type: t3.nano}}"); s.Region != "us-west-1" {
		t.Errorf("default region %s, want us-west-1", s.Region)
	}
}

func TestUpgradeKeepsTheMeaning(t *testing.T) {
	t.Parallel()
	s := mustParse(t, old)
	b, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	again := mustParse(t, string(b))
	if d := cmp.Diff(s.Groups, again.Groups); d != "" || again.Version != 2 || again.Region != s.Region {
		t.Errorf("the upgraded file means something else:\n%s\n%s", d, b)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	v2 := "version: 2\nregion: us-east-1\ngroups:\n  web:\n"
	old := "groups:\n  web:\n    ami: ami-0123456789abcdef0\n    instance_type: t3.small\n    capacity: 2\n    max_size: 4\n"
	cases := []struct{ name, text, want string }{
		{"min over max of 2013", old + "    min_size: 9", "autoscale.yaml:7:5: groups.web.min_size: min 9 is over max 4"},
		{"capacity of 2013", strings.Replace(old, "capacity: 2", "capacity: 7", 1) + "    min_size: 1", "autoscale.yaml:5:5: groups.web.capacity: desired 7 is outside"},
		{"zone of 2013", old + "    min_size: 1\n    zones: [eu-west-1a]", "autoscale.yaml:8:13: groups.web.zones.0: "},
		{"policy of 2013", old + "    min_size: 1\npolicies: {up: {type: Up, adjustment: 1}}", "autoscale.yaml:8:17: policies.up.type: expected one of"},
		{"empty", "", "autoscale.yaml: the file is empty"},
		{"syntax", "groups: [", "autoscale.yaml:1:"},
		{"unknown key", v2 + "    capacity: {mim: 1}", `autoscale.yaml:5:16: unknown key "mim" in groups.web.capacity`},
		{"unknown key of 2013", "groups:\n  web:\n    minsize: 1", `autoscale.yaml:3:5: unknown key "minsize" in groups.web`},
		{"wrong type", v2 + "    capacity: {min: one}", `autoscale.yaml:5:21: groups.web.capacity.min: expected a whole number, got "one"`},
		{"half instances", v2 + "    capacity: {min: 1.5}", "expected a whole number"},
		{"list for text", v2 + "    launch: {image: [a]}", "expected text, got a list"},
		{"min over max", v2 + "    capacity: {min: 3, max: 2}", "autoscale.yaml:5:16: groups.web.capacity.min: min 3 is over max 2"},
		{"desired outside", v2 + "    capacity: {min: 1, max: 2, desired: initial:3}", "desired 3 is outside min 1 and max 2"},
		{"desired bare", v2 + "    capacity: {desired: 3}", "expected initial:N or enforce:N"},
		{"unknown policy", v2 + "    policies: {}\n    alarms: {a: {namespace: N, metric: M, comparison: '>', threshold: 1, period: 60, policy: up}}", `there is no policy "up"`},
		{"unknown zone", v2 + "    network: {zones: [eu-west-1a]}", `"eu-west-1a" is no zone of region us-east-1`},
		{"same group twice", v2 + "    metrics: []\n  web:\n    metrics: []", `autoscale.yaml:6:3: mapping key "web" already defined`},
		{"no value", v2 + "    metrics:\n", "groups.web.metrics has no value"},
		{"no region's name", "version: 2\nregion: us-esat\ngroups: {web: {metrics: []}}", `autoscale.yaml:2:1: region: expected the name of a region, such as us-east-1, got "us-esat"`},
		{"no groups", "version: 2\nregion: us-east-1\ngroups: {}", "there are no groups"},
		{"future version", "version: 3\nregion: x\ngroups: {}", "format 3 is not known"},
		{"cron", v2 + "    schedules: {a: {cron: 0 25 * * *, min: 1}}", `cannot read "25"`},
		{"two returns", v2 + "    policies: {p: {track: {target: 1, queries: [{id: a, namespace: n, metric: m}, {id: b, expression: a*2}]}}}", "exactly one query returns data"},
		{"no region, of 2013", "region: uswest\ngroups: {web: {min_size: 1, max_size: 1, ami: ami-1, instance_type: t3.small}}", `autoscale.yaml:1:1: region: expected the name of a region, such as us-east-1, got "uswest"`},
		{"two formats mixed", "version: 2\nregion: us-east-1\nuser_data: x\ngroups: {}", `unknown key "user_data"`},
	}
	for _, c := range cases {
		_, err := Parse("autoscale.yaml", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDefaultsStandBeneathEveryGroup(t *testing.T) {
	t.Parallel()
	s := mustParse(t, `version: 2
region: us-east-1
defaults: {capacity: {min: 1, max: 2, desired: initial:1}, tags: {a: x}}
groups: {web: {capacity: {max: 5}, tags: {}}, api: {metrics: []}}
`)
	web, api := s.Groups["web"], s.Groups["api"]
	if *web.Capacity.Min != 1 || *web.Capacity.Max != 5 || len(web.Tags) != 0 || web.Tags == nil {
		t.Errorf("web is %+v", web.Capacity)
	}
	if *api.Capacity.Max != 2 || len(api.Tags) != 1 || api.Metrics == nil {
		t.Errorf("api is %+v: defaults of one group must not follow another", api)
	}
}

func TestCronKnowsWhenItFiredLast(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 19, 30, 0, 0, time.UTC) // a Monday
	for _, c := range []struct{ cron, want string }{
		{"0 8 * * *", "2026-11-23T08:00"},
		{"30 19 * * *", "2026-11-23T19:30"},
		{"31 19 * * *", "2026-11-22T19:31"},
		{"0 8 * * 1-5", "2026-11-23T08:00"},
		{"0 20 * * MON-FRI", "2026-11-20T20:00"},
		{"*/20 * * * *", "2026-11-23T19:20"},
		{"0 0 1 * *", "2026-11-01T00:00"},
		{"0 0 1 * 0", "2026-11-22T00:00"},
		{"0 0 31 2 *", ""},
	} {
		parsed, err := parseCron(c.cron)
		if err != nil {
			t.Fatal(err)
		}
		at, ok := parsed.last(now)
		if got := at.Format("2006-01-02T15:04"); ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s fired last at %s (%t), want %s", c.cron, got, ok, c.want)
		}
	}
}
