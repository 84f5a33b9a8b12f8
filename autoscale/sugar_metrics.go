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

// reading is one group metric and the policies, or alarms, that read it, in
// words.
type reading struct {
	metric  string
	readers []string
}

// readings says which group metrics have to be switched on, by group: those
// that any policy or alarm of the file reads.
func (s Spec) readings() map[string][]reading {
	out := map[string][]reading{}
	for _, name := range s.Names() {
		for _, m := range s.Groups[name].sources(name) {
			of, metric := m.query.Dimensions[groupDimension], *m.query.Metric
			if val(m.query.Namespace) != groupNamespace || of == "" || !strings.HasPrefix(metric, "Group") {
				continue
			}
			i := slices.IndexFunc(out[of], func(r reading) bool { return r.metric == metric })
			if i < 0 {
				i = len(out[of])
				out[of] = append(out[of], reading{metric: metric})
			}
			reader := m.reader(s.Groups[name])
			if name != of {
				reader += " of " + name
			}
			if r := &out[of][i]; !slices.Contains(r.readers, reader) {
				r.readers = append(r.readers, reader)
			}
		}
	}
	for _, all := range out {
		slices.SortFunc(all, func(a, b reading) int { return strings.Compare(a.metric, b.metric) })
		for _, r := range all {
			slices.Sort(r.readers)
		}
	}
	return out
}

// reader names the policy whose decisions s is for, and the alarm where one
// stands between, or stands alone.
func (s source) reader(g Group) string {
	parts := strings.Split(s.key, ".")
	if parts[0] != "alarms" {
		return "policy " + parts[1]
	}
	switch policy := val(g.Alarms[parts[1]].Policy); policy {
	case "":
		return "alarm " + parts[1]
	case parts[1]:
		return "policy " + policy
	default:
		return "policy " + policy + " (alarm " + parts[1] + ")"
	}
}

// collected is readings without their readers.
func (s Spec) collected() map[string][]string {
	out := map[string][]string{}
	for of, all := range s.readings() {
		for _, r := range all {
			out[of] = append(out[of], r.metric)
		}
	}
	return out
}

// need says who reads something, as what follows "needs" or "need". Readers of
// one other group stand together, behind those of this one.
func need(readers []string, what string) string {
	if len(readers) == 1 {
		return readers[0] + " needs " + what
	}
	var groups []string
	by := map[string][]string{} // readers by the group that they are of
	for _, r := range readers {
		words, of, _ := strings.Cut(r, " of ")
		if by[of] == nil {
			groups = append(groups, of)
		}
		by[of] = append(by[of], words)
	}
	slices.Sort(groups) // this one's is ""
	var phrases []string
	for _, of := range groups {
		phrase := together(by[of])
		if of != "" {
			phrase += " of " + of
		}
		phrases = append(phrases, phrase)
	}
	return strings.Join(phrases, ", and ") + " need " + what
}

// together joins readers, and says only once that they are policies.
func together(readers []string) string {
	if len(readers) > 1 && !slices.ContainsFunc(readers, func(r string) bool { return !strings.HasPrefix(r, "policy ") }) {
		readers = slices.Clone(readers)
		for i := range readers {
			readers[i] = strings.TrimPrefix(readers[i], "policy ")
		}
		return "policies " + listed(readers)
	}
	return listed(readers)
}

// whyCollected says of metrics that a plan switches on who needs which; those
// that nobody reads are the file's wish.
func whyCollected(metrics []string, readings []reading) string {
	var asked, out []string
	by := map[string][]string{} // metrics by their readers
	var order []reading
	for _, m := range metrics {
		i := slices.IndexFunc(readings, func(r reading) bool { return r.metric == m })
		if i < 0 {
			asked = append(asked, m)
			continue
		}
		key := strings.Join(readings[i].readers, "|")
		if by[key] == nil {
			order = append(order, readings[i])
		}
		by[key] = append(by[key], m)
	}
	for _, r := range order {
		out = append(out, need(r.readers, listed(by[strings.Join(r.readers, "|")])))
	}
	switch {
	case len(asked) > 0 && len(out) > 0:
		out = slices.Insert(out, 0, "the file asks for "+listed(asked))
	case len(asked) == 1:
		return "the file asks for it"
	case len(asked) > 1:
		return "the file asks for them"
	}
	return strings.Join(out, "; ")
}

// listed joins words as a sentence does.
func listed(words []string) string {
	n := len(words)
	if n < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
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
	Why     string // which policies need which of them
}

// Collecting says which group metrics a plan switches on although the file
// has no list of them: those that expressions of the expanded file s read.
func (s Spec) Collecting() []Collection {
	var out []Collection
	needed, readings := s.collected(), s.readings()
	for _, name := range s.Names() {
		if len(needed[name]) > 0 && s.Groups[name].Metrics == nil {
			out = append(out, Collection{name, needed[name], whyCollected(needed[name], readings[name])})
		}
	}
	return out
}
