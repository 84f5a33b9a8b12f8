package autoscale

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// expanded parses text, expands it and demands that the expansion is a file
// of its own that passes every check and means the same.
func expanded(t *testing.T, text string) Spec {
	t.Helper()
	s := Expand(mustParse(t, text))
	b, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("expanded.yaml", b)
	if err != nil {
		t.Fatalf("%v in\n%s", err, b)
	}
	if d := cmp.Diff(s.Groups, again.Groups); d != "" {
		t.Errorf("written out and read again it is something else:\n%s", d)
	}
	if d := cmp.Diff(s.Groups, Expand(s).Groups); d != "" {
		t.Errorf("a second expansion changes something:\n%s", d)
	}
	return s
}

// web is a file with one group of these keys.
func web(keys string) string {
	return "version: 2\nregion: us-east-1\ngroups:\n  web: {" + keys + "}\n"
}

const jobs = "policies: {jobs: {queue: {name: jobs, latency: 60, seconds_per_message: 2}, warmup: 90}}"

func expressions(all []Query) string {
	var out []string
	for _, q := range all {
		if q.Expression != nil {
			out = append(out, *q.ID+" = "+*q.Expression)
		} else {
			out = append(out, *q.ID+" = "+q.metricID())
		}
	}
	return strings.Join(out, "\n")
}

func TestAQueueBecomesABacklogForEachInstance(t *testing.T) {
	t.Parallel()
	g := expanded(t, web("capacity: {min: 1, max: 9}, "+jobs)).Groups["web"]
	p := g.Policies["jobs"]
	if *p.Track.Target != 30 || *p.Warmup != 90 || len(g.Policies) != 1 || g.Alarms != nil {
		t.Errorf("target %v, %d policies, alarms %v", *p.Track.Target, len(g.Policies), g.Alarms)
	}
	want := `waiting = AWS/SQS ApproximateNumberOfMessagesVisible {QueueName=jobs}
running = AWS/AutoScaling GroupInServiceInstances {AutoScalingGroupName=web}
workers = FILL(running, 0)
each = FILL(waiting, 0) / IF(workers > 0, workers, 1)`
	if got := expressions(p.Track.Queries); got != want {
		t.Errorf("queries\n%s", got)
	}
}

func TestAQueueWakesAGroupThatMayBeEmpty(t *testing.T) {
	t.Parallel()
	g := expanded(t, web("capacity: {min: 0, max: 9}, "+jobs)).Groups["web"]
	a := g.Alarms["jobs-wake"]
	if !strings.HasSuffix(expressions(a.Queries), "idle = IF(FILL(running, 0) < 1, FILL(waiting, 0) / IF(workers > 0, workers, 1), 0)") || *a.Threshold != 1 || *a.Policy != "jobs-wake" {
		t.Errorf("%s over %v sets off %s", expressions(a.Queries), *a.Threshold, *a.Policy)
	}
	if p := g.Policies["jobs-wake"]; *p.Type != "ChangeInCapacity" || *p.Steps[0].Adjustment != 1 {
		t.Errorf("waking does %+v", p)
	}
}

func TestBothHalvesOfABackstopWorkOnAQueue(t *testing.T) {
	t.Parallel()
	s := expanded(t, web("capacity: {mode: backstop, min: 1, max: 9, on_demand_base: 1, headroom: 50}, mixed: {types: [m5.large=2, m5.xlarge=4]}, "+jobs))
	track := s.Groups["web"].Policies["jobs"].Track
	if !strings.Contains(expressions(track.Queries), "standing = AWS/AutoScaling GroupInServiceCapacity {AutoScalingGroupName=web-backstop}\nworkers = FILL(running, 0) + FILL(standing, 0)") {
		t.Errorf("queries\n%s", expressions(track.Queries))
	}
	if *track.Target != 20 {
		t.Errorf("with 50 %% headroom the target is %v, want 20", *track.Target)
	}
	if wake := s.Groups["web"].Alarms["jobs-wake"]; *wake.Threshold != 30 {
		t.Errorf("with a base at work it wakes at %v, want 30", *wake.Threshold)
	}
	if p := s.Groups["web-backstop"].Policies; !slices.Equal(slices.Sorted(maps.Keys(p)), []string{"down", "up"}) {
		t.Errorf("the backstop has the policies %v", p)
	}
}

