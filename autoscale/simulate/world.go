package simulate

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"bakehouse/autoscale"
	"bakehouse/autoscale/scaling"
)

// poolState is what is known of a pool now.
type poolState struct {
	up      bool
	leaving bool    // its instances are under notice or recommendation
	noticed bool    // under notice
	price   float64 // an hour of an instance; NaN: unknown
}

// setup is what all modes share: the pools and what happens to them, and the
// times that AWS takes.
type setup struct {
	pools   []Pool
	weights []int // by kind: the pools, then on demand
	zones   []int
	state   []poolState
	prices  []float64 // on demand, by kind
	boot    time.Duration
	step    time.Duration
	lag     time.Duration
	unit    float64 // demand that one unit serves
	answer  scaling.Station
	down    int // pools that are down
	losses  int
	events  []Event // of this step
}

// unitPrice is what an hour of one unit of a pool costs; NaN: unknown.
func (s *setup) unitPrice(pool int) float64 { return s.price(pool) / float64(s.weights[pool]) }

// price is what an hour of an instance of a kind costs. A negative price of a
// pool is a share of the on-demand price.
func (s *setup) price(kind int) float64 {
	if kind == len(s.pools) {
		return s.prices[kind]
	}
	if p := s.state[kind].price; p >= 0 || math.IsNaN(p) {
		return p
	}
	return -s.state[kind].price * s.prices[kind]
}

// gives says that a pool has capacity to launch in.
func (s *setup) gives(pool int) bool { return s.state[pool].up && !s.state[pool].leaving }

// cheaper compares what a unit costs in two pools. One whose price is not known
// comes after those whose is: were it equal to all, no order would be left.
func (s *setup) cheaper(a, b int) bool {
	x, y := s.unitPrice(a), s.unitPrice(b)
	return x < y || !math.IsNaN(x) && math.IsNaN(y)
}

// take brings the pools up to date.
func (s *setup) take(events []Event) {
	s.events = events
	for _, e := range events {
		p := &s.state[e.Pool]
		switch e.Kind {
		case Back:
			if !p.up {
				s.down--
			}
			p.up, p.leaving, p.noticed = true, false, false
		case Priced:
			p.price = e.Price
		case Rebalance, Notice:
			p.leaving = p.up
			p.noticed = p.noticed || e.Kind == Notice && p.up
		case Lost:
			if p.up {
				s.down++
				s.losses++
			}
			p.up, p.leaving, p.noticed = false, false, false
		}
	}
}

// schedule is one scheduled action and when it fires next.
type schedule struct {
	spec autoscale.Schedule
	next time.Duration
	ok   bool
}

// world is one mode under simulation.
type world struct {
	*setup
	mode    Mode
	groups  []*group // the group, or its spot half and its on-demand half
	start   time.Time
	now     time.Duration
	asked   float64 // demand as it was given
	demand  float64 // in units
	backlog float64 // work that waits, as a queue would hold it
	crowd   crowd   // requests that wait for an answer
	keeper  *keeper
	account account
}

// serving is all units in service; targets all instances.
func (w *world) serving() int {
	sum := 0
	for _, g := range w.groups {
		sum += g.serving(-1)
	}
	return sum
}

func (w *world) targets() int {
	n := 0
	for _, g := range w.groups {
		for _, k := range g.ready {
			n += k
		}
	}
	return n
}

// target is what all groups together are to have: the spot half's desired
// capacity and the base.
func (w *world) target() int {
	if len(w.groups) == 1 {
		return w.groups[0].desired
	}
	return w.groups[0].desired + w.groups[1].min
}

// keeper is the balance controller: the product's own decision, at its own
// interval.
type keeper struct {
	every time.Duration
	next  time.Duration
	rule  autoscale.BalanceRule
	state autoscale.BalanceState
	total int
	spare time.Duration
}

// balance lets the controller look and decide.
func (w *world) balance() {
	k := w.keeper
	if k == nil || w.now < k.next {
		return
	}
	k.next += k.every
	spot, backstop := w.groups[0], w.groups[1]
	away, coming := spot.noticed(spot.ready, w.setup), spot.noticed(spot.coming, w.setup)
	atRisk := spot.leaving(spot.ready, w.setup) - away
	d := autoscale.BalanceDecide(autoscale.BalanceView{At: w.start.Add(w.now), Target: spot.desired, Desired: backstop.desired,
		Spot: autoscale.BalanceCount{InService: spot.serving(-1) - away, Starting: spot.launching(-1) - coming, Leaving: away + coming, AtRisk: atRisk},
		Min:  backstop.min, Max: backstop.max, TotalMax: k.total, Spare: k.spare}, k.rule, k.state)
	k.state = d.State
	backstop.set(d.Size, w.now)
}

