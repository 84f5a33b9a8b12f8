package autoscale

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sugars checks the short forms of a group, and that what they become has
// names of its own.
func (c *checker) sugars(at string, g Group, region string) {
	for _, key := range slices.Sorted(maps.Keys(g.Policies)) {
		p, path := g.Policies[key], at+".policies."+key
		if p.sugar() == "" {
			continue
		}
		c.alone(path, p)
		switch {
		case p.Queue != nil:
			c.queue(path+".queue", *p.Queue, region)
			c.free(path, g, key+"-wake")
		case p.Requests != nil:
			path += ".requests_per_target"
			c.positive(path+".target", p.Requests.Target)
			c.balanced(path, g, p.Requests.TargetGroup)
		case p.Latency != nil:
			c.latency(path+".latency", *p.Latency)
			c.balanced(path+".latency", g, p.Latency.TargetGroup)
			c.free(path, g, key+"-up", key+"-down")
		}
	}
	for _, label := range slices.Sorted(maps.Keys(g.Alarms)) {
		if form := g.Policies[val(g.Alarms[label].Policy)].sugar(); form != "" {
			c.say(at+".alarms."+label+".policy", "policy %q is a %s, which brings its alarms along", val(g.Alarms[label].Policy), form)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.Schedules)) {
		c.hours(at+".schedules."+key, g, key)
	}
}

// alone refuses a second way to say how a policy scales.
func (c *checker) alone(at string, p Policy) {
	ways := 0
	for _, given := range []bool{p.Queue != nil, p.Requests != nil, p.Latency != nil, p.Track != nil, p.Steps != nil, p.Adjustment != nil, p.Type != nil, p.Cooldown != nil} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		c.say(at, "%s stands alone: beside it only name, warmup and enabled", p.sugar())
	}
	if p.Latency != nil && p.Name != nil {
		c.say(at+".name", "latency becomes several policies, which cannot share a name")
	}
}

// free refuses names that a short form needs for itself.
func (c *checker) free(at string, g Group, names ...string) {
	for _, name := range names {
		_, policy := g.Policies[name]
		_, alarm := g.Alarms[name]
		if policy || alarm {
			c.say(at, "it becomes a policy and an alarm %s: rename the one that the file has", name)
		}
	}
}

func (c *checker) positive(at string, n *float64) {
	if n == nil || *n <= 0 {
		c.say(at, "expected a number over 0")
	}
}

var (
	queueURL = regexp.MustCompile(`^https://(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.amazonaws\.com(?:\.cn)?/\d{12}/[\w.-]+$`)
	queueARN = regexp.MustCompile(`^arn:[^:]+:sqs:([a-z0-9-]+):\d{12}:[\w.-]+$`)
)

func (c *checker) queue(at string, q Queue, region string) {
	ways := 0
	for _, given := range []*string{q.Name, q.URL, q.ARN} {
		if given != nil {
			ways++
		}
	}
	if ways != 1 {
		c.say(at, "give one of name, url and arn")
	}
	c.positive(at+".latency", q.Latency)
	c.positive(at+".seconds_per_message", q.PerMessage)
	for _, form := range []struct {
		key, text string
		pattern   *regexp.Regexp
	}{{"url", val(q.URL), queueURL}, {"arn", val(q.ARN), queueARN}} {
		if form.text == "" {
			continue
		}
		found := form.pattern.FindStringSubmatch(form.text)
		if found == nil {
			c.say(at+"."+form.key, "%q is no queue's %s", form.text, form.key)
			continue
		}
		if in := strings.Join(found[1:], ""); in != region {
			c.say(at+"."+form.key, "the queue is in region %s, and so are its metrics; the group is in %s", in, region)
		}
	}
}

var percentile = regexp.MustCompile(`^(Average|p\d{1,2}(\.\d{1,2})?)$`)

func (c *checker) latency(at string, l Latency) {
	c.positive(at+".target", l.Target)
	if s := l.Statistic; s != nil && !percentile.MatchString(*s) {
		c.say(at+".statistic", "expected Average or a percentile such as p90, got %q", *s)
	}
	if r := l.Relaxed; r != nil && (*r < 0 || *r >= val(l.Target)) {
		c.say(at+".relaxed", "expected 0, or seconds below target")
	}
	for key, n := range map[string]*int{"after": l.After, "relaxed_after": l.RelaxedAfter} {
		if n != nil && (*n < 1 || *n > 1440) {
			c.say(at+"."+key, "expected 1 to 1440 minutes, got %d", *n)
		}
	}
}

