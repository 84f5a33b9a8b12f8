package simulate

import (
	"math"
	"slices"
	"time"

	"bakehouse/autoscale"
)

// batch is instances of one kind that were launched together.
type batch struct {
	kind  int
	n     int
	ready time.Duration
}

// entry is units that came into service.
type entry struct {
	units int
	at    time.Duration
}

// group is one Auto Scaling group under simulation. Kinds of instances are the
// spot pools by number; the last one is on demand.
type group struct {
	name     string
	min, max int
	desired  int
	cooldown time.Duration // the group's default
	warmup   time.Duration // the group's default; -1: none
	base     int           // on-demand units that come first
	percent  int           // on-demand share above the base
	moves    bool          // replaces instances at a recommendation or notice
	spread   int           // pools of a zone that are used at once
	evens    bool          // evens out its zones (process AZRebalance)
	extra    int           // units that start for that, beyond what is desired

	weights  []int // by kind
	zones    []int // of the pools; numbers
	ready    []int // instances by kind
	coming   []int // instances by kind, of starting
	starting []batch
	entries  []entry // units that came into service lately
	launches int

	signals   []*signal
	schedules []schedule
	quiet     time.Duration // until when simple scaling waits
	grown     []entry       // units that scaling out has asked for lately
}

// onDemand is the kind of on-demand instances.
func (g *group) onDemand() int { return len(g.weights) - 1 }

func newGroup(name string, spec autoscale.Group, s *setup) *group {
	c := orZero(spec.Capacity)
	g := &group{name: name, min: orZero(c.Min), max: orZero(c.Max), weights: s.weights, zones: s.zones, percent: 100, spread: 1, evens: !slices.Contains(spec.Suspended, "AZRebalance"), moves: orZero(c.Rebalance),
		cooldown: 300 * time.Second, warmup: -1, ready: make([]int, len(s.weights)), coming: make([]int, len(s.weights))}
	if c.Cooldown != nil {
		g.cooldown = time.Duration(*c.Cooldown) * time.Second
	}
	if c.Warmup != nil {
		g.warmup = time.Duration(*c.Warmup) * time.Second
	}
	switch m := spec.Mixed; {
	case m != nil:
		g.base = orZero(m.OnDemandBase)
		if m.OnDemandPercentage != nil {
			g.percent = *m.OnDemandPercentage
		}
		if orZero(m.SpotStrategy) == "lowest-price" {
			g.spread = 2 // AWS's default
			if m.SpotPools != nil {
				g.spread = *m.SpotPools
			}
		}
	case spec.Launch != nil && spec.Launch.BuysSpot():
		g.percent = 0
	}
	return g
}

func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// serving and launching are units in service and units that start; of one
// kind, or of all for a kind of -1.
func (g *group) serving(kind int) int   { return g.units(g.ready, kind) }
func (g *group) launching(kind int) int { return g.units(g.coming, kind) }

func (g *group) units(of []int, kind int) int {
	if kind >= 0 {
		return of[kind] * g.weights[kind]
	}
	sum := 0
	for k, n := range of {
		sum += n * g.weights[k]
	}
	return sum
}

func (g *group) live() int { return g.serving(-1) + g.launching(-1) }

// leaving are the units that run in pools under notice or recommendation.
func (g *group) leaving(of []int, s *setup) int {
	return g.inPools(of, s, func(p poolState) bool { return p.leaving })
}

// noticed are the units that run in pools under notice.
func (g *group) noticed(of []int, s *setup) int {
	return g.inPools(of, s, func(p poolState) bool { return p.noticed })
}

func (g *group) inPools(of []int, s *setup, fits func(poolState) bool) int {
	sum := 0
	for p := range s.pools {
		if fits(s.state[p]) {
			sum += g.units(of, p)
		}
	}
	return sum
}