// build makes the world of one mode out of the product's expansion of the
// file, and says what it leaves out.
func build(c Config, s *setup, mode Mode) (*world, []string, error) {
	written := inMode(c.Spec.Groups[c.Group], mode)
	spec := autoscale.Spec{Version: 2, Region: c.Spec.Region, Groups: map[string]autoscale.Group{c.Group: written}}
	expanded := autoscale.Expand(spec).Groups
	w := &world{setup: s, mode: mode, start: c.Start}
	w.account, w.crowd.takes = newAccount(s), s.answer.Service
	if c.Promise != nil {
		if p, ok := c.Promise(c.Group, written); ok {
			w.account.promise = &p
		}
	}
	names := slices.Sorted(maps.Keys(expanded)) // the on-demand half sorts after
	for _, name := range names {
		w.groups = append(w.groups, newGroup(name, expanded[name], s))
	}
	var notes []string
	for i, name := range names {
		notes = append(notes, w.signals(w.groups[i], expanded[name])...)
		if err := w.schedule(w.groups[i], expanded[name]); err != nil {
			return nil, nil, fmt.Errorf("simulating %s: %w", name, err)
		}
	}
	if mode == Balance {
		w.keeper = &keeper{every: c.Every, rule: autoscale.BalanceRule{Hold: c.Hold, Grace: c.Grace, Early: c.Early}, total: orZero(orZero(written.Capacity).Max), spare: autoscale.BalanceSpare(written)}
	}
	return w, notes, nil
}

// schedule finds when the scheduled actions of a group fire first.
func (w *world) schedule(g *group, spec autoscale.Group) error {
	for _, key := range slices.Sorted(maps.Keys(spec.Schedules)) {
		one := schedule{spec: spec.Schedules[key]}
		if err := one.plan(w.start, w.start.Add(-time.Second)); err != nil {
			return fmt.Errorf("scheduled action %s: %w", key, err)
		}
		g.schedules = append(g.schedules, one)
	}
	return nil
}

func (s *schedule) plan(start, after time.Time) error {
	at, ok, err := s.spec.Next(after)
	s.next, s.ok = at.Sub(start), ok
	return err
}

// fire carries out the scheduled actions that are due.
func (g *group) fire(w *world) error {
	for i := range g.schedules {
		s := &g.schedules[i]
		for s.ok && s.next <= w.now {
			if s.spec.Min != nil {
				g.min = *s.spec.Min
			}
			if s.spec.Max != nil {
				g.max = *s.spec.Max
			}
			want := g.desired
			if s.spec.Desired != nil {
				want = *s.spec.Desired
			}
			g.set(want, w.now)
			if err := s.plan(w.start, w.start.Add(s.next)); err != nil {
				return err
			}
		}
	}
	return nil
}

// settle gives the groups what the first demand needs, in service, as if they
// had stood a while.
func (w *world) settle(spec autoscale.Group) {
	main := w.groups[0]
	want := int(math.Ceil(w.demand * main.slack(w)))
	if c := orZero(spec.Capacity); c.Desired != nil {
		want = max(want, c.Desired.N)
	}
	for i, g := range w.groups {
		if i == 0 {
			if len(w.groups) == 2 {
				want -= w.groups[1].min
			}
			g.desired = min(max(want, g.min), g.max)
		} else {
			g.desired = g.min
		}
		g.fulfil(-w.boot, w.setup)
		g.come(0)
		g.entries, g.launches = nil, 0
	}
}

// slack is how many units stand for one unit of demand when the first tracked
// target, or alarm on a high load, is just met.
func (g *group) slack(w *world) float64 {
	for _, s := range g.signals {
		limit := s.target
		if !s.track {
			if limit = s.alarm.Threshold; s.alarm.Comparison == "<" || s.alarm.Comparison == "<=" {
				continue
			}
		}
		switch s.metric {
		case "TargetResponseTime":
			if load := w.answer.LoadFor(s.unspread(limit)); load > 0 {
				return 1 / load
			}
		case "CPUUtilization":
			return 100 / max(limit, 1)
		case "RequestCountPerTarget":
			return w.unit * 60 / max(limit, 1)
		}
	}
	return 1
}

// lose takes the instances of a pool from all groups.
func (w *world) lose(pool int) {
	units, used, lost := 0, 0, 0
	for p := range w.pools {
		n := 0
		for _, g := range w.groups {
			n += g.serving(p) + g.launching(p)
		}
		if units += n; n > 0 {
			used++
		}
	}
	for _, g := range w.groups {
		lost += g.lose(pool)
	}
	w.account.lost(loss{at: w.now}, lost, units, used)
}

// play moves one step on: what has happened is taken in, policies and the
// controller decide, and the groups follow.
func (w *world) play(now time.Duration, asked float64) error {
	w.now, w.asked, w.demand = now, asked, asked/w.unit
	for _, e := range w.events {
		if e.Kind != Lost {
			continue
		}
		w.lose(e.Pool)
	}
	for _, g := range w.groups {
		g.come(now)
	}
	for _, g := range w.groups {
		if err := g.fire(w); err != nil {
			return err
		}
		g.scale(w)
	}
	w.balance()
	for _, g := range w.groups {
		g.fulfil(now, w.setup)
	}
	w.crowd.step(w)
	for _, g := range w.groups {
		for _, s := range g.signals {
			s.meter.sample(w, g.serving(-1)-recent(&g.entries, now, s.warmup))
		}
	}
	served := float64(w.serving()) * w.unit
	w.backlog = max(0, w.backlog+(asked-served)*w.step.Seconds())
	w.account.add(w)
	return nil
}
