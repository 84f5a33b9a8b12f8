package autoscale

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	zoneName  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d+(-[a-z]+-\d+)?[a-z]$`)
	topicName = regexp.MustCompile(`^arn:[^:]+:(sns|sqs):[^:]*:[^:]*:.+$`)
)

// checker gathers the first thing that is wrong in a file.
type checker struct {
	d   *decoder
	err error
}

func (c *checker) say(path, format string, args ...any) {
	if c.err == nil {
		c.err = c.d.wrong(path, format, args...)
	}
}

func (c *checker) oneOf(path string, p *string, allowed ...string) {
	if p != nil && !slices.Contains(allowed, *p) {
		c.say(path, "expected one of %s, got %q", strings.Join(allowed, ", "), *p)
	}
}

func (c *checker) needs(path string, set map[string]bool) {
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if !set[key] {
			c.say(path, "%s is needed", key)
		}
	}
}

// checkSpec refuses what AWS would refuse later, with a line to go to.
func checkSpec(d *decoder, s Spec) error {
	c := &checker{d: d}
	if len(s.Groups) == 0 {
		c.say("groups", "there are no groups")
	}
	for _, name := range s.Names() {
		at := "groups." + name
		if strings.ContainsAny(name, "|:") || len(name) > 200 || name == "" {
			c.say(at, "a group's name has 1 to 200 characters and neither | nor :")
		}
		c.group(at, name, s.Groups[name], s.Region)
		if half := name + BackstopSuffix; s.Groups[name].mode() == BackstopMode {
			if _, taken := s.Groups[half]; taken {
				c.say("groups."+half, "it is the name of the on-demand half of %s; choose another", name)
			}
		}
	}
	return c.err
}

func (c *checker) group(at, name string, g Group, region string) {
	c.capacity(at, val(g.Capacity))
	c.mode(at, g)
	c.launch(at, g)
	if g.Network != nil {
		for _, z := range g.Network.Zones {
			if !zoneName.MatchString(z) || !strings.HasPrefix(z, region) {
				c.say(at+".zones", "%q is no zone of region %s", z, region)
			}
		}
	}
	if g.Balancing != nil {
		c.oneOf(at+".load_balancing.health_check", g.Balancing.HealthCheck, "EC2", "ELB")
	}
	if g.Protection != nil {
		c.oneOf(at+".protection.deletion", g.Protection.Deletion, "none", "prevent-force-deletion", "prevent-all-deletion")
	}
	for _, key := range slices.Sorted(maps.Keys(g.Policies)) {
		c.policy(at+".policies."+key, g.Policies[key])
	}
	c.alarms(at, name, g)
	c.sugars(at, g, region)
	for _, key := range slices.Sorted(maps.Keys(g.Schedules)) {
		c.schedule(at+".schedules."+key, g.Schedules[key])
	}
	for _, key := range slices.Sorted(maps.Keys(g.Hooks)) {
		p, h := at+".hooks."+key, g.Hooks[key]
		c.needs(p, map[string]bool{"on": h.On != nil})
		c.oneOf(p+".on", h.On, "launching", "terminating")
		c.oneOf(p+".default", h.Default, "CONTINUE", "ABANDON")
	}
	for topic := range g.Notifications {
		if !topicName.MatchString(topic) {
			c.say(at+".notifications", "%q is no topic's ARN", topic)
		}
	}
}

func (c *checker) capacity(at string, v Capacity) {
	at += ".capacity"
	if v.Min != nil && *v.Min < 0 {
		c.say(at+".min", "min is negative")
	}
	if v.Min != nil && v.Max != nil && *v.Min > *v.Max {
		c.say(at+".min", "min %d is over max %d", *v.Min, *v.Max)
	}
	if v.Desired != nil && (v.Min != nil && v.Desired.N < *v.Min || v.Max != nil && v.Desired.N > *v.Max) {
		c.say(at+".desired", "desired %d is outside min %d and max %d", v.Desired.N, val(v.Min), val(v.Max))
	}
	if (v.MinHealthy == nil) != (v.MaxHealthy == nil) {
		c.say(at, "min_healthy and max_healthy go together")
	}
	c.oneOf(at+".units", v.Units, "units", "vcpu", "memory-mib")
}

func (c *checker) launch(at string, g Group) {
	if g.Launch != nil {
		c.oneOf(at+".launch.tokens", g.Launch.Tokens, "required", "optional")
		if i := g.Launch.Image; i != nil && !strings.HasPrefix(*i, "ami-") && !strings.HasPrefix(*i, "role:") {
			c.say(at+".launch.image", "expected ami-ID or role:NAME, got %q", *i)
		}
	}
	if g.Mixed == nil {
		return
	}
	for _, t := range g.Mixed.Types {
		if _, _, err := weighted(t); err != nil {
			c.say(at+".mixed.types", "%q: %v", t, err)
		}
	}
	if p := g.Mixed.OnDemandPercentage; p != nil && (*p < 0 || *p > 100) {
		c.say(at+".mixed.on_demand_percentage", "expected 0 to 100, got %d", *p)
	}
}

func (c *checker) policy(at string, p Policy) {
	if p.sugar() != "" {
		return // see sugars
	}
	c.oneOf(at+".type", p.Type, "ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity")
	switch {
	case p.Track != nil && (p.Adjustment != nil || p.Steps != nil || p.Type != nil):
		c.say(at, "track stands alone: no type, adjustment or steps beside it")
	case p.Steps != nil && p.Adjustment != nil:
		c.say(at, "adjustment and steps exclude each other")
	case p.Steps != nil && p.Cooldown != nil:
		c.say(at+".cooldown", "a step policy has no cooldown, but a warmup")
	case p.Track != nil:
		c.track(at+".track", *p.Track)
	default:
		c.needs(at, map[string]bool{"type": p.Type != nil, "adjustment or steps": p.Adjustment != nil || len(p.Steps) > 0})
	}
	for _, s := range p.Steps {
		if s.Adjustment == nil || s.From == nil && s.To == nil || s.From != nil && s.To != nil && *s.From >= *s.To {
			c.say(at+".steps", "a step needs an adjustment, and from below to; one of the two may be left out")
		}
	}
}

func (c *checker) track(at string, t Track) {
	ways := 0
	for _, given := range []bool{t.Predefined != nil, t.Metric != nil, t.Queries != nil} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		c.say(at, "give one of predefined, metric and queries")
	}
	c.needs(at, map[string]bool{"target": t.Target != nil, "namespace": t.Metric == nil || t.Namespace != nil})
	c.trackPeriods(at, t)
	if t.Queries != nil {
		c.queries(at+".queries", t.Queries)
	}
}

// queryID is what CloudWatch takes for an id.
var queryID = regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)

func (c *checker) queries(at string, all []Query) {
	ids, returned := map[string]bool{}, 0
	for _, q := range all {
		if q.ID == nil || ids[*q.ID] {
			c.say(at, "each query needs an id of its own")
			return
		}
		if !queryID.MatchString(*q.ID) {
			c.say(at, "id %q: expected a lower-case letter, then letters, digits and _", *q.ID)
		}
		ids[*q.ID] = true
		if (q.Expression == nil) == (q.Metric == nil) {
			c.say(at, "query %s needs an expression or a metric, not both", *q.ID)
		}
		if q.Return == nil || *q.Return {
			returned++
		}
	}
	if returned != 1 {
		c.say(at, "exactly one query returns data, the others say return: false; here %d do", returned)
	}
	c.math(at, all)
}

func (c *checker) alarms(at, group string, g Group) {
	names := map[string]string{}
	for _, label := range slices.Sorted(maps.Keys(g.Alarms)) {
		a, p := g.Alarms[label], at+".alarms."+label
		c.watched(p, a)
		c.alarmPeriods(p, a)
		c.oneOf(p+".comparison", a.Comparison, ">", "<", ">=", "<=")
		policy, known := g.Policies[val(a.Policy)]
		if !known {
			c.say(p+".policy", "there is no policy %q in this file for the group", val(a.Policy))
		}
		if policy.Track != nil {
			c.say(p+".policy", "policy %q tracks a target: AWS makes its alarms", val(a.Policy))
		}
		name := AlarmName(group, a)
		if other, dup := names[name]; dup {
			c.say(p, "it would be called %s in AWS, as %s: give one of them a name", name, other)
		}
		names[name] = label
	}
}

// watched asks for what an alarm looks at: one metric, or queries.
func (c *checker) watched(at string, a Alarm) {
	c.needs(at, map[string]bool{"comparison": a.Comparison != nil, "threshold": a.Threshold != nil, "policy": a.Policy != nil})
	if a.Queries == nil {
		c.needs(at, map[string]bool{"namespace": a.Namespace != nil, "metric or queries": a.Metric != nil, "period": a.Period != nil})
		return
	}
	if a.Namespace != nil || a.Metric != nil || a.Statistic != nil || a.Dimensions != nil || a.Unit != nil || a.Period != nil {
		c.say(at, "with queries, namespace, metric, statistic, dimensions, unit and period stand in each query")
	}
	c.queries(at+".queries", a.Queries)
}

func (c *checker) schedule(at string, s Schedule) {
	c.needs(at, map[string]bool{"cron, start or hours": s.Cron != nil || s.Start != nil || s.Hours != nil, "min, max or desired": s.Min != nil || s.Max != nil || s.Desired != nil})
	if s.Cron != nil {
		if _, err := parseCron(*s.Cron); err != nil {
			c.say(at+".cron", "%v", err)
		}
	}
	if s.TimeZone != nil {
		if _, err := time.LoadLocation(*s.TimeZone); err != nil {
			c.say(at+".time_zone", "%q is no time zone", *s.TimeZone)
		}
	}
	for key, p := range map[string]*string{"start": s.Start, "end": s.End} {
		if _, err := time.Parse(time.RFC3339, val(p)); p != nil && err != nil {
			c.say(at+"."+key, "expected a time like 2026-11-23T19:00:00Z, got %q", *p)
		}
	}
	if s.Min != nil && s.Max != nil && *s.Min > *s.Max {
		c.say(at+".min", "min %d is over max %d", *s.Min, *s.Max)
	}
}
