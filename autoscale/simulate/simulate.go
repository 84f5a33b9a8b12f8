// Package simulate plays a group of a file against a demand and a spot market
// that are given, on a clock of its own: the same file, traces and seed give
// the same bytes. Groups are expanded by the product's own Expand, and the
// balance controller decides by the product's own BalanceDecide; what AWS does
// with policies, alarms and instances is a model, in package scaling and here,
// and docs/simulate.md says what it leaves out.
//
// All modes see the same demand and the same losses of pools.
package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"bakehouse/autoscale"
	"bakehouse/autoscale/scaling"
	"bakehouse/internal/fault"
)

// Config is what a simulation is made of.
type Config struct {
	Spec   autoscale.Spec
	Group  string // as the file writes it
	Modes  []Mode
	Demand Demand
	Market func(pools []Pool) (Market, error) // nil: no pool is ever lost
	Boot   time.Duration                      // from launch to service
	Step   time.Duration
	For    time.Duration // 0: as long as the demand's trace
	Lag    time.Duration // from the end of a metric's period until an alarm sees it
	Unit   float64       // demand that one capacity unit serves, fully used
	// Answer is how a unit answers requests, where policies watch the time that
	// takes; the zero value is DefaultAnswer.
	Answer scaling.Station
	Start  time.Time     // of time zero, for schedules
	Every  time.Duration // between two looks of the balance controller
	Hold   time.Duration // of its rule
	Grace  time.Duration // of its rule
	Early  bool          // of its rule
	// Price is what an hour of an instance type costs on demand; NaN: unknown.
	Price func(instanceType string) float64
	// Promise is what a group, as its file would write it, is held to; ok is
	// false for none. nil: nothing is checked.
	Promise func(name string, g autoscale.Group) (p Promise, ok bool)
	Row     func(Row) error
}

// ModeResult is what became of one mode. Hours are unit-hours.
type ModeResult struct {
	Mode        Mode
	OnDemand    float64 // in service
	Spot        float64 // in service
	Starting    float64
	Instances   float64   // instance-hours, from launch to end
	Short       Shortfall // of demand
	Interrupted int       // instances that a lost pool took
	Launches    int
	Turns       int // changes of the backstop's direction
	Peak        int // most units at once, those starting and leaving included
	Limit       int // the groups' max together
	Cost        Cost
	Verdict     *Verdict // nil without a promise
	Queue       *Queue   // nil when no policy watches a queue
	Answers     *Answers // nil when no policy watches how long answers take
}

// Result is what a simulation found.
type Result struct {
	Group  string
	Start  time.Time
	For    time.Duration
	Step   time.Duration
	Boot   time.Duration
	Pools  []Pool
	Losses int // of pools
	Modes  []ModeResult
	Notes  []string
}

// check refuses what cannot be played.
func (c Config) check() error {
	if _, ok := c.Spec.Groups[c.Group]; !ok {
		return fault.Newf(fault.Usage, "name a group of the file", "simulating: the file has no group %q", c.Group)
	}
	g := orZero(c.Spec.Groups[c.Group].Capacity)
	for _, bad := range []struct {
		wrong bool
		text  string
	}{
		{g.Min == nil || g.Max == nil, "group " + c.Group + " needs capacity.min and capacity.max"},
		{c.Step <= 0 || c.Step > time.Hour, "the step must be more than zero and at most an hour"},
		{c.Boot < 0 || c.Boot > maxWarmup, "the boot time must be from zero to two hours"},
		{c.For < 0, "the time to simulate is negative"},
		{c.Lag < 0 || c.Hold < 0 || c.Grace < 0, "lag, hold and grace must not be negative"},
		{c.Every <= 0, "the controller's interval must be more than zero"},
		{!(c.Unit > 0), "what a unit serves must be more than zero"},
		{c.Answer != scaling.Station{} && (c.Answer.Service < time.Millisecond || c.Answer.Service > scaling.Patience), "the service time must be from a millisecond to a minute"},
		{c.Answer != scaling.Station{} && (c.Answer.Workers < 1 || c.Answer.Workers > 1000), "the workers of a unit must be from 1 to 1000"},
		{len(c.Modes) == 0, "there are no modes to compare"},
	} {
		if bad.wrong {
			return fault.Newf(fault.Usage, "", "simulating %s: %s", c.Group, bad.text)
		}
	}
	if c.For > 0 && c.For < c.Step {
		return fault.Newf(fault.Usage, "", "simulating %s: %s is shorter than one step of %s", c.Group, c.For, c.Step)
	}
	return nil
}