// balanced asks for a target group, written or the group's only one.
func (c *checker) balanced(at string, g Group, written *string) {
	if g.targetGroup(written) == "" {
		c.say(at, "target_group is needed: the group has %d target groups in load_balancing", len(val(g.Balancing).TargetGroups))
	}
}

func (c *checker) hours(at string, g Group, key string) {
	s := g.Schedules[key]
	if s.Hours == nil {
		return
	}
	if s.Cron != nil {
		c.say(at+".cron", "hours and cron exclude each other")
	}
	if _, _, err := s.Hours.crons(); err != nil {
		c.say(at+".hours", "%v", err)
	}
	o, limits := val(s.Hours.Outside), val(g.Capacity)
	if s.Min != nil && o.Min == nil && limits.Min == nil || s.Max != nil && o.Max == nil && limits.Max == nil {
		c.say(at+".hours", "what holds outside the hours is needed: capacity has no min and max, and outside has neither")
	}
	for _, end := range []string{"-begin", "-end"} {
		if _, taken := g.Schedules[key+end]; taken {
			c.say(at, "it becomes an action %s: rename the one that the file has", key+end)
		}
	}
}

// The most that one alarm takes: 10 metrics and 10 expressions
// (docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html).
const maxQueries = 10

// word is what looks like an id in an expression: not a function, not within
// quotes, not the exponent of a number.
var word = regexp.MustCompile(`'[^']*'|"[^"]*"|[A-Za-z_][A-Za-z0-9_]*|[0-9][0-9A-Za-z.]*`)

// math checks what expressions refer to, and how many queries there are.
func (c *checker) math(at string, all []Query) {
	ids, metrics, expressions := map[string]bool{}, 0, 0
	for _, q := range all {
		ids[val(q.ID)] = true
		if q.Expression != nil {
			expressions++
		} else {
			metrics++
		}
	}
	if metrics > maxQueries || expressions > maxQueries {
		c.say(at, "%d metrics and %d expressions: CloudWatch takes %d of each", metrics, expressions, maxQueries)
	}
	for i, q := range all {
		here := at + "." + strconv.Itoa(i)
		if q.Metric != nil {
			c.needs(here, map[string]bool{"namespace": q.Namespace != nil, "statistic": q.Statistic != nil})
		}
		for _, w := range word.FindAllString(val(q.Expression), -1) {
			switch {
			case w[0] < 'a' || w[0] > 'z' || ids[w]:
			default:
				c.say(here+".expression", "there is no query %q; the others are %s", w, strings.Join(others(ids, val(q.ID)), ", "))
			}
			if w == val(q.ID) {
				c.say(here+".expression", "query %s refers to itself", w)
			}
		}
	}
}

func others(ids map[string]bool, self string) []string {
	ids = maps.Clone(ids)
	delete(ids, self)
	return slices.Sorted(maps.Keys(ids))
}

// trackPeriods checks the periods that target tracking knows
// (API_TargetTrackingMetricDataQuery.html).
func (c *checker) trackPeriods(at string, t Track) {
	bad := func(p *int) bool { return p != nil && *p != 10 && *p != 30 && *p != 60 }
	if bad(t.Period) {
		c.say(at+".period", "expected 10, 30 or 60, got %d", *t.Period)
	}
	for i, q := range t.Queries {
		if bad(q.Period) {
			c.say(at+".queries."+strconv.Itoa(i)+".period", "expected 10, 30 or 60, got %d", *q.Period)
		}
	}
}

// alarmPeriods checks the periods that alarms know, and that all in all they
// look at no more than a day (API_PutMetricAlarm.html; a week with hours).
func (c *checker) alarmPeriods(at string, a Alarm) {
	longest := 0
	check := func(path string, p *int) {
		if p == nil {
			return
		}
		if longest = max(longest, *p); *p != 10 && *p != 20 && *p != 30 && (*p < 60 || *p%60 != 0) {
			c.say(path, "expected 10, 20, 30 or a multiple of 60, got %d", *p)
		}
	}
	check(at+".period", a.Period)
	for i, q := range a.Queries {
		check(at+".queries."+strconv.Itoa(i)+".period", q.Period)
		if q.Metric != nil && q.Period == nil {
			c.say(at+".queries."+strconv.Itoa(i), "period is needed")
		}
	}
	limit := 86400
	if longest >= 3600 {
		limit = 7 * 86400
	}
	if n := *or(a.Periods, 1); n < 1 || n*longest > limit {
		c.say(at+".evaluation_periods", "%d periods of %d s are more than an alarm looks at", n, longest)
	}
	if d := a.Datapoints; d != nil && (*d < 1 || *d > *or(a.Periods, 1)) {
		c.say(at+".datapoints", "expected 1 to evaluation_periods, got %d", *d)
	}
}