func TestRequestsAndLatencyFindTheirLoadBalancer(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := strings.Replace(base, "    network", `    load_balancing: {target_groups: ['arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef']}
    policies:
      load: {requests_per_target: {target: 1000}}
      slow: {latency: {target: 0.5, statistic: p90}}
    network`, 1)
	expanded(t, file)
	c.apply(file)
	live := c.observe(mustParse(t, file)).Groups["web"]
	if got := *live.Policies["load"].Track.Label; got != "app/shop/fedcba9876543210/targetgroup/web/0123456789abcdef" {
		t.Errorf("label %s", got)
	}
	if got := slices.Sorted(maps.Keys(live.Policies)); !slices.Equal(got, []string{"load", "slow-down", "slow-up"}) {
		t.Errorf("policies %v", got)
	}
	for label, a := range live.Alarms {
		want := map[string]string{"LoadBalancer": "app/shop/fedcba9876543210", "TargetGroup": "targetgroup/web/0123456789abcdef"}
		if q := a.Queries[0]; !maps.Equal(q.Dimensions, want) || *q.Statistic != "p90" {
			t.Errorf("%s looks at %s %s", label, *q.Statistic, q.metricID())
		}
	}
	for name, want := range map[string]string{"gone": "there is no target group gone", "idle": "no application load balancer sends requests to target group idle"} {
		s := mustParse(t, web("capacity: {min: 1, max: 2}, policies: {load: {requests_per_target: {target: 9, target_group: "+name+"}}}"))
		if _, err := Diff(s, c.observe(s), DiffOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestLatencyAddsByHowFarItIsPassed(t *testing.T) {
	t.Parallel()
	g := expanded(t, web("policies: {slow: {latency: {target: 0.4, target_group: web}}}")).Groups["web"]
	up := g.Alarms["slow-up"]
	for value, want := range map[float64]int{0.4: 10, 0.59: 10, 0.61: 20, 0.8: 40, 30: 40} {
		if got, ok := act(g.Policies["slow-up"], up, value); !ok || got != want {
			t.Errorf("%v s add %d %% (%t), want %d", value, got, ok, want)
		}
	}
	if got, ok := act(g.Policies["slow-down"], g.Alarms["slow-down"], 0.1); !ok || got != -1 || *g.Alarms["slow-down"].Threshold != 0.2 {
		t.Errorf("quick answers change %d (%t)", got, ok)
	}
	if g := expanded(t, web("policies: {slow: {latency: {target: 0.4, target_group: web, relaxed: 0}}}")).Groups["web"]; len(g.Policies) != 1 {
		t.Errorf("relaxed: 0 leaves %d policies, want 1", len(g.Policies))
	}
}

func TestHoursBecomeTwoActions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ hours, begin, end string }{
		{"from: '08:00', to: '18:30', days: MON-FRI", "0 8 * * 1,2,3,4,5", "30 18 * * 1,2,3,4,5"},
		{"from: '22:15', to: '06:00', days: SAT", "15 22 * * 6", "0 6 * * 0"},
		{"from: '00:00', to: '24:00', days: 'FRI,SUN'", "0 0 * * 0,5", "0 0 * * 1,6"},
		{"from: '06:00', to: '07:00'", "0 6 * * *", "0 7 * * *"},
	} {
		g := expanded(t, web("capacity: {min: 1, max: 9}, schedules: {rush: {hours: {"+c.hours+"}, time_zone: Europe/Berlin, min: 4}, other: {cron: '0 1 * * *', max: 8}}")).Groups["web"]
		begin, end := g.Schedules["rush-begin"], g.Schedules["rush-end"]
		if *begin.Cron != c.begin || *end.Cron != c.end || *begin.TimeZone != "Europe/Berlin" || *begin.Min != 4 || *end.Min != 1 || end.Max != nil || len(g.Schedules) != 3 {
			t.Errorf("%s: %s to %s, min %d to %d", c.hours, *begin.Cron, *end.Cron, *begin.Min, *end.Min)
		}
	}
}

func TestMetricsThatAnExpressionReadsAreCollected(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := strings.Replace(base, "    network", "    "+jobs+"\n    network", 1)
	p := c.apply(file)
	at := slices.IndexFunc(p.Changes, func(c Change) bool { return c.Kind == EnableMetrics && c.Fields[0].After == "GroupInServiceInstances" })
	if at < 0 {
		t.Fatalf("the plan switches nothing on: %s", summary(p))
	}
	if got, want := p.Changes[at].Reason, "policy jobs needs GroupInServiceInstances"; got != want {
		t.Errorf("metrics are switched on because %q, want %q", got, want)
	}
	// What somebody collects beside it stays: the file has no list.
	other := strings.Replace(base, "    network", "    metrics: [GroupMinSize]\n    network", 1)
	c = newCloud(t)
	c.apply(other)
	p = c.apply(file)
	if slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Kind == DisableMetrics }) {
		t.Errorf("metrics that nobody manages are switched off: %s", summary(p))
	}
	s := expanded(t, strings.Replace(file, "    network", "    metrics: [GroupMinSize]\n    network", 1))
	if got := s.Groups["web"].Metrics; !slices.Equal(got, []string{"GroupMinSize", "GroupInServiceInstances"}) {
		t.Errorf("a list becomes %v", got)
	}
}

