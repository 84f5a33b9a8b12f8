package simulate

import (
	"math"
	"slices"
	"time"
)

// Row is one step of one mode. Sizes are in capacity units.
type Row struct {
	At       time.Duration
	Mode     Mode
	Demand   float64
	Target   int // what the groups are to have
	OnDemand int // in service
	Spot     int // in service
	Starting int
	Short    float64 // demand that nobody serves
	Down     int     // spot pools that are down
}

// Window is a stretch of time without a break.
type Window struct {
	From, To time.Duration
	Worst    float64 // the most that was short, in units
	Share    float64 // the most that was short, in percent of what was needed
	Losses   int     // pools in use that were lost within it or shortly before
}

// Long is how long the window is.
func (w Window) Long() time.Duration { return w.To - w.From }

// Shortfall sums up what was short.
type Shortfall struct {
	UnitMinutes float64
	Time        time.Duration // in all windows together
	Worst       float64       // units
	WorstAt     time.Duration
	Longest     Window
	Windows     int
}

// tracker follows one kind of shortfall.
type tracker struct {
	total   Shortfall
	current Window
	on      bool
	each    func(Window)
}

// step takes in one step in which n units of needed ones are short, if more
// than allowed; else it ends a window.
func (t *tracker) step(now, length time.Duration, n, needed, allowed float64) {
	if n <= allowed+1e-9 {
		t.finish()
		return
	}
	if !t.on {
		t.on, t.current = true, Window{From: now}
	}
	t.current.To = now + length
	t.current.Worst = max(t.current.Worst, n)
	t.current.Share = max(t.current.Share, 100*n/needed)
	t.total.UnitMinutes += n * length.Minutes()
	t.total.Time += length
	if n > t.total.Worst {
		t.total.Worst, t.total.WorstAt = n, now
	}
}

func (t *tracker) finish() {
	if !t.on {
		return
	}
	t.on = false
	t.total.Windows++
	if t.current.Long() > t.total.Longest.Long() {
		t.total.Longest = t.current
	}
	if t.each != nil {
		t.each(t.current)
	}
}

// lowest is the least value of the last stretch of time.
type lowest struct {
	span  time.Duration
	items []entry // values that rise
}

func (l *lowest) add(now time.Duration, v int) int {
	for len(l.items) > 0 && l.items[len(l.items)-1].units >= v {
		l.items = l.items[:len(l.items)-1]
	}
	l.items = append(l.items, entry{v, now})
	for now-l.items[0].at > l.span {
		l.items = l.items[1:]
	}
	return l.items[0].units
}

// account sums up one mode.
type account struct {
	onDemand, spot, starting float64 // unit-seconds
	running                  []float64
	cost                     []float64 // by kind
	unknown                  []bool
	short                    tracker // of demand
	owed                     tracker // of a target that has had time to be met, by more than the promise allows
	target                   lowest
	losses                   []loss // of pools in use, lately
	promise                  *Promise
	verdict                  Verdict
	queue                    *Queue   // nil: no policy watches one
	answers                  *Answers // nil: no policy watches how long they take
	interrupted              int
	peak, limit              int
	turns, way, last         int
}

func newAccount(s *setup) account {
	n := len(s.weights)
	return account{running: make([]float64, n), cost: make([]float64, n), unknown: make([]bool, n), way: 1, last: -1,
		target: lowest{span: s.boot + s.step}}
}

// add takes in one step. Instances cost from their launch on.
func (a *account) add(w *world) {
	seconds := w.step.Seconds()
	serving := 0
	for _, g := range w.groups {
		od := g.serving(g.onDemand())
		all := g.serving(-1)
		serving += all
		a.onDemand += float64(od) * seconds
		a.spot += float64(all-od) * seconds
		a.starting += float64(g.launching(-1)) * seconds
		for k := range g.ready {
			n := g.ready[k] + g.coming[k]
			if n == 0 {
				continue
			}
			a.running[k] += float64(n) * seconds
			if price := w.price(k); math.IsNaN(price) {
				a.unknown[k] = true
			} else {
				a.cost[k] += float64(n) * seconds / 3600 * price
			}
		}
	}
	a.extremes(w)
	if a.queue != nil {
		a.queue.step(w.backlog, float64(serving)*w.unit)
	}
	if a.answers != nil {
		a.answers.step(w)
	}
	a.short.step(w.now, w.step, w.demand-float64(serving), w.demand, 0)
	if target := a.target.add(w.now, w.target()); a.promise != nil {
		needed := float64(target) / (1 + a.promise.Headroom/100)
		a.owed.step(w.now, w.step, needed-float64(serving), needed, needed*a.promise.After/100)
	}
}

