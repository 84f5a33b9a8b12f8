package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// Engine makes one host take what its channel points at.
type Engine interface {
	// Deploy returns the build that the host runs, healthy, once it does. It
	// may be called for several hosts at once; ctx carries the host's deadline.
	Deploy(ctx context.Context, h Host) (release.ID, error)
}

// Clock is the time that waves are paused and measured by.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

// Executor carries a Rollout out.
type Executor struct {
	Engine Engine
	Groups Refresher // of a Rollout by groups, instead of Engine
	Pull   Puller    // of a Rollout by pull, instead of Engine
	Tag    Spreader  // of the wave that a tag stands for; nil: there is none
	// Back swaps the channel from the rollout's build to the one before, and
	// returns false when the channel is somebody else's by now.
	Back func(context.Context, *Rollout) (bool, error)
	// Late lists the hosts there are now; nil: nobody looks for newcomers.
	Late  func(context.Context) ([]Host, error)
	Save  func(context.Context, *Rollout) error // stores the state; must be done when it returns
	Gates []Gate                                // asked after each wave
	Clock Clock
	Board Board

	mu    sync.Mutex // guards the Rollout while a wave runs
	saved time.Time
}

const (
	saveEvery  = time.Second      // within a wave; its begin and end are stored in any case
	lastSave   = 10 * time.Second // for the state after an interrupt
	lateRounds = 3                // how often newcomers are looked for
)

// Run carries r out from where it stands; r and what is stored say where it
// ended. An interrupted run leaves r for another Run. Faults: Check when the
// stop rule struck, Leftover when a rollback left hosts behind; the context's
// cause otherwise.
func (x *Executor) Run(ctx context.Context, r *Rollout) error {
	if r.Pull {
		return x.watchPull(ctx, r)
	}
	err := x.forward(ctx, r)
	if err != nil && r.Reason == "" {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
		defer cancel()
		return errors.Join(err, x.save(end, r))
	}
	if err == nil {
		return x.finish(ctx, r, Done, nil)
	}
	if r.Strategy.NoRollback || r.Previous == "" {
		return x.finish(ctx, r, Stopped, r.asItIs(err))
	}
	return x.back(ctx, r)
}

// asItIs is the error of a rollout that stopped and does not go back.
func (r *Rollout) asItIs(err error) error {
	if r.Previous == "" {
		return fault.New(fault.Check, "there is no build before this one to go back to: push one that works", err)
	}
	return fault.New(fault.Check, "deployctl rollback puts the channel back", err)
}

// forward runs the waves, then those hosts that came meanwhile. With r.Reason
// set, its error is the stop rule's.
func (x *Executor) forward(ctx context.Context, r *Rollout) error {
	if r.Phase == RollingBack {
		return errors.New(r.Reason)
	}
	for i := range r.Waves {
		if err := x.wave(ctx, r, i); err != nil {
			return err
		}
		if err := x.hold(ctx, r, i); err != nil {
			return err
		}
	}
	for range lateRounds {
		fresh, err := x.newcomers(ctx, r)
		if err != nil {
			return err
		}
		if len(fresh) == 0 {
			break
		}
		x.mu.Lock()
		r.Waves = append(r.Waves, wave(fmt.Sprintf("late wave %d", len(r.Waves)), fresh))
		x.mu.Unlock()
		if err := x.wave(ctx, r, len(r.Waves)-1); err != nil {
			return err
		}
		if err := x.hold(ctx, r, len(r.Waves)-1); err != nil {
			return err
		}
	}
	return nil
}

// newcomers are hosts that appeared since the waves were planned. One that
// read the channel before it changed has the build before.
func (x *Executor) newcomers(ctx context.Context, r *Rollout) ([]Host, error) {
	if x.Late == nil {
		return nil, nil
	}
	hosts, err := x.Late(ctx)
	if err != nil {
		return nil, err
	}
	return r.unknown(hosts), nil
}

// wave deploys what is open of wave i.
func (x *Executor) wave(ctx context.Context, r *Rollout, i int) error {
	if r.Groups {
		return x.group(ctx, r, i)
	}
	w := &r.Waves[i]
	var open []*HostRun
	for h := range w.Hosts {
		if s := w.Hosts[h].State; s == Pending || s == Begun {
			open = append(open, &w.Hosts[h])
		}
	}
	if len(open) == 0 {
		return nil
	}
	b := x.begin(r, w.Name, open)
	// A command by tag cannot leave out who has deployed already.
	byTag := x.Tag != nil && w.Name == r.Strategy.Target && !slices.ContainsFunc(w.Hosts, func(h HostRun) bool { return h.State != Pending })
	for _, h := range open {
		h.State = Begun // stored first: what may be touched is known even after a SIGKILL
	}
	if err := x.save(ctx, r); err != nil {
		return err
	}
	var err error
	if byTag {
		err = x.spread(ctx, r, open, b)
	} else {
		err = x.each(ctx, r, open, b, func(h *HostRun, err error) { h.State, h.Problem = outcome(err, Deployed, Failed) }, r.verdict)
	}
	if err == nil {
		if r.Reason = r.verdict(); r.Reason != "" {
			err = errors.New(r.Reason)
		}
	}
	b.done(err)
	if r.Reason != "" {
		r.Phase = RollingBack
	}
	return errors.Join(err, x.save(ctx, r))
}

func outcome(err error, good, bad HostState) (HostState, string) {
	if err == nil {
		return good, ""
	}
	return bad, err.Error()
}

