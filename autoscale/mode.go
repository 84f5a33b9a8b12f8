package autoscale

import (
	"maps"
	"math"
)

// The modes of capacity.mode.
const (
	OnDemandMode = "on_demand" // on-demand instances alone
	MixedMode    = "mixed"     // one group that buys spot above a base
	BackstopMode = "backstop"  // a spot group, and an on-demand group that makes up for what spot cannot give
)

// BackstopSuffix ends the name of a written group's on-demand half.
const BackstopSuffix = "-backstop"

// PartTag is the tag on every AWS group of a written group that is several;
// its value is the written group's name.
const PartTag = "bakehouse:autoscale-group"

// Backstop says how the on-demand half of a group in mode backstop follows
// the spot half.
type Backstop struct {
	Period        *int  `yaml:"period" aws:"-" doc:"seconds between two looks, a multiple of 60, as group metrics come once a minute; 60 when absent"`
	UpAfter       *int  `yaml:"up_after" aws:"-" doc:"periods with a shortfall before the backstop grows; 2 when absent"`
	DownAfter     *int  `yaml:"down_after" aws:"-" doc:"periods with more than needed before it shrinks; 10 when absent"`
	Share         *int  `yaml:"share" aws:"-" doc:"percent of the spot half's max that the backstop may replace; 100 when absent"`
	CountStarting *bool `yaml:"count_starting" aws:"-" doc:"whether spot capacity that is starting counts as there; true when absent"`
}

// settled is b with its defaults. Growing takes two looks: a group whose wish
// has just risen has not begun to launch, and that is no shortfall. Shrinking begins before the 15 minutes after
// which target tracking scales in: a backstop that lingers takes load off the
// spot half, which would shrink by it
// (docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html).
func (b Backstop) settled() Backstop {
	return Backstop{or(b.Period, 60), or(b.UpAfter, 2), or(b.DownAfter, 10), or(b.Share, 100), or(b.CountStarting, true)}
}

// Expand writes out what a file says in short: one group with mode backstop
// becomes two, and modes and headroom become the fields that AWS knows. The
// result has no mode and no headroom left; expanding it again changes nothing.
// s is not touched.
func Expand(s Spec) Spec {
	out := s
	out.Groups = map[string]Group{}
	for _, name := range s.Names() {
		maps.Copy(out.Groups, expandGroup(name, s.Groups[name]))
	}
	out.collect()
	return out
}

// expandGroup is one written group as AWS shall have it, by name in AWS.
func expandGroup(name string, g Group) map[string]Group {
	g = g.sugared(name)
	if g.Capacity == nil {
		return map[string]Group{name: g}
	}
	g = g.withHeadroom()
	c := *g.Capacity
	mode, base, b := val(c.Mode), val(c.OnDemandBase), val(c.Backstop).settled()
	c.Mode, c.OnDemandBase, c.Headroom, c.Backstop = nil, nil, nil, nil
	g.Capacity = &c
	switch mode {
	case OnDemandMode:
		// Written out it also takes away the spot share of a group that had one.
		if !val(val(g.Mixed).None) {
			g.Mixed = ptr(overlay(Mixed{OnDemandPercentage: ptr(100)}, val(g.Mixed)))
		}
	case MixedMode:
		// AWS's own default of the percentage is 100, which buys no spot.
		g.Mixed = ptr(overlay(Mixed{OnDemandBase: ptr(base), OnDemandPercentage: ptr(0), SpotStrategy: ptr(spotStrategy)}, val(g.Mixed)))
		c.Rebalance = or(c.Rebalance, true)
	case BackstopMode:
		return map[string]Group{name: g.spotHalf(name, base, b), name + BackstopSuffix: g.onDemandHalf(name, base, b)}
	}
	return map[string]Group{name: g}
}

// spotStrategy weighs the price of a pool against the chance to keep it,
// which is what AWS advises for most uses.
const spotStrategy = "price-capacity-optimized"

