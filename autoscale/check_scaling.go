package autoscale

import (
	"cmp"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// policy refuses what does not go together: each kind of policy has fields of
// its own.
func (c *checker) policy(at string, p Policy) {
	if p.sugar() != "" {
		return // see sugars
	}
	kinds := 0
	for _, given := range []bool{p.Track != nil, p.Predict != nil, p.Steps != nil || p.Adjustment != nil || p.Type != nil} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		c.say(at, "track and predict stand alone: no type, adjustment or steps beside them")
	case p.Steps != nil && p.Adjustment != nil:
		c.say(at, "adjustment and steps exclude each other")
	case p.Steps != nil && p.Cooldown != nil:
		c.say(at+".cooldown", "a step policy has no cooldown, but a warmup")
	case p.Track != nil:
		c.track(at+".track", *p.Track)
	case p.Predict != nil:
		c.predict(at+".predict", *p.Predict)
	default:
		c.needs(at, map[string]bool{"type": p.Type != nil, "adjustment or steps": p.Adjustment != nil || len(p.Steps) > 0})
	}
	for i, s := range p.Steps {
		if s.Adjustment == nil || s.From == nil && s.To == nil || s.From != nil && s.To != nil && *s.From >= *s.To {
			c.say(at+".steps."+strconv.Itoa(i), "a step needs an adjustment, and from below to; one of the two may be left out")
		}
	}
	c.together(at+".steps", p.Steps)
}