// setup builds what the modes share.
func (c Config) setup() (*setup, Market, error) {
	pools, err := poolsOf(c.Group, c.Spec.Groups[c.Group])
	if err != nil {
		return nil, nil, err
	}
	s := &setup{pools: pools, boot: c.Boot, step: c.Step, lag: c.Lag, unit: c.Unit, answer: c.Answer}
	if s.answer == (scaling.Station{}) {
		s.answer = DefaultAnswer()
	}
	var zones []string
	for _, p := range pools {
		if !slices.Contains(zones, p.Zone) {
			zones = append(zones, p.Zone)
		}
		s.zones = append(s.zones, slices.Index(zones, p.Zone))
		s.weights = append(s.weights, p.Weight)
		s.prices = append(s.prices, c.Price(p.Type))
		s.state = append(s.state, poolState{up: true, price: math.NaN()})
	}
	s.weights, s.prices = append(s.weights, pools[0].Weight), append(s.prices, s.prices[0])
	market := Market(noMarket{})
	if c.Market != nil {
		market, err = c.Market(pools)
	}
	return s, market, err
}

// Run plays all modes side by side. Row, if set, hears of every step of every
// mode, in order. It ends early with ctx.
func Run(ctx context.Context, c Config) (Result, error) {
	if err := c.check(); err != nil {
		return Result{}, err
	}
	s, market, err := c.setup()
	if err != nil {
		return Result{}, err
	}
	r := Result{Group: c.Group, Start: c.Start, Step: c.Step, Boot: c.Boot, Pools: s.pools}
	worlds, err := c.worlds(s, &r)
	if err != nil {
		return Result{}, err
	}
	if err := c.play(ctx, s, market, worlds, &r); err != nil {
		return Result{}, err
	}
	for _, w := range worlds {
		r.Modes = append(r.Modes, w.result())
	}
	r.Losses = s.losses
	return r, nil
}

func (c Config) worlds(s *setup, r *Result) ([]*world, error) {
	var out []*world
	for _, mode := range c.Modes {
		w, notes, err := build(c, s, mode)
		if err != nil {
			return nil, err
		}
		if w.account.promise != nil {
			w.account.owed.each = func(one Window) { w.account.judge(one) }
		}
		for _, n := range notes {
			if !slices.Contains(r.Notes, n) {
				r.Notes = append(r.Notes, n)
			}
		}
		out = append(out, w)
	}
	return out, nil
}

// play is the clock.
func (c Config) play(ctx context.Context, s *setup, market Market, worlds []*world, r *Result) error {
	for now := time.Duration(0); c.For == 0 || now+c.Step <= c.For; now += c.Step {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		asked, err := c.Demand.At(now)
		if errors.Is(err, io.EOF) && now > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading demand: %w", err)
		}
		events, err := market.Until(now)
		if err != nil {
			return fmt.Errorf("reading spot market: %w", err)
		}
		s.take(events)
		for _, w := range worlds {
			if now == 0 {
				w.asked, w.demand = asked, asked/s.unit
				w.settle(c.Spec.Groups[c.Group])
			}
			if err := w.play(now, asked); err != nil {
				return err
			}
			if c.Row == nil {
				continue
			}
			if err := c.Row(w.row()); err != nil {
				return err
			}
		}
		r.For = now + c.Step
	}
	return nil
}

func (w *world) result() ModeResult {
	a := &w.account
	a.short.finish()
	a.owed.finish()
	od := w.pools[0].Type
	m := ModeResult{Mode: w.mode, OnDemand: a.onDemand / 3600, Spot: a.spot / 3600, Starting: a.starting / 3600, Short: a.short.total,
		Interrupted: a.interrupted, Turns: a.turns, Peak: a.peak, Limit: a.limit, Cost: a.costs(w.setup, od), Queue: a.queue, Answers: a.answers}
	for _, g := range w.groups {
		m.Launches += g.launches
	}
	for _, s := range a.running {
		m.Instances += s / 3600
	}
	if a.promise != nil {
		v := a.verdict
		v.Kept, v.Promise = v.Broken == 0, *a.promise
		m.Verdict = &v
	}
	return m
}
