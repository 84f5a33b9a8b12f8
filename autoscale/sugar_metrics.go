package autoscale

import (
	"maps"
	"slices"
	"strings"
)

// source is one metric of CloudWatch that a group's policies or alarms read,
// and where the file says so.
type source struct {
	query  Query
	key    string // below the group, such as policies.cpu.track
	tracks bool   // by target tracking
}

// sources are the metrics of g that it names itself; those that AWS predefines
// are not among them.
func (g Group) sources(group string) []source {
	var out []source
	add := func(key string, tracks bool, queries ...Query) {
		for _, q := range queries {
			if q.Metric != nil {
				out = append(out, source{q, key, tracks})
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.Policies)) {
		if t := g.Policies[key].Track; t != nil {
			at := "policies." + key + ".track"
			add(at, true, t.Queries...)
			add(at, true, Query{Namespace: t.Namespace, Metric: t.Metric, Dimensions: t.Dimensions, Statistic: t.Statistic, Unit: t.Unit, Period: t.Period})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.Policies)) {
		if p := g.Policies[key].Predict; p != nil {
			add("policies."+key+".predict", false, slices.Concat(p.LoadQueries, p.ScalingQueries, p.CapacityQueries)...)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(g.Alarms)) {
		a := g.Alarms[key].settled(group)
		add("alarms."+key, false, a.Queries...)
		add("alarms."+key, false, Query{Namespace: a.Namespace, Metric: a.Metric, Dimensions: a.Dimensions, Statistic: a.Statistic, Unit: a.Unit, Period: a.Period})
	}
	return out
}

// collected says which group metrics have to be switched on, by group: those
// that any policy or alarm of the file reads.
func (s Spec) collected() map[string][]string {
	out := map[string][]string{}
	for _, name := range s.Names() {
		for _, m := range s.Groups[name].sources(name) {
			of, metric := m.query.Dimensions[groupDimension], *m.query.Metric
			if val(m.query.Namespace) == groupNamespace && of != "" && strings.HasPrefix(metric, "Group") && !slices.Contains(out[of], metric) {
				out[of] = append(out[of], metric)
			}
		}
	}
	for _, metrics := range out {
		slices.Sort(metrics)
	}
	return out
}

// collect adds the group metrics that expressions read to the lists of groups
// that have one. Where there is no list nobody manages it: then a plan only
// switches on what is missing.
func (s Spec) collect() {
	for name, needed := range s.collected() {
		g, there := s.Groups[name]
		if !there || g.Metrics == nil {
			continue
		}
		for _, m := range needed {
			if !slices.Contains(g.Metrics, m) {
				g.Metrics = append(slices.Clone(g.Metrics), m)
			}
		}
		s.Groups[name] = g
	}
}

// Collection is what is switched on of one group beside the file's list.
type Collection struct {
	Group   string
	Metrics []string
}

// Collecting says which group metrics a plan switches on although the file
// has no list of them: those that expressions of the expanded file s read.
func (s Spec) Collecting() []Collection {
	var out []Collection
	needed := s.collected()
	for _, name := range s.Names() {
		if len(needed[name]) > 0 && s.Groups[name].Metrics == nil {
			out = append(out, Collection{name, needed[name]})
		}
	}
	return out
}
