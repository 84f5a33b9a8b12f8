package autoscale

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Warning is something in a file that is valid and will most likely not do
// what was meant.
type Warning struct {
	Group  string `json:"group"`
	Key    string `json:"key"` // below the group, such as capacity.max
	Text   string `json:"text"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"` // 0 when no line of the file says it
	Column int    `json:"column,omitempty"`
}

// String is the warning in one line, as a compiler would write it.
func (w Warning) String() string {
	where := w.File
	if w.Line > 0 {
		where = fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column)
	}
	if where != "" {
		where += ": "
	}
	return fmt.Sprintf("%swarning: %s: %s: %s", where, w.Group, w.Key, w.Text)
}

// warner gathers what a file's groups call for.
type warner struct {
	d     *decoder
	group string
	out   []Warning
	from  int // where the group's begin in out
}

func (w *warner) say(key, format string, args ...any) {
	one := Warning{Group: w.group, Key: key, Text: fmt.Sprintf(format, args...), File: w.d.file}
	for p := w.d.written("groups." + w.group + "." + key); p != ""; p = p[:max(0, strings.LastIndexByte(p, '.'))] {
		if t := w.d.at[p]; t != nil && t.Position != nil {
			one.Line, one.Column = t.Position.Line, t.Position.Column
			break
		}
	}
	if !slices.Contains(w.out[w.from:], one) {
		w.out = append(w.out, one)
	}
}

// warn looks at what the file says and, for metrics, at what that expands to.
func warn(d *decoder, s Spec) []Warning {
	w := &warner{d: d}
	readings := Expand(s).readings()
	for _, name := range s.Names() {
		w.group, w.from = name, len(w.out)
		g := s.Groups[name]
		w.purchase(g)
		w.headroom(g)
		w.agent(g)
		w.metrics(name, g)
		if g.Metrics != nil {
			for _, r := range readings[name] {
				if !slices.Contains(g.Metrics, r.metric) {
					w.say("metrics", "%s is collected, too: %s", r.metric, need(r.readers, "it"))
				}
			}
		}
		slices.SortStableFunc(w.out[w.from:], func(a, b Warning) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	}
	return w.out
}

// agent looks at what boot-agent, which is in every image of a role, needs to
// answer the group's hooks: it learns its group from its tags.
func (w *warner) agent(g Group) {
	l := val(g.Launch)
	if len(g.Hooks) == 0 || !strings.HasPrefix(val(l.Image), "role:") || val(val(l.Metadata).Tags) == "enabled" {
		return
	}
	w.say("hooks", "boot-agent in the image answers hooks only where the instance can read its tags: set launch.metadata.tags: enabled")
}

// fewPools is below which AWS's advice for spot is not followed: be flexible
// across at least 10 instance types, in all zones
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-best-practices.html).
const fewPools = 10

// purchase looks at how spot is bought.
func (w *warner) purchase(g Group) {
	m, c, mode := val(g.Mixed), val(g.Capacity), g.mode()
	spot := mode == MixedMode || mode == BackstopMode
	switch share := m.OnDemandPercentage; {
	case mode == "" && g.Mixed != nil && share == nil:
		w.say("mixed.on_demand_percentage", "left out, AWS means 100, which buys no spot; write 100 if that is meant")
	case mode == MixedMode && share != nil && *share == 100:
		w.say("mixed.on_demand_percentage", "100 buys no spot, which mode %s is for", mode)
	case mode == "" && share != nil && *share < 100:
		spot = true
	}
	if !spot {
		return
	}
	if pools := g.pools(); pools > 0 && pools < fewPools {
		w.say("mixed.types", "%d spot pools (instance types × zones): with fewer than %d, losing one costs much of the capacity; add types or zones", pools, fewPools)
	}
	if strategy := val(m.SpotStrategy); strategy == "lowest-price" {
		w.say("mixed.spot_strategy", "lowest-price buys from the pools that are taken back soonest; price-capacity-optimized looks at both")
	}
	if mode == "" && !val(c.Rebalance) {
		w.say("capacity.rebalance", "without it, a spot instance is replaced only after it is gone")
	}
	if c.Max == nil {
		return
	}
	if n := val(c.Desired).N; c.Desired != nil && n == *c.Max || c.Min != nil && *c.Min == *c.Max {
		w.say("capacity.max", "max equals what is wanted: a replacement for spot capacity at risk has hardly any room to start before the old one goes")
	}
	if mode == MixedMode && val(c.OnDemandBase) >= *c.Max {
		w.say("capacity.on_demand_base", "the base is all of max: no spot is bought")
	}
}

// pools is how many spot pools the group can draw from, or 0 when the file
// does not say.
func (g Group) pools() int {
	types := len(val(g.Mixed).Types)
	if types == 0 && val(g.Launch).Type != nil {
		types = 1
	}
	if slices.ContainsFunc(val(g.Mixed).Types, func(o Override) bool { return o.Requirements != nil }) {
		types = 0 // AWS finds them
	}
	return g.zones() * types
}