// together refuses steps that overlap or leave a gap, as AWS does
// (docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html,
// "Step adjustments").
func (c *checker) together(at string, steps []Step) {
	steps = slices.SortedFunc(slices.Values(steps), func(a, b Step) int { return cmp.Compare(*or(a.From, math.Inf(-1)), *or(b.From, math.Inf(-1))) })
	for i := 1; i < len(steps); i++ {
		if end, next := *or(steps[i-1].To, math.Inf(1)), *or(steps[i].From, math.Inf(-1)); end != next {
			c.say(at, "one step ends at %v and the next begins at %v: steps meet, without a gap", end, next)
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
	c.queries(at+".queries", t.Queries)
	c.foreign(at+".queries", t.Queries)
}

// foreign refuses queries on another account's metrics, which alarms alone
// take.
func (c *checker) foreign(at string, all []Query) {
	for i, q := range all {
		if q.Account != nil {
			c.say(at+"."+strconv.Itoa(i)+".account", "only an alarm looks into another account")
		}
	}
}

func (c *checker) predict(at string, p Predict) {
	load, scaling := p.Load != nil || p.LoadQueries != nil, p.Scaling != nil || p.ScalingQueries != nil
	switch {
	case p.Pair != nil && (load || scaling):
		c.say(at, "pair stands alone: no load or scaling metric beside it")
	case p.Pair == nil && !(load && scaling):
		c.say(at, "give a pair, or a load metric and a scaling metric")
	case p.Load != nil && p.LoadQueries != nil:
		c.say(at+".load_queries", "load and load_queries exclude each other")
	case p.Scaling != nil && p.ScalingQueries != nil:
		c.say(at+".scaling_queries", "scaling and scaling_queries exclude each other")
	}
	c.needs(at, map[string]bool{"target": p.Target != nil})
	for key, queries := range map[string][]Query{"load_queries": p.LoadQueries, "scaling_queries": p.ScalingQueries, "capacity_queries": p.CapacityQueries} {
		c.queries(at+"."+key, queries)
		c.foreign(at+"."+key, queries)
		for i, q := range queries {
			if q.Period != nil {
				c.say(at+"."+key+"."+strconv.Itoa(i)+".period", "a predictive policy looks at hours: leave the period out")
			}
		}
	}
}

// queryID is what CloudWatch takes for an id.
var queryID = regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)

// queries refuses metric math that AWS would refuse.
func (c *checker) queries(at string, all []Query) {
	if all == nil {
		return
	}
	ids, returned := map[string]bool{}, 0
	for i, q := range all {
		p := at + "." + strconv.Itoa(i)
		if q.ID == nil || ids[*q.ID] {
			c.say(p, "each query needs an id of its own")
			return
		}
		if !queryID.MatchString(*q.ID) {
			c.say(p+".id", "id %q: expected a lower-case letter, then letters, digits and _", *q.ID)
		}
		ids[*q.ID] = true
		if (q.Expression == nil) == (q.Metric == nil) {
			c.say(p, "query %s needs an expression or a metric, not both", *q.ID)
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
		c.alarm(p, a)
		c.alarmPeriods(p, a)
		c.actions(p, a)
		policy, known := g.Policies[val(a.Policy)]
		if !known && a.Policy != nil {
			c.say(p+".policy", "there is no policy %q in this file for the group", val(a.Policy))
		}
		if policy.Track != nil || policy.Predict != nil {
			c.say(p+".policy", "policy %q needs no alarm in the file: AWS makes its own", val(a.Policy))
		}
		name := AlarmName(group, a)
		if other, dup := names[name]; dup {
			c.say(p, "it would be called %s in AWS, as %s: give one of them a name", name, other)
		}
		names[name] = label
	}
}

// statistics are those of an alarm's metric
// (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html).
var statistics = regexp.MustCompile(`^(SampleCount|Average|Sum|Minimum|Maximum|IQM|(p|tm|tc|ts|wm)\d{1,2}(\.\d{1,10})?|p100|(PR|TM|TC|TS|WM)\([\d.%]*:[\d.%]*\))$`)

// mostActions is how many an alarm takes for each of its states
// (docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html).
const mostActions = 5

func (c *checker) actions(at string, a Alarm) {
	if a.Policy == nil && a.Actions == nil && a.OKActions == nil && a.NoData == nil {
		c.say(at, "policy is needed, or a list of actions")
	}
	given := 0
	if a.Policy != nil {
		given = 1
	}
	for _, l := range []struct {
		key  string
		all  []string
		more int
	}{{"actions", a.Actions, given}, {"ok_actions", a.OKActions, 0}, {"no_data_actions", a.NoData, 0}} {
		if n := len(l.all) + l.more; n > mostActions {
			c.say(at+"."+l.key, "CloudWatch takes %d%s, here are %d", mostActions, map[int]string{1: " with the policy"}[l.more], n)
		}
		for i, action := range l.all {
			here := at + "." + l.key + "." + strconv.Itoa(i)
			switch {
			case isPolicy(action):
				c.say(here, "a policy of the group is named by policy")
			case !strings.HasPrefix(action, "arn:"):
				c.say(here, "%q is no ARN", action)
			}
		}
	}
}

func (c *checker) alarm(at string, a Alarm) {
	math := a.Queries != nil
	c.needs(at, map[string]bool{"comparison": a.Comparison != nil, "threshold": a.Threshold != nil || a.Band != nil,
		"namespace": math || a.Namespace != nil, "metric or queries": math || a.Metric != nil, "period": math || a.Period != nil})
	if math && (a.Metric != nil || a.Namespace != nil || a.Statistic != nil || a.Dimensions != nil || a.Period != nil || a.Unit != nil) {
		c.say(at+".queries", "with queries, namespace, metric, statistic, dimensions, unit and period stand in each query")
	}
	if a.Threshold != nil && a.Band != nil {
		c.say(at+".threshold_query", "threshold and threshold_query exclude each other")
	}
	if _, known := comparisons()[val(a.Comparison)]; a.Comparison != nil && !known {
		c.say(at+".comparison", "expected one of >, <, >=, <=, %s, %s, %s, got %q", bandBoth, bandLow, bandHigh, *a.Comparison)
	}
	if s := a.Statistic; s != nil && !statistics.MatchString(*s) {
		c.say(at+".statistic", "expected Average, Sum, Minimum, Maximum, SampleCount or one such as p95, got %q", *s)
	}
	if a.WindowZone != nil && val(a.Window) != "wall-clock" {
		c.say(at+".window_time_zone", "only a wall-clock window has a time zone")
	}
	if a.Band == nil {
		c.queries(at+".queries", a.Queries)
	}
	for i, q := range a.Queries {
		if q.Metric != nil && (q.Period == nil || q.Statistic == nil) {
			c.say(at+".queries."+strconv.Itoa(i), "a metric of an alarm needs period and statistic")
		}
	}
}