// come takes into service what has booted.
func (g *group) come(now time.Duration) {
	kept := g.starting[:0]
	for _, b := range g.starting {
		if b.ready > now {
			kept = append(kept, b)
			continue
		}
		g.coming[b.kind] -= b.n
		g.ready[b.kind] += b.n
		g.entries = append(g.entries, entry{b.n * g.weights[b.kind], now})
	}
	g.starting = kept
}

// lose takes away all instances of a pool, and says how many there were.
func (g *group) lose(pool int) int {
	n := g.ready[pool] + g.coming[pool]
	g.ready[pool], g.coming[pool] = 0, 0
	kept := g.starting[:0]
	for _, b := range g.starting {
		if b.kind != pool {
			kept = append(kept, b)
		}
	}
	g.starting = kept
	return n
}

// fulfil launches and terminates until the group has what it wants, or no
// pool gives more. On-demand capacity is always there.
func (g *group) fulfil(now time.Duration, s *setup) {
	gone := 0
	if g.moves {
		gone = g.leaving(g.ready, s) + g.leaving(g.coming, s)
	}
	live := g.live()
	for live-gone < g.desired && live < g.roof(gone) {
		kind := g.pick(s)
		if kind < 0 {
			break
		}
		g.launch(kind, now+s.boot)
		live += g.weights[kind]
	}
	if len(g.starting) == 0 {
		g.extra = 0
	}
	for live-gone-g.extra > g.desired {
		kind := g.victim(s)
		if kind < 0 || live-gone-g.extra-g.weights[kind] < g.desired {
			break
		}
		g.terminate(kind)
		live -= g.weights[kind]
	}
	if g.evens && gone == 0 && len(g.starting) == 0 && live >= g.desired {
		g.even(now, s)
	}
}

// even launches in the zone with the fewest spot units what another has too
// many, a tenth of max at a time; once that serves, the surplus goes from
// where the most units are
// (docs.aws.amazon.com/autoscaling/ec2/userguide/auto-scaling-benefits.html,
// "Rebalancing activities").
func (g *group) even(now time.Duration, s *setup) {
	margin := max(1, g.max/10)
	mean := g.mean(s)
	for g.extra < margin {
		kind := g.pool(s)
		if kind < 0 || float64(g.inZone(g.zones[kind])+g.weights[kind]) > mean {
			return
		}
		g.launch(kind, now+s.boot)
		g.extra += g.weights[kind]
	}
}

// mean is how many spot units a zone has, of those that have any or give some.
func (g *group) mean(s *setup) float64 {
	sum, zones, last := 0, 0, -1
	counts := false
	for p, z := range g.zones { // the pools of a zone stand together
		if z != last {
			sum, last, counts = sum+g.inZone(z), z, false
		}
		if !counts && (s.gives(p) || g.inZone(z) > 0) {
			zones, counts = zones+1, true
		}
	}
	return float64(sum) / float64(max(zones, 1))
}

// roof is how many units may run. While instances under notice are replaced it
// is a tenth above max, at least one unit
// (docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-capacity-rebalancing.html).
func (g *group) roof(gone int) int {
	if gone == 0 {
		return g.max
	}
	return g.max + max(1, g.max/10)
}

// wantOnDemand is how many of the desired units are on demand; the percentage
// is rounded up, in favour of on demand
// (docs.aws.amazon.com/autoscaling/ec2/userguide/mixed-instances-groups-set-up-overview.html).
func (g *group) wantOnDemand() int {
	above := max(g.desired-g.base, 0)
	return min(g.desired, g.base+int(math.Ceil(float64(above*g.percent)/100)))
}

// pick chooses what to launch: on demand up to its share, else a pool; -1 when
// no pool gives any.
func (g *group) pick(s *setup) int {
	od := g.onDemand()
	if g.serving(od)+g.launching(od) < g.wantOnDemand() {
		return od
	}
	return g.pool(s)
}