// Queue is how work waited, where policies watch a queue.
type Queue struct {
	Most float64       // work that waited at once: what the trace counts, times seconds
	Wait time.Duration // the longest that it would have taken, at the capacity of that moment; without any it does not count
}

// step takes in what waits.
func (q *Queue) step(backlog, rate float64) {
	q.Most = max(q.Most, backlog)
	if rate > 0 {
		q.Wait = max(q.Wait, time.Duration(backlog/rate*float64(time.Second)))
	}
}

// loss is one pool in use that was lost.
type loss struct {
	at     time.Duration
	narrow bool // fewer pools were in use than the promise rests on
}

// lost takes in the loss of a pool that took n instances, when the spot units
// stood in so many pools.
func (a *account) lost(l loss, n, units, pools int) {
	a.interrupted += n
	if n == 0 {
		return
	}
	l.narrow = a.promise != nil && pools < min(a.promise.Pools, units)
	a.losses = append(a.losses, l)
}

// extremes follows the most that ran at once, and the turns of the backstop.
func (a *account) extremes(w *world) {
	live, limit := 0, 0
	for _, g := range w.groups {
		live += g.live()
		limit += g.max
	}
	a.peak, a.limit = max(a.peak, live), max(a.limit, limit)
	if len(w.groups) < 2 {
		return
	}
	now := w.groups[1].desired
	if a.last >= 0 && (now-a.last)*a.way < 0 {
		a.way = -a.way
		a.turns++
	}
	a.last = now
}

// row is the state of a world as one line.
func (w *world) row() Row {
	r := Row{At: w.now, Mode: w.mode, Demand: w.demand, Target: w.target(), Down: w.down}
	for _, g := range w.groups {
		od := g.serving(g.onDemand())
		r.OnDemand += od
		r.Spot += g.serving(-1) - od
		r.Starting += g.launching(-1)
	}
	r.Short = max(0, w.demand-float64(r.OnDemand+r.Spot))
	return r
}

// Promise is what a group is held to. Of the capacity that its target stands
// for, at most Percent is short at any time, and more than After at most for
// For, as long as no more than Losses of at least Pools pools in use are lost
// within For of each other. A target counts from the moment at which instances
// launched for it could serve.
type Promise struct {
	Percent  float64
	For      time.Duration
	After    float64 // percent
	Losses   int
	Pools    int     // 0: any number
	Headroom float64 // percent of the target that is beyond need
}

// Verdict says whether a promise was kept.
type Verdict struct {
	Promise Promise
	Kept    bool
	Broken  int    // windows that break it
	Worst   Window // the one that breaks it most, else the longest
	Outside int    // windows that would, but with more pools lost, or fewer in use, than the promise covers
}

// judge takes in a window in which more was short than is allowed for long.
func (a *account) judge(w Window) {
	p, v := a.promise, &a.verdict
	for len(a.losses) > 0 && a.losses[0].at < w.From-p.For {
		a.losses = a.losses[1:]
	}
	narrow := false
	for _, l := range a.losses {
		if l.at < w.To {
			w.Losses++
			narrow = narrow || l.narrow
		}
	}
	broken := w.Long() > p.For || w.Share > p.Percent+1e-9
	switch outside := narrow || w.Losses > p.Losses; {
	case broken && outside:
		v.Outside++
		return
	case outside:
		return
	case broken:
		v.Broken++
	}
	if first := broken && v.Broken == 1; first || (broken || v.Broken == 0) && w.Long() > v.Worst.Long() {
		v.Worst = w
	}
}

// Cost is what a mode costs, with the types whose price is not known.
type Cost struct {
	OnDemand float64
	Spot     float64
	Unknown  []string // types that ran without a known price; their cost is in no sum
}

// Total is the sum of what is known.
func (c Cost) Total() float64 { return c.OnDemand + c.Spot }

func (a *account) costs(s *setup, onDemandType string) Cost {
	var c Cost
	for k := range a.cost {
		name := onDemandType + " on demand"
		if k < len(s.pools) {
			name = s.pools[k].Type + " on spot"
			c.Spot += a.cost[k]
		} else {
			c.OnDemand += a.cost[k]
		}
		if a.unknown[k] && !slices.Contains(c.Unknown, name) {
			c.Unknown = append(c.Unknown, name)
		}
	}
	return c
}