// zones is how many zones, or subnets in them, the file names.
func (g Group) zones() int {
	n := val(g.Network)
	return max(len(n.Zones), len(n.ZoneIDs), len(n.Subnets))
}

// headroom says where it does not reach.
func (w *warner) headroom(g Group) {
	if val(val(g.Capacity).Headroom) == 0 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(g.Policies)) {
		if p := g.Policies[key]; p.Adjustment != nil || p.Steps != nil || p.Latency != nil {
			w.say("capacity.headroom", "it does not reach policy %s, which adjusts by an alarm; lower that alarm's threshold", key)
		}
	}
}

var (
	waits  = regexp.MustCompile(`(?i)(latency|responsetime|duration|age(of)?oldest)`)
	totals = regexp.MustCompile(`^(RequestCount|ProcessedBytes|ActiveConnectionCount|NewConnectionCount|ApproximateNumberOfMessages\w*|NumberOfMessages\w*|IncomingRecords|IncomingBytes)$`)
)

// metrics looks at metrics that cannot do what they are asked for. Keys that
// the file does not have, as they are an expansion's, are trusted.
func (w *warner) metrics(name string, g Group) {
	for _, s := range g.written().sources(name) {
		metric, namespace := *s.query.Metric, val(s.query.Namespace)
		w.resolution(g, s)
		w.scope(s)
		if s.tracks && strings.HasPrefix(s.key, "policies.") {
			t := g.Policies[strings.Split(s.key, ".")[1]].Track
			if waits.MatchString(metric) {
				w.say(s.key, "%s does not move in proportion to capacity, which target tracking counts on; use latency, which makes a step policy, or a metric of load", metric)
			}
			if totals.MatchString(metric) && (strings.HasPrefix(namespace, "AWS/")) && !divided(t) {
				w.say(s.key, "%s does not fall when capacity rises: divide it by the instances in service (queue and requests_per_target do)", metric)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.Policies)) {
		if m := val(val(g.Policies[key].Track).Predefined); strings.HasPrefix(m, "ASGAverage") && coarse(g) {
			w.say("policies."+key+".track", "%s comes every 300 s without detailed monitoring, and the policy reacts as late: set launch.monitoring: true", m)
		}
	}
	w.zero(g)
}

// coarse says that instances report every five minutes only.
func coarse(g Group) bool { return g.Launch != nil && !val(g.Launch.Monitoring) }

// written is g without what has a short form.
func (g Group) written() Group {
	out := map[string]Policy{}
	for key, p := range g.Policies {
		if p.sugar() == "" {
			out[key] = p
		}
	}
	g.Policies = out
	return g
}

// divided says that some expression of t divides.
func divided(t *Track) bool {
	return slices.ContainsFunc(t.Queries, func(q Query) bool { return strings.Contains(val(q.Expression), "/") })
}

// resolution looks at periods that are shorter than the metric's.
func (w *warner) resolution(g Group, s source) {
	period, namespace := *or(s.query.Period, 60), val(s.query.Namespace)
	switch {
	case namespace == "AWS/EC2" && period < 300 && coarse(g):
		w.say(s.key, "%s comes every 300 s without detailed monitoring, and is looked at every %d s: set launch.monitoring: true", *s.query.Metric, period)
	case strings.HasPrefix(namespace, "AWS/") && period < 60:
		w.say(s.key, "%s comes once a minute at best, and is looked at every %d s", *s.query.Metric, period)
	}
}

// scopes are the dimensions without which a metric of AWS is that of nothing,
// or of everything.
func scopes() map[string][]string {
	return map[string][]string{"AWS/EC2": {groupDimension}, groupNamespace: {groupDimension}, "AWS/SQS": {"QueueName"},
		"AWS/ApplicationELB": {"LoadBalancer", "TargetGroup"}, "AWS/NetworkELB": {"LoadBalancer"}, "AWS/ELB": {"LoadBalancerName"}}
}

func (w *warner) scope(s source) {
	needed := scopes()[val(s.query.Namespace)]
	if len(needed) == 0 || slices.ContainsFunc(needed, func(d string) bool { return s.query.Dimensions[d] != "" }) {
		return
	}
	w.say(s.key, "%s has no dimension %s: it is not about this group", *s.query.Metric, strings.Join(needed, " or "))
}

// guard is how an expression may say what zero instances mean.
var guard = regexp.MustCompile(`\b(IF|MAX)\s*\(`)

// zero looks for divisions that have no result while a group is empty, so
// that it never leaves zero.
func (w *warner) zero(g Group) {
	if min := val(g.Capacity).Min; min == nil || *min > 0 {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(g.Policies)) {
		t := val(g.Policies[key].Track)
		counts := slices.ContainsFunc(t.Queries, func(q Query) bool { return val(q.Namespace) == groupNamespace })
		for i, q := range t.Queries {
			if text := val(q.Expression); counts && strings.Contains(text, "/") && !guard.MatchString(text) {
				w.say("policies."+key+".track.queries."+strconv.Itoa(i), "%q has no value while the group is empty, and min is 0: write IF(n > 0, n, 1), or use queue", text)
			}
		}
	}
}