// each runs the engine on hosts, at most Parallel at a time. settle notes the
// outcome; no host is begun any more once stop says why.
func (x *Executor) each(ctx context.Context, r *Rollout, hosts []*HostRun, b *counter, settle func(*HostRun, error), stop func() string) error {
	want := r.Build
	if r.Phase == RollingBack {
		want = r.Previous
	}
	var g errgroup.Group
	g.SetLimit(r.Strategy.Parallel)
	for _, h := range hosts {
		g.Go(func() error {
			x.mu.Lock()
			if ctx.Err() != nil || stop() != "" {
				h.State = b.was[b.place[h]] // one that a dead operator began may have been touched
				x.mu.Unlock()
				return nil
			}
			b.begun(h)
			x.mu.Unlock()
			start := x.Clock.Now()
			err := x.one(ctx, h.Host, want, r.Strategy.HostTimeout)
			x.mu.Lock()
			defer x.mu.Unlock()
			if ctx.Err() != nil && err != nil {
				return nil // it was cut off: the next run asks again
			}
			settle(h, err)
			h.Took = x.Clock.Now().Sub(start)
			b.host(h)
			if x.Clock.Now().Sub(x.saved) < saveEvery {
				return nil
			}
			return x.saveLocked(ctx, r)
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// one deploys to one host and checks what runs there.
func (x *Executor) one(ctx context.Context, h Host, want release.ID, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fault.Newf(fault.Timeout, "", "no answer within %s", limit))
	defer cancel()
	got, err := x.Engine.Deploy(ctx, h)
	if err == nil && got != want {
		err = fmt.Errorf("it runs build %s, not %s: does it follow another channel?", got.Short(), want.Short())
	}
	return err
}

// back swaps the channel back and has the touched hosts deploy again, and those
// that came meanwhile and may have booted with the bad build. Where these cannot
// be listed, the touched ones go back all the same, and the rollout stays open.
func (x *Executor) back(ctx context.Context, r *Rollout) error {
	x.Board.Info("stopped: " + r.Reason)
	ours, err := x.Back(ctx, r)
	if err != nil {
		return fault.Newf(fault.Leftover, "deployctl rollout --resume "+r.ID, "rolling back: %w; stopped because %s", err, r.Reason)
	}
	if !ours {
		return x.finish(ctx, r, Stopped, fault.Newf(fault.Check, "deployctl show says who; roll that build out",
			"the channel was promoted to another build meanwhile, so nothing was rolled back; stopped because %s", r.Reason))
	}
	x.Board.Info(fmt.Sprintf("channel %s is back on build %s", r.Channel, r.Previous.Short()))
	if r.Groups {
		if err := x.groupsBack(ctx, r); err != nil {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
			defer cancel()
			return errors.Join(err, x.save(end, r))
		}
		return x.finish(ctx, r, RolledBack, r.leftover())
	}
	fresh, unlisted := x.newcomers(ctx, r)
	if len(fresh) > 0 {
		w := wave("newcomers", fresh)
		for i := range w.Hosts {
			w.Hosts[i].State = Begun
		}
		r.Waves = append(r.Waves, w)
	}
	var touched []*HostRun
	for h := range r.each {
		if h.State == Begun || h.State == Deployed || h.State == Failed {
			touched = append(touched, h)
		}
	}
	b := x.begin(r, "rollback", touched)
	never := func() string { return "" }
	err = x.each(ctx, r, touched, b, restore, never)
	b.done(err)
	if err == nil && unlisted != nil {
		err = fault.Newf(fault.Leftover, "deployctl rollout --resume "+r.ID, "rolling back: looking for hosts that came meanwhile: %w; stopped because %s", unlisted, r.Reason)
	}
	if err != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
		defer cancel()
		return errors.Join(err, x.save(end, r))
	}
	return x.finish(ctx, r, RolledBack, r.leftover())
}

// restore settles a host after the way back. What it failed of is kept.
func restore(h *HostRun, err error) {
	before := h.Problem
	if h.State, h.Problem = outcome(err, Restored, Stuck); err == nil {
		h.Problem = before
	}
}

// leftover is the error of a rollback: what it was for, and what it left.
func (r *Rollout) leftover() error {
	var stuck []string
	for h := range r.each {
		if h.State == Stuck {
			stuck = append(stuck, fmt.Sprintf("\n  %s (%s): %s", h.Instance, h.Addr, h.Problem))
		}
	}
	if len(stuck) > 0 {
		return fault.Newf(fault.Leftover, "look at these hosts, then have them deploy: sudo boot-agent deploy",
			"%s; rolled back to build %s, but not on %d of the hosts:%s", r.Reason, r.Previous.Short(), len(stuck), strings.Join(stuck, ""))
	}
	return fault.Newf(fault.Check, "push a build that works", "%s; rolled back to build %s", r.Reason, r.Previous.Short())
}

// finish stores a final phase; err is what Run returns.
func (x *Executor) finish(ctx context.Context, r *Rollout, phase Phase, err error) error {
	r.Phase, r.Ended = phase, x.Clock.Now().UTC()
	if serr := x.save(ctx, r); serr != nil {
		return errors.Join(err, serr)
	}
	return err
}

func (x *Executor) save(ctx context.Context, r *Rollout) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.saveLocked(ctx, r)
}

func (x *Executor) saveLocked(ctx context.Context, r *Rollout) error {
	x.saved = x.Clock.Now()
	return x.Save(ctx, r)
}
