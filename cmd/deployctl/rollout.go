package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/internal/ui"
)

// releaseTimeout bounds giving the lease back after an interrupt.
const releaseTimeout = 5 * time.Second

// resumeEvery is the pause between two looks at a dead operator's lease.
const resumeEvery = 2 * time.Second

// rolling is one rollout and what it works with.
type rolling struct {
	d      deps
	o      rolloutOptions
	p      *deploy.Publisher
	lister deploy.Lister
	board  deploy.Board
	store  *deploy.Store
	state  *deploy.Rollout
	gates  []deploy.Gate
}

func runRollout(ctx context.Context, d deps, o rolloutOptions) (err error) {
	reporter := d.Reporter(o.output, d.now)
	defer reporter.Close()
	w := &rolling{d: d, o: o, board: board{reporter}}
	if w.p, err = d.publisher(ctx, o.common, nil); err != nil {
		return err
	}
	if w.lister, err = d.lister(ctx, o.hostOptions); err != nil {
		return err
	}
	if o.resume != "" {
		w.state, w.store, err = w.p.Load(ctx, o.app, o.resume)
	} else {
		err = w.plan(ctx)
	}
	if err == nil {
		err = w.o.gates.keep(w.state, o.resume != "")
	}
	if err != nil {
		return err
	}
	if w.gates, err = d.gates(ctx, w.o); err != nil {
		return err
	}
	if o.dryRun {
		return w.print()
	}
	x, err := w.executor(ctx)
	if err != nil {
		return err
	}
	return w.locked(ctx, x)
}

// plan chooses the hosts and makes the waves; nothing is written yet.
func (w *rolling) plan(ctx context.Context) error {
	o := w.o
	r := &deploy.Rollout{Format: 1, ID: deploy.NewRolloutID(), App: o.app, Channel: o.channel, By: w.d.whoami(),
		Started: w.d.now().UTC(), Phase: deploy.Rolling, Strategy: o.strategy, Wish: o.wish}
	if o.build != "" {
		id, err := w.p.Resolve(ctx, o.app, o.build)
		if err != nil {
			return err
		}
		if _, err := w.p.Manifest(ctx, o.app, id); err != nil {
			return err
		}
		r.Build = id
	}
	if err := w.p.Prepare(ctx, r); err != nil {
		return err
	}
	if err := w.p.UnderWay(ctx, r.App, r.Channel, r.ID); err != nil {
		return err
	}
	chosen, err := w.choose(ctx, o.wish, o.strategy.TargetGroups)
	if err != nil {
		return err
	}
	if !o.allowEmpty || len(chosen.Hosts) > 0 || len(o.wish.Only) > 0 {
		if err := chosen.Refuse(); err != nil {
			return err
		}
	}
	r.Groups, r.Pull = o.login.engine == "refresh", o.login.engine == "pull"
	if r.Waves = deploy.PlanWaves(chosen.Hosts, o.strategy); r.Groups {
		if r.Waves, err = deploy.PlanGroups(chosen.Hosts); err != nil {
			return err
		}
	}
	w.state, w.store = r, w.p.NewStore()
	w.board.Info(fmt.Sprintf("rollout %s: build %s on %s of %s: %d hosts in %d waves, %d nodes left out (deployctl hosts says why)",
		r.ID, r.Build.Short(), r.Channel, r.App, r.Hosts(), len(r.Waves), len(chosen.Excluded)))
	return nil
}

// choose picks the hosts, and notes where they stand in target groups.
func (w *rolling) choose(ctx context.Context, wish deploy.Wish, groups []string) (deploy.Selection, error) {
	s, err := w.lister.Choose(ctx, wish)
	if err != nil || len(groups) == 0 {
		return s, err
	}
	api, err := w.d.balancers(ctx, w.o.aws)
	if err != nil {
		return s, err
	}
	return s, deploy.Place(ctx, api, groups, s.Hosts)
}

