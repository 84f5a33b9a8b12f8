package bake

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-multierror"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// Sweeper finds and removes what bakes left that are dead, wherever they ran.
type Sweeper struct {
	// EC2 returns the client of a region.
	EC2      func(region string) SweepEC2
	Chef     SweepChef // nil: the Chef server is not looked at
	Reporter Reporter
	Clock    Clock
	StateDir string // journals of bakes that ran on this machine
}

// SweepChef is what a sweep asks of the Chef server. Deleting what is not
// there is success.
type SweepChef interface {
	NodeNames(ctx context.Context) ([]string, error)
	ClientNames(ctx context.Context) ([]string, error)
	Node(ctx context.Context, name string) (chefapi.Node, error)
	DeleteNode(ctx context.Context, name string) error
	DeleteClient(ctx context.Context, name string) error
}

// The steps of a sweep.
const (
	lookStep   = "look"
	removeStep = "remove"
)

// Plan looks into the regions, those that journals name included, and at the
// Chef server, and decides. It changes nothing. A place that cannot be looked
// into is an error: a sweep that saw half would claim too much.
func (s Sweeper) Plan(ctx context.Context, regions []string) (SweepPlan, error) {
	return s.plan(ctx, regions, func(found []Found, bakes map[string]oldBake) []Verdict {
		return decideSweep(found, bakes, s.Clock.Now())
	}, func(b oldBake) bool { return !b.Kept || s.Clock.Now().After(b.ExpiresAt) })
}

// PlanAbort is Plan for the bake with the given id alone, expired or not.
func (s Sweeper) PlanAbort(ctx context.Context, regions []string, id string) (SweepPlan, error) {
	return s.plan(ctx, regions, func(found []Found, _ map[string]oldBake) []Verdict {
		return decideAbort(found, id)
	}, func(b oldBake) bool { return b.BakeID == id })
}

func (s Sweeper) plan(ctx context.Context, regions []string, decide func([]Found, map[string]oldBake) []Verdict, mine func(oldBake) bool) (p SweepPlan, err error) {
	start := s.Clock.Now()
	s.Reporter.StepStarted(lookStep)
	defer func() { s.Reporter.StepDone(lookStep, s.Clock.Now().Sub(start), err) }()
	bakes, err := readJournals(s.StateDir)
	if err != nil {
		return p, err
	}
	p.dead = map[string]oldBake{}
	for id, b := range bakes {
		if mine(b) && !b.alive {
			p.dead[id] = b
			p.Journals = append(p.Journals, b.path)
			regions = append(regions, b.Region)
			for _, r := range b.Resources { // copies are in other regions
				regions = append(regions, r.Region)
			}
		}
	}
	slices.Sort(p.Journals)
	slices.Sort(regions)
	regions = slices.DeleteFunc(slices.Compact(regions), func(r string) bool { return r == "" })
	if len(regions) == 0 {
		return p, fault.Newf(fault.Usage, "name one: --region REGION", "sweeping: no region is named")
	}
	found, err := s.look(ctx, regions, p.dead)
	p.Verdicts = decide(found, bakes)
	return p, err
}

// look finds everything that carries a bake's tags. When a dead bake's journal
// names something that does not show, it looks again: what was made a moment
// before the bake died takes a while to appear.
func (s Sweeper) look(ctx context.Context, regions []string, dead map[string]oldBake) ([]Found, error) {
	for looks := 1; ; looks++ {
		var all []Found
		for _, r := range regions {
			s.Reporter.StepProgress(lookStep, r)
			found, err := lookIn(ctx, s.EC2(r), r)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
		found, err := s.lookAtChef(ctx, proversOf(all, dead))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
		if looks == 3 || s.allFound(all, dead) {
			return all, nil
		}
		if err := s.Clock.Sleep(ctx, 2*time.Second); err != nil {
			return nil, err
		}
	}
}

// allFound says whether everything that died unconfirmed, or so new that EC2
// may not know it yet, is among the found.
func (s Sweeper) allFound(found []Found, dead map[string]oldBake) bool {
	for _, b := range dead {
		for _, r := range b.Resources {
			missing := !slices.ContainsFunc(found, func(f Found) bool {
				return f.BakeID == b.BakeID && f.Kind == r.Kind && (r.Region == "" || f.Region == r.Region)
			})
			chef := r.Kind == KindChefClient || r.Kind == KindChefNode
			if missing && !chef && (r.ID == "" || s.Clock.Now().Sub(r.At) < newTime) {
				return false
			}
		}
	}
	return true
}

// Apply removes what the plan dooms, whatever fails on the way, then the
// journals of the bakes of which nothing remains. The result lists what could
// not be removed; the error is then a fault.Leftover.
func (s Sweeper) Apply(ctx context.Context, p SweepPlan) ([]Leftover, error) {
	start := s.Clock.Now()
	s.Reporter.StepStarted(removeStep)
	done := removals{failed: map[string]bool{}}
	doomed := p.doomed()
	s.terminateAll(ctx, doomed) // together: each takes a while to go
	s.removeEach(ctx, doomed, &done)
	late, err := s.registeredSince(ctx, p.dead, doomed)
	if err != nil {
		done.all = multierror.Append(done.all, err)
	}
	s.removeEach(ctx, late, &done)
	for _, id := range slices.Sorted(maps.Keys(p.dead)) {
		if b := p.dead[id]; err == nil && !done.failed[id] && s.sees(b) {
			if err := b.forget(); err != nil {
				done.all = multierror.Append(done.all, err)
			}
		}
	}
	err = flat(done.all)
	s.Reporter.StepDone(removeStep, s.Clock.Now().Sub(start), err)
	if err == nil {
		return nil, nil
	}
	lines := ""
	for _, l := range done.left {
		lines += fmt.Sprintf("\n  left behind: %s %s (remove: %s)", l.Kind, orName(l.Resource), l.Command)
	}
	return done.left, fault.Newf(fault.Leftover, "remove what is listed with the commands beside it, or sweep again", "sweeping: %w%s", err, lines)
}

// removals is what came of removing.
type removals struct {
	all    *multierror.Error
	left   []Leftover
	failed map[string]bool // bakes of which something remains
}

func (s Sweeper) removeEach(ctx context.Context, doomed []Found, done *removals) {
	for _, f := range doomed {
		s.Reporter.StepProgress(removeStep, fmt.Sprintf("%s %s", f.Kind, orName(f.Resource)))
		if err := s.remove(ctx, f); err != nil {
			done.all = multierror.Append(done.all, err)
			done.left = append(done.left, Leftover{f.Resource, f.Remedy(f.Region)})
			done.failed[f.BakeID] = true
		}
	}
}

// sees says whether the sweep looked everywhere a bake made things: without
// the Chef server, a bake's journal that names its node must stay.
func (s Sweeper) sees(b oldBake) bool {
	return s.Chef != nil || !slices.ContainsFunc(b.Resources, func(r Resource) bool {
		return r.Kind == KindChefClient || r.Kind == KindChefNode
	})
}
