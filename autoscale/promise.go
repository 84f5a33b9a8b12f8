package autoscale

import (
	"fmt"
	"math"
	"time"
)

// Promise is what a group that uses spot can be counted on for: when Losses
// of the spot pools in use are taken at once, at most Shortfall percent of
// the capacity that demand needs is missing, for at most For; afterwards at
// most After percent.
type Promise struct {
	Group     string        `json:"group"`
	Mode      string        `json:"mode"`
	Losses    int           `json:"losses"`    // pools lost at once
	Pools     int           `json:"pools"`     // in use at the least
	Shortfall float64       `json:"shortfall"` // percent
	At        int           `json:"at"`        // the wanted capacity, in units, at which it is the worst
	For       time.Duration `json:"-"`
	Seconds   int           `json:"seconds"` // For
	After     float64       `json:"after"`   // percent
	AtMax     float64       `json:"at_max"`  // the shortfall when max is wanted, in percent
	Max       int           `json:"max"`
	Reasons   []string      `json:"reasons"`
}

// String is the promise in one line.
func (p Promise) String() string {
	text := fmt.Sprintf("%s (%s): shortfall at most %.0f %% for at most %s when %d of at least %d spot pools in use is lost at once",
		p.Group, p.Mode, math.Ceil(p.Shortfall), p.For, p.Losses, p.Pools)
	if math.Ceil(p.Shortfall) > math.Ceil(p.AtMax) {
		text += fmt.Sprintf(" (at %d units; at %d units %.0f %%)", p.At, p.Max, math.Ceil(p.AtMax))
	}
	if p.After > 0 {
		text += fmt.Sprintf("; then at most %.0f %% until spot is back", math.Ceil(p.After))
	}
	return text
}

// PromiseOptions are what a promise rests on beside the file.
type PromiseOptions struct {
	Boot   time.Duration // from a launch to service; 0: capacity.warmup, or 180 s
	Losses int           // pools lost at once; 0: 1
}

// DefaultBoot is assumed where nothing says how long an instance takes to
// serve.
const DefaultBoot = 180 * time.Second

// What AWS takes, at the most we count on. Group metrics come once a minute
// and a minute late; a group looks at its instances about once a minute.
const (
	metricDelay = 60 * time.Second
	healthDelay = 60 * time.Second
)

// PromiseOf derives the promise of a group as it is written. ok is false for
// a group without a mode that buys spot.
//
// A strategy may buy a whole zone's share from one pool, so the pools in use
// are counted as zones, whatever the types: more types make it likelier that
// lost capacity is found elsewhere, not that less is lost.
func PromiseOf(name string, g Group, opt PromiseOptions) (p Promise, ok bool) {
	mode, c := g.mode(), val(g.Capacity)
	if mode != MixedMode && mode != BackstopMode || c.Max == nil {
		return Promise{}, false
	}
	p = Promise{Group: name, Mode: mode, Losses: max(opt.Losses, 1), Pools: max(g.zones(), 1)}
	boot := opt.Boot
	if boot == 0 {
		boot = DefaultBoot
		if w := val(c.Warmup); w > 0 {
			boot = time.Duration(w) * time.Second
		}
	}
	r := risk{base: val(c.OnDemandBase), share: spotShare(g), headroom: float64(val(c.Headroom)) / 100, pools: p.Pools, losses: p.Losses}
	for n := max(val(c.Min), 1); n <= *c.Max; n++ {
		if s := r.shortfall(n, 0); s > p.Shortfall {
			p.Shortfall, p.At = s, n
		}
	}
	if p.At == 0 {
		p.At = *c.Max
	}
	p.Max, p.AtMax = *c.Max, r.shortfall(*c.Max, 0)
	p.reasons(r, c)
	if mode == BackstopMode {
		p.backstop(r, c, boot)
	} else {
		p.mixed(r, c, boot, val(c.Rebalance) || c.Rebalance == nil)
	}
	p.Seconds = int(p.For.Seconds())
	return p, true
}

// spotShare is how much above the base is spot, 0 to 1.
func spotShare(g Group) float64 {
	if share := val(g.Mixed).OnDemandPercentage; share != nil && g.mode() == MixedMode {
		return 1 - float64(*share)/100
	}
	return 1
}

// risk is what a loss depends on. Sizes are in units.
type risk struct {
	base          int
	share         float64 // of spot above the base
	headroom      float64
	pools, losses int
}

// lost is how many of n wanted units go with the pools: they are spread over
// the pools as evenly as whole units can be.
func (r risk) lost(n int) int {
	spot := int(math.Ceil(float64(max(n-r.base, 0)) * r.share))
	each := int(math.Ceil(float64(spot) / float64(r.pools)))
	return min(spot, each*r.losses)
}

// shortfall is the percentage of demand that n wanted units do not cover
// after the loss, when back of them have been replaced. Demand is what n
// units cover beside the headroom.
func (r risk) shortfall(n, back int) float64 {
	demand := float64(n) / (1 + r.headroom)
	left := float64(n - r.lost(n) + min(back, r.lost(n)))
	return 100 * max(0, demand-left) / demand
}

func (p *Promise) reasons(r risk, c Capacity) {
	p.Reasons = append(p.Reasons, fmt.Sprintf("sizes from %d to %d units, %d of them always on demand", max(val(c.Min), 1), *c.Max, r.base),
		fmt.Sprintf("%d pools in use: one for each zone, at the least", p.Pools))
	if r.headroom > 0 {
		p.Reasons = append(p.Reasons, fmt.Sprintf("headroom of %d %% covers that much of a loss at once", val(c.Headroom)))
	}
}

// backstop adds how long the on-demand half takes, and what it cannot reach.
func (p *Promise) backstop(r risk, c Capacity, boot time.Duration) {
	b := val(c.Backstop).settled()
	period := time.Duration(*b.Period) * time.Second
	look := time.Duration(*b.UpAfter) * period
	p.For = metricDelay + period + look + boot
	reach := b.reach(*c.Max - r.base)
	for n := max(val(c.Min), 1); n <= *c.Max; n++ {
		p.After = max(p.After, r.shortfall(n, reach))
	}
	p.Reasons = append(p.Reasons, fmt.Sprintf("metrics are up to %s old, a period of %s has to be whole, %d of them decide (%s), and an instance takes %s to serve",
		metricDelay, period, *b.UpAfter, look, boot), fmt.Sprintf("the backstop replaces up to %d units", reach))
}

// mixed adds how long the group takes to buy elsewhere.
func (p *Promise) mixed(r risk, c Capacity, boot time.Duration, rebalance bool) {
	p.For = healthDelay + boot
	p.Reasons = append(p.Reasons, fmt.Sprintf("the group looks at its instances every %s, and one takes %s to serve", healthDelay, boot),
		"the time holds while another pool has capacity; when none has, what is lost stays lost until spot is back: only a backstop covers that")
	if rebalance {
		p.Reasons = append(p.Reasons, "replacements mostly start at the rebalance recommendation or the two-minute notice, which makes it shorter; that is not counted")
	}
}

// Promises are those of all groups of a file, as it is written; an expanded
// one has none left.
func Promises(s Spec) []Promise {
	var out []Promise
	for _, name := range s.Names() {
		if p, ok := PromiseOf(name, s.Groups[name], PromiseOptions{}); ok {
			out = append(out, p)
		}
	}
	return out
}