// locked carries the rollout out while it has the channel's lease.
func (w *rolling) locked(ctx context.Context, x *deploy.Executor) error {
	r := w.state
	if r.Phase != deploy.Rolling && r.Phase != deploy.RollingBack {
		return fault.Newf(fault.Usage, "start a new one", "resuming rollout %s: it is over (%s)", r.ID, r.Phase)
	}
	lease, err := w.acquire(ctx)
	if err != nil {
		return err
	}
	held := lease.Hold(ctx)
	w.tell(held, "started")
	err = w.run(held, x)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	defer w.tell(end, ended(r))
	if rerr := lease.Release(end); rerr != nil {
		err = errors.Join(err, fmt.Errorf("releasing the lease of %s: %w", r.Channel, rerr))
	}
	if perr := errors.Join(w.print(), w.write(w.o.junit, r.JUnit), w.write(w.o.html, r.HTML)); err == nil {
		err = perr
	}
	if err != nil && (r.Phase == deploy.Rolling || r.Phase == deploy.RollingBack) {
		next := "deployctl rollout --app " + r.App + " --resume " + r.ID
		if w.o.login.engine == "ssm" { // the state knows what kind of engine it was, and no more
			next += " --engine ssm"
		}
		return fault.New(fault.KindOf(err), next, err)
	}
	return err
}

// acquire takes the lease. A resumed rollout waits for its own, which a dead
// operator did not give back.
func (w *rolling) acquire(ctx context.Context) (*deploy.Lease, error) {
	for said := false; ; said = true {
		lease, err := w.p.Acquire(ctx, w.state.App, w.state.Channel, w.state.ID, w.d.whoami())
		var held *deploy.LeaseHeld
		if w.o.resume == "" || !errors.As(err, &held) || held.Holder.Rollout != w.state.ID {
			return lease, err
		}
		if !said {
			w.board.Info(fmt.Sprintf("waiting up to %s for the lease to run out: %v", deploy.LeaseTime, held))
		}
		if err := (clock{}).Sleep(ctx, resumeEvery); err != nil {
			return nil, err
		}
	}
}

func (w *rolling) run(ctx context.Context, x *deploy.Executor) error {
	r := w.state
	if w.o.resume != "" { // another operator may have gone on while we waited
		fresh, store, err := w.p.Load(ctx, r.App, r.ID)
		if err != nil {
			return err
		}
		*r, w.store = *fresh, store
	}
	if w.o.abort && r.Phase == deploy.Rolling {
		r.Phase, r.Reason = deploy.RollingBack, "stopped by "+w.d.whoami()
	}
	if err := w.p.UnderWay(ctx, r.App, r.Channel, r.ID); err != nil {
		return err
	}
	if err := w.store.Save(ctx, r); err != nil {
		return err
	}
	if err := w.point(ctx); err != nil {
		return err
	}
	x.Save = w.store.Save
	return x.Run(ctx, r)
}

// point makes the build the live one; for a rollout by pull together with its plan.
func (w *rolling) point(ctx context.Context) error {
	r := w.state
	switch {
	case r.Phase != deploy.Rolling:
		return nil
	case !r.Pull:
		return w.p.Point(ctx, r, w.d.whoami())
	}
	if err := w.p.Launch(ctx, r, w.d.whoami()); err != nil {
		return err
	}
	w.board.Info(fmt.Sprintf("rollout %s is in the agents' hands: it goes on without this machine; --resume %s watches it again", r.ID, r.ID))
	return nil
}

// late lists the hosts there are now; nil where newcomers are not meant, or boot
// with the build anyway.
func (w *rolling) late() func(context.Context) ([]deploy.Host, error) {
	r := w.state
	if r.Groups || r.Pull || len(r.Wish.Only) > 0 || r.Wish.Limit > 0 {
		return nil
	}
	return func(ctx context.Context) ([]deploy.Host, error) {
		s, err := w.choose(ctx, r.Wish, r.Strategy.TargetGroups)
		return s.Hosts, err
	}
}

// print writes the plan, or the report, to stdout.
func (w *rolling) print() error {
	if w.o.output == cliapp.JSON {
		return printJSON(w.d.Stdout, w.state)
	}
	r := w.state
	rows := [][]string{{"rollout " + r.ID, string(r.Build.Short()), string(r.Phase), r.Reason}, {"WAVE", "HOST", "ADDRESS", "ZONE", "STATE", "PROBLEM"}}
	for _, wave := range r.Waves {
		for _, h := range wave.Hosts {
			rows = append(rows, []string{wave.Name, h.Instance, h.Addr, h.Zone, string(h.State), dash(h.Problem)})
		}
	}
	return ui.Table(w.d.Stdout, append(rows, []string{r.Summary()}))
}

// write writes a report to a file, when one is named.
func (w *rolling) write(path string, report func(io.Writer) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(report(f), f.Close())
	}
	if err != nil {
		return fault.New(fault.Unpublished, "name a file that can be written; the rollout itself is over", fmt.Errorf("writing report: %w", err))
	}
	return nil
}

// clock is the real time.
type clock struct{}

func (clock) Now() time.Time { return time.Now() }

func (clock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
