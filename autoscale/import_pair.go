package autoscale

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// importer writes what was observed as a file.
type importer struct {
	o      Observed
	region string
	asked  []string
	out    map[string]Group
	notes  []string
}

func (i *importer) note(group, text string) { i.notes = append(i.notes, group+": "+text) }

// counterparts are the other halves that names may have, by their names alone.
func counterparts(names []string) []string {
	var out []string
	for _, name := range names {
		if spot, cut := strings.CutSuffix(name, BackstopSuffix); cut {
			out = append(out, spot)
			continue
		}
		out = append(out, name+BackstopSuffix)
	}
	return out
}

// whole is the written group that name is one half of, by tag and by name; ""
// when it is none.
func (o Observed) whole(name string) string {
	part := val(o.Groups[name].PartOf)
	if part != "" && (name == part || name == part+BackstopSuffix) {
		return part
	}
	return ""
}

// plain writes one group as it is.
func (i *importer) plain(name string) {
	live := i.o.Groups[name]
	g := live.imported(name)
	i.out[name] = g
	i.notes = append(i.notes, live.leftOut(name, g)...)
}

// pair writes the two halves of a group in mode backstop as that group. Where
// one is missing, or where they are not what the mode makes of any file, they
// are written as groups of their own: a plan of them is empty, too.
func (i *importer) pair(name, written string) {
	other := written
	if name == written {
		other = written + BackstopSuffix
	}
	if live, there := i.o.Groups[other]; !there || live.Status != "" || i.o.whole(other) != written {
		i.half(name, other, there && live.Status == "")
		return
	}
	if !slices.Contains(i.asked, written) {
		i.note(name, "it is the on-demand half of "+written+"; both are written as "+written+", with mode backstop")
	}
	spot, demand := i.o.Groups[written], i.o.Groups[written+BackstopSuffix]
	g := folded(written, spot.imported(written), demand.imported(written+BackstopSuffix))
	why := i.unlike(written, g)
	if why == "" {
		i.out[written] = g
		i.notes = append(i.notes, spot.leftOut(written, g)...)
		return
	}
	i.note(written, "it and "+written+BackstopSuffix+" are written as two groups with part_of: as one group with mode backstop, a plan would change "+why)
	i.plain(written)
	i.plain(written + BackstopSuffix)
}

// half writes one half whose other one is not there, or is not marked as such.
func (i *importer) half(name, other string, there bool) {
	which, its := "spot", "on-demand"
	if strings.HasSuffix(name, BackstopSuffix) {
		which, its = its, which
	}
	what := "does not exist in " + i.region
	if there {
		what = "does not carry the tag " + PartTag
	}
	i.note(name, "it is the "+which+" half of a group with mode backstop, and its "+its+" half "+other+" "+what+": written as a group of its own, without the mode")
	i.plain(name)
	g := i.out[name]
	g.PartOf = nil
	i.out[name] = g
}

// unlike says what a plan of g, in mode backstop, would change of the two
// groups that AWS has; "" for nothing.
func (i *importer) unlike(written string, g Group) string {
	text, err := Encode(Spec{Version: 2, Region: i.region, Groups: map[string]Group{written: g}})
	if err != nil {
		return err.Error()
	}
	s, err := Parse(written, text)
	if err != nil {
		return err.Error()
	}
	o := i.o
	o.Images = maps.Clone(o.Images)
	for _, ref := range references(s) { // they are what is launched now
		o.Images[ref] = Image{ID: ref}
	}
	p, err := Diff(s, o, DiffOptions{})
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, c := range p.Changes {
		if len(c.Fields) == 0 {
			all = append(all, string(c.Kind)+" "+c.Name)
		}
		for _, f := range c.Fields {
			all = append(all, f.Path+" of "+c.Group)
		}
	}
	if more := len(all) - 3; more > 0 {
		all = append(all[:3], count(more, "other thing", "other things"))
	}
	return listed(all)
}

// folded undoes what Expand makes of mode backstop, as far as it can be
// undone; headroom and short forms stay written out.
func folded(name string, spot, demand Group) Group {
	g, base := spot, val(val(demand.Capacity).Min)
	more := func(n *int) *int {
		if n == nil {
			return nil
		}
		return ptr(*n + base)
	}
	c := *spot.Capacity
	c.Mode, c.Min, c.Max, c.Backstop = ptr(BackstopMode), more(c.Min), more(c.Max), demand.follows(val(c.Max), base)
	if base > 0 {
		c.OnDemandBase = &base
	}
	if val(c.Rebalance) {
		c.Rebalance = nil
	}
	g.Capacity, g.PartOf, g.WarmPool, g.Mixed = &c, nil, demand.WarmPool, nil
	if m, od := val(spot.Mixed), demand.Mixed; od != nil {
		g.Mixed = &Mixed{OnDemandStrategy: od.OnDemandStrategy, OnDemandSegments: od.OnDemandSegments, SpotPools: m.SpotPools, SpotMaxPrice: m.SpotMaxPrice, Types: m.Types}
		if val(m.SpotStrategy) != spotStrategy {
			g.Mixed.SpotStrategy = m.SpotStrategy
		}
	}
	g.Schedules = map[string]Schedule{}
	for key, s := range spot.Schedules {
		s.Min, s.Max, s.Desired = more(s.Min), more(s.Max), more(s.Desired)
		g.Schedules[key] = s
	}
	g.Metrics = nil // the halves' lists are what their expressions read, and the file's
	read := Expand(Spec{Groups: map[string]Group{name: g}}).collected()
	for half, have := range map[string][]string{name: spot.Metrics, name + BackstopSuffix: demand.Metrics} {
		for _, m := range have {
			if !slices.Contains(read[half], m) && !slices.Contains(g.Metrics, m) {
				g.Metrics = append(g.Metrics, m)
			}
		}
	}
	slices.Sort(g.Metrics)
	return g
}

// follows reads off an on-demand half how it follows a spot half of at most
// spot units; nil for the defaults.
func (g Group) follows(spot, base int) *Backstop {
	b, normal := Backstop{}, Backstop{}.settled()
	changed := func(have, usual *int) *int {
		if have == nil || *have == *usual {
			return nil
		}
		return have
	}
	if reach := val(val(g.Capacity).Max) - base; reach != normal.reach(spot) && spot > 0 {
		b.Share = ptr(int(math.Floor(float64(100*reach) / float64(spot))))
	}
	for _, a := range g.Alarms {
		switch val(a.Policy) {
		case "up":
			counts := false
			for _, q := range a.Queries {
				b.Period = or(b.Period, val(q.Period))
				counts = counts || val(q.ID) == "starting"
			}
			if b.UpAfter = changed(a.Periods, normal.UpAfter); !counts {
				b.CountStarting = &counts
			}
		case "down":
			b.DownAfter = changed(a.Periods, normal.DownAfter)
		}
	}
	if b.Period = changed(b.Period, normal.Period); b == (Backstop{}) {
		return nil
	}
	return &b
}
