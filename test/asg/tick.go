package asg

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// effect is something done to machines: do runs with no lock held, done
// writes down afterwards what came of it.
type effect struct {
	do   func(ctx context.Context) error
	done func(err error)
}

// rounds of deciding and doing in one tick are bounded, so that a broken decision ends.
const rounds = 20

// Tick brings every group to now: it looks at the machines, decides, acts,
// and decides again until nothing is left to do. Ticks take their turns. Its
// error says what could not be looked at; the groups go on without it.
func (s *Service) Tick(ctx context.Context) error {
	s.ticking.Lock()
	defer s.ticking.Unlock()
	failed := s.ask(ctx)
	for range rounds {
		failed = errors.Join(failed, s.look(ctx))
		s.mu.Lock()
		work, moved := s.advance(sorted(s.groups), true)
		s.mu.Unlock()
		results := perform(ctx, s.parallel, work)
		s.mu.Lock()
		for i, w := range work {
			w.done(results[i])
		}
		s.mu.Unlock()
		s.deliver()
		if !moved && len(work) == 0 || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed, ctx.Err())
}

// perform does work, so many effects at a time.
func perform(ctx context.Context, parallel int, work []effect) []error {
	results := make([]error, len(work))
	slots := make(chan struct{}, max(parallel, 1))
	var wg sync.WaitGroup
	for i, w := range work {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			results[i] = w.do(ctx)
		})
	}
	wg.Wait()
	return results
}

// look asks what the machines of all groups are.
func (s *Service) look(ctx context.Context) error {
	s.mu.Lock()
	var ids []string
	for _, g := range s.groups {
		for _, m := range g.members {
			if m.id != "" {
				ids = append(ids, m.id)
			}
		}
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	states, err := s.machines.States(ctx, ids)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.see(ids, states)
	return nil
}

// unseen is how long EC2 may not know of an instance that it has just launched.
const unseen = 30 * time.Second

// see writes down the states of machines that were asked for.
func (s *Service) see(asked []string, states map[string]string) {
	for _, g := range s.groups {
		for _, m := range g.members {
			if _, ok := slices.BinarySearch(asked, m.id); !ok {
				continue
			}
			state := states[m.id]
			if state == "" && m.ec2 == ec2Pending && s.now().Before(m.born.Add(unseen)) {
				continue
			}
			m.ec2 = cmp.Or(state, gone)
		}
	}
}

// forward is Tick for a service with made-up machines, which cannot block: it
// runs under the lock, before every call is answered. Within a second only the
// groups that calls have changed are looked at, so that a thousand groups cost
// nothing to a call about one.
func (s *Service) forward() {
	if !s.madeUp {
		return
	}
	ctx := context.Background()
	second := s.now().Truncate(time.Second)
	all := !second.Equal(s.forwarded) || s.touched[""]
	touched := s.touched
	s.forwarded, s.touched = second, map[string]bool{}
	for range rounds {
		groups := s.these(touched, all)
		var ids []string
		for _, g := range groups {
			for _, m := range g.members {
				ids = append(ids, m.id)
			}
		}
		slices.Sort(ids)
		states, _ := s.machines.States(ctx, ids) // of made-up machines it cannot fail
		s.see(ids, states)
		work, moved := s.advance(groups, all)
		for _, w := range work {
			w.done(w.do(ctx))
		}
		if !moved && len(work) == 0 {
			return
		}
	}
}

// these are the groups of some names, or all.
func (s *Service) these(names map[string]bool, all bool) []*group {
	if all {
		return sorted(s.groups)
	}
	var out []*group
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if g := s.groups[name]; g != nil {
			out = append(out, g)
		}
	}
	return out
}

// touch notes which group a call changes.
func (s *Service) touch(action string, in *node) {
	if !strings.HasPrefix(action, "Describe") { // calls that name an instance alone may be about any
		s.touched[in.str("AutoScalingGroupName")] = true
	}
}

// deliver tells the news, oldest first, with no lock held. Whoever tells goes
// on until there is no more, so that the order is kept and a listener may call
// the service.
func (s *Service) deliver() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.telling || s.notify == nil {
		return
	}
	s.telling = true
	defer func() { s.telling = false }()
	for len(s.news) > 0 {
		c := s.news[0]
		s.news = s.news[1:]
		s.tell(c)
	}
}

// tell lets go of the lock while the listener hears.
func (s *Service) tell(c Change) {
	s.mu.Unlock()
	defer s.mu.Lock()
	s.notify(c)
}