// pool chooses the spot pool of the next launch: in the zone with the fewest
// units of this group the cheapest for a unit; the file's order decides between
// equals. With lowest-price and several spot_pools it spreads over that many of
// the cheapest.
func (g *group) pool(s *setup) int {
	zone, fewest := -1, 0
	for p := range s.pools {
		if n := g.inZone(g.zones[p]); s.gives(p) && (zone < 0 || n < fewest) {
			zone, fewest = g.zones[p], n
		}
	}
	if zone < 0 {
		return -1
	}
	best := -1
	for p := range s.pools {
		if s.gives(p) && g.zones[p] == zone && g.rank(s, p) < g.spread && (best < 0 || g.better(s, p, best)) {
			best = p
		}
	}
	return best
}

// rank is how many pools of p's zone that give capacity are cheaper.
func (g *group) rank(s *setup, p int) int {
	n := 0
	for q := range s.pools {
		if q != p && s.gives(q) && g.zones[q] == g.zones[p] && (s.cheaper(q, p) || q < p && !s.cheaper(p, q)) {
			n++
		}
	}
	return n
}

// better compares two pools of one zone that are both cheap enough.
func (g *group) better(s *setup, a, b int) bool {
	x, y := g.serving(a)+g.launching(a), g.serving(b)+g.launching(b)
	if x != y {
		return x < y
	}
	return s.cheaper(a, b)
}

func (g *group) inZone(zone int) int {
	sum := 0
	for p, z := range g.zones {
		if z == zone {
			sum += (g.ready[p] + g.coming[p]) * g.weights[p]
		}
	}
	return sum
}

func (g *group) launch(kind int, ready time.Duration) {
	g.coming[kind]++
	g.launches++
	if n := len(g.starting); n > 0 && g.starting[n-1].kind == kind && g.starting[n-1].ready == ready {
		g.starting[n-1].n++
		return
	}
	g.starting = append(g.starting, batch{kind, 1, ready})
}

// victim chooses what to terminate: on demand above its share, else in the zone
// with the most units the pool with the most, not one that is leaving anyway.
// AWS goes by age within a zone, which makes no difference here.
func (g *group) victim(s *setup) int {
	od := g.onDemand()
	if have := g.serving(od) + g.launching(od); have > 0 && have-g.weights[od] >= g.wantOnDemand() {
		return od
	}
	best, most, zone := -1, 0, 0
	for p := range s.pools {
		n, z := g.serving(p)+g.launching(p), g.inZone(g.zones[p])
		if n > 0 && (z > zone || z == zone && n > most) && !(g.moves && s.state[p].leaving) {
			best, most, zone = p, n, z
		}
	}
	if best < 0 && g.serving(od)+g.launching(od) > 0 {
		return od
	}
	return best
}

// terminate ends one instance of a kind: one that is still starting, if any.
func (g *group) terminate(kind int) {
	if g.coming[kind] == 0 {
		g.ready[kind]--
		return
	}
	g.coming[kind]--
	for i := len(g.starting) - 1; i >= 0; i-- {
		if g.starting[i].kind != kind {
			continue
		}
		if g.starting[i].n--; g.starting[i].n == 0 {
			g.starting = append(g.starting[:i], g.starting[i+1:]...)
		}
		return
	}
}

// recent sums the units of entries less than span old, and forgets those older
// than an hour.
func recent(all *[]entry, now, span time.Duration) int {
	for len(*all) > 0 && now-(*all)[0].at > maxWarmup {
		*all = (*all)[1:]
	}
	sum := 0
	for _, e := range *all {
		if now-e.at < span {
			sum += e.units
		}
	}
	return sum
}

// maxWarmup is the longest warm-up that is looked back for.
const maxWarmup = 2 * time.Hour

// set changes desired capacity within the group's bounds, and says whether it
// did.
func (g *group) set(n int, now time.Duration) bool {
	n = min(max(n, g.min), g.max)
	if n == g.desired {
		return false
	}
	if n > g.desired {
		g.grown = append(g.grown, entry{n - g.desired, now})
	}
	g.desired = n
	return true
}