func TestAPlanSaysWhoNeedsAMetric(t *testing.T) {
	t.Parallel()
	reasons := func(file string) map[string]string {
		out := map[string]string{}
		p, _ := newCloud(t).plan(mustParse(t, file))
		for _, c := range p.Changes {
			if c.Kind == EnableMetrics {
				out[c.Group] = c.Reason
			}
		}
		return out
	}
	listed := strings.Replace(strings.Replace(base, "min: 1", "min: 0", 1), "    network", "    metrics: [GroupMinSize, GroupMaxSize]\n    "+jobs+"\n    network", 1)
	const reads = "alarms: {low: {namespace: AWS/AutoScaling, metric: GroupMaxSize, comparison: '<', threshold: 1, period: 60, policy: up}}, policies: {up: {type: ChangeInCapacity, adjustment: 1}}"
	for file, want := range map[string]map[string]string{
		listed: {"web": "the file asks for GroupMinSize and GroupMaxSize; policies jobs and jobs-wake need GroupInServiceInstances"},
		strings.Replace(base, "    network", "    metrics: [GroupMinSize]\n    network", 1):                                             {"web": "the file asks for it"},
		strings.Replace(base, "}\n    launch", "}\n    "+strings.Replace(reads, ", policies:", "\n    policies:", 1)+"\n    launch", 1): {"web": "policy up (alarm low) needs GroupMaxSize"},
		strings.Replace(backstopFile, "cpu: {track: {target: 50, predefined: ASGAverageCPUUtilization}}", strings.TrimPrefix(strings.TrimSuffix(jobs, "}"), "policies: {"), 1): {
			"web": "policies down (alarm excess) and up (alarm shortfall) of web-backstop need GroupDesiredCapacity; " +
				"policies jobs and jobs-wake, and policies down (alarm excess) and up (alarm shortfall) of web-backstop need GroupInServiceCapacity; policy up (alarm shortfall) of web-backstop needs GroupPendingCapacity",
			"web-backstop": "policies down (alarm excess) and up (alarm shortfall) need GroupDesiredCapacity; policies jobs and jobs-wake of web need GroupInServiceCapacity",
		},
		backstopFile: {
			"web":          "policies down (alarm excess) and up (alarm shortfall) of web-backstop need GroupDesiredCapacity and GroupInServiceCapacity; policy up (alarm shortfall) of web-backstop needs GroupPendingCapacity",
			"web-backstop": "policies down (alarm excess) and up (alarm shortfall) need GroupDesiredCapacity",
		},
	} {
		if got := reasons(file); !maps.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
}

func TestShortFormsThatAreRefused(t *testing.T) {
	t.Parallel()
	policy := func(text string) string { return "policies: {p: {" + text + "}}" }
	queries := func(text string) string { return policy("track: {target: 1, queries: [" + text + "]}") }
	metric := "{id: m, namespace: n, metric: m, statistic: Sum, return: false}"
	for text, want := range map[string]string{
		policy("queue: {latency: 1, seconds_per_message: 1}"):                                                                                                                     "give one of name, url and arn",
		policy("queue: {name: a, seconds_per_message: 1}"):                                                                                                                        "queue.latency: expected a number over 0",
		policy("queue: {name: a, latency: 1, seconds_per_message: 0}"):                                                                                                            "4:53: groups.web.policies.p.queue.seconds_per_message: expected a number over 0",
		policy("queue: {url: 'https://sqs.eu-west-1.amazonaws.com/123456789012/a', latency: 1, seconds_per_message: 1}"):                                                          "the queue is in region eu-west-1",
		policy("queue: {arn: 'arn:aws:sns:us-east-1:123456789012:a', latency: 1, seconds_per_message: 1}"):                                                                        "is no queue's arn",
		policy("queue: {name: a, latency: 1, seconds_per_message: 1}, type: ExactCapacity"):                                                                                       "queue stands alone",
		policy("queue: {name: a, latency: 1, seconds_per_message: 1}}, p-wake: {type: ExactCapacity, adjustment: 1"):                                                              "it becomes a policy and an alarm p-wake",
		policy("requests_per_target: {target: 1}"):                                                                                                                                "target_group is needed",
		policy("latency: {target: 1, target_group: a, statistic: Maximum}"):                                                                                                       "expected Average or a percentile",
		policy("latency: {target: 1, target_group: a, relaxed: 2}"):                                                                                                               "expected 0, or seconds below target",
		policy("latency: {target: 1, target_group: a}, name: x"):                                                                                                                  "cannot share a name",
		policy("latency: {target: 1, target_group: a}}, p-up: {type: ExactCapacity, adjustment: 1"):                                                                               "it becomes a policy and an alarm p-up",
		policy("latency: {target: 1, target_group: a}") + ", alarms: {a: {namespace: n, metric: m, comparison: '>', threshold: 1, period: 60, policy: p}}":                        "which brings its alarms along",
		"schedules: {s: {hours: {from: '8', to: '9:00'}, desired: 1}}":                                                                                                            `expected HH:MM, got "8"`,
		"schedules: {s: {hours: {from: '08:00', to: '08:00'}, desired: 1}}":                                                                                                       "begin and end at 08:00",
		"schedules: {s: {hours: {from: '08:00', to: '09:00', days: XX}, desired: 1}}":                                                                                             `days: cannot read "XX"`,
		"schedules: {s: {hours: {from: '08:00', to: '09:00'}, min: 1}}":                                                                                                           "what holds outside the hours is needed",
		"schedules: {s: {hours: {from: '08:00', to: '09:00'}, cron: '* * * * *', desired: 1}}":                                                                                    "hours and cron exclude each other",
		queries(metric + ", {id: e, expression: m / n}"):                                                                                                                          `4:126: groups.web.policies.p.track.queries.1.expression: there is no query "n"; the others are m`,
		queries(metric + ", {id: e, expression: e + m}"):                                                                                                                          "query e refers to itself",
		queries("{id: m, namespace: n, metric: m}"):                                                                                                                               "statistic is needed",
		queries("{id: m, namespace: n, metric: m, statistic: Sum, period: 20}"):                                                                                                   "expected 10, 30 or 60, got 20",
		policy("type: ExactCapacity, adjustment: 1") + ", alarms: {a: {namespace: n, metric: m, comparison: '>', threshold: 1, period: 45, policy: p}}":                           "expected 10, 20, 30 or a multiple of 60",
		policy("type: ExactCapacity, adjustment: 1") + ", alarms: {a: {namespace: n, metric: m, comparison: '>', threshold: 1, period: 300, evaluation_periods: 300, policy: p}}": "more than an alarm looks at",
	} {
		_, err := Parse("autoscale.yaml", []byte(web(text)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
	// Functions, strings and numbers are no ids.
	mustParse(t, web(queries(metric+", {id: e, expression: \"FILL(m, REPEAT) * 1e3 + IF(m > 0, m, 0)\"}")))
}