// spotHalf is the group that demand scales. Its sizes are what is left of the
// written ones above the base.
func (g Group) spotHalf(name string, base int, b Backstop) Group {
	c := *g.Capacity
	c.Min, c.Max, c.Rebalance = above(c.Min, base), above(c.Max, base), or(c.Rebalance, true)
	if c.Desired != nil {
		c.Desired = &Desired{c.Desired.Enforce, max(c.Desired.N-base, 0)}
	}
	g.Capacity, g.PartOf = &c, &name
	m := val(g.Mixed)
	g.Mixed = &Mixed{OnDemandBase: ptr(0), OnDemandPercentage: ptr(0), SpotStrategy: or(m.SpotStrategy, spotStrategy),
		SpotPools: m.SpotPools, SpotMaxPrice: m.SpotMaxPrice, Types: m.Types}
	if g.WarmPool != nil { // it cannot hold spot instances
		g.WarmPool = &WarmPool{None: ptr(true)}
	}
	schedules := map[string]Schedule{}
	for key, s := range g.Schedules {
		s.Min, s.Max, s.Desired = above(s.Min, base), above(s.Max, base), above(s.Desired, base)
		schedules[key] = s
	}
	if g.Schedules != nil {
		g.Schedules = schedules
	}
	return g
}

// above is what of n lies above base.
func above(n *int, base int) *int {
	if n == nil {
		return nil
	}
	return ptr(max(*n-base, 0))
}

// onDemandHalf is the group of the same shape that holds the base and follows
// the spot half's shortfall. Demand has no say in it.
func (g Group) onDemandHalf(name string, base int, b Backstop) Group {
	c := *g.Capacity
	c.Rebalance, c.Min, c.Desired = nil, ptr(base), &Desired{N: base}
	reach := b.reach(val(c.Max) - base)
	if c.Max != nil {
		c.Max = ptr(base + reach)
	}
	g.Capacity, g.PartOf = &c, &name
	if m := g.Mixed; m != nil {
		g.Mixed = &Mixed{OnDemandBase: ptr(0), OnDemandPercentage: ptr(100), OnDemandStrategy: m.OnDemandStrategy, OnDemandSegments: m.OnDemandSegments, Types: m.Types}
	}
	if g.Launch != nil && g.Launch.Template != nil {
		l := *g.Launch
		l.Template = ptr(*l.Template + BackstopSuffix)
		g.Launch = &l
	}
	if g.Schedules != nil {
		g.Schedules = map[string]Schedule{}
	}
	f := follower{name, base, reach, b}
	g.Policies = map[string]Policy{"up": f.up(), "down": f.down()}
	g.Alarms = map[string]Alarm{"shortfall": f.shortfall(), "excess": f.excess()}
	return g
}

// reach is how many units above its base the on-demand half may have, beside
// a spot half of at most spot units.
func (b Backstop) reach(spot int) int {
	return int(math.Ceil(float64(max(spot, 0)**b.Share) / 100))
}

// withHeadroom makes a group larger than demand asks for: by percent. Where
// policies have targets, the targets shrink by the same factor, and capacity
// follows; where none do, the written sizes are what demand is thought to be,
// and min and desired grow, at most to max.
func (g Group) withHeadroom() Group {
	c := *g.Capacity
	factor := 1 + float64(val(c.Headroom))/100
	if factor == 1 {
		return g
	}
	if tracked := g.tracked(factor); tracked != nil {
		g.Policies = tracked
		return g
	}
	grow := func(n *int) *int {
		if n == nil {
			return nil
		}
		more := int(math.Ceil(float64(*n)*factor - 1e-9))
		if c.Max != nil {
			more = min(more, max(*c.Max, *n))
		}
		return &more
	}
	c.Min = grow(c.Min)
	if c.Desired != nil {
		c.Desired = &Desired{c.Desired.Enforce, *grow(&c.Desired.N)}
	}
	g.Capacity = &c
	if g.Schedules != nil {
		schedules := map[string]Schedule{}
		for key, s := range g.Schedules {
			s.Min, s.Desired = grow(s.Min), grow(s.Desired)
			schedules[key] = s
		}
		g.Schedules = schedules
	}
	return g
}

// tracked is the group's policies with their targets divided by factor; nil
// when none has a target.
func (g Group) tracked(factor float64) map[string]Policy {
	out, some := maps.Clone(g.Policies), false
	less := func(target *float64) *float64 { return ptr(math.Round(*target/factor*1000) / 1000) }
	for key, p := range out {
		if t := val(p.Track); t.Target != nil {
			t.Target = less(t.Target)
			p.Track, some = &t, true
		}
		if t := val(p.Predict); t.Target != nil {
			t.Target = less(t.Target)
			p.Predict, some = &t, true
		}
		out[key] = p
	}
	if !some {
		return nil
	}
	return out
}
