package deploy

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sync/errgroup"

	"bakehouse/internal/fault"
	"bakehouse/release/waves"
)

// pullLook is the pause between two looks at what agents do by themselves.
const pullLook = 5 * time.Second

// Puller watches a rollout that agents carry out by themselves.
type Puller struct {
	P  *Publisher
	By string // user@host, who stops it
}

// pulling is one watch.
type pulling struct {
	*Executor
	r     *Rollout
	o     *waves.Reading
	board *counter  // of the wave that is shown; nil: none
	wave  int       // that it is of
	asked time.Time // the gates were
}

// watchPull watches r until its agents are through with it, stops it when its rule is
// broken or a gate says so, and puts the channel back once the hosts went back.
// When this process ends, the agents go on; another Run watches again.
func (x *Executor) watchPull(ctx context.Context, r *Rollout) error {
	o, err := x.Pull.P.open(ctx, r)
	if err != nil {
		return err
	}
	w := &pulling{Executor: x, r: r, o: o, wave: -1}
	err = w.forward(ctx)
	if err == nil {
		return x.finish(ctx, r, Done, nil)
	}
	if r.Reason == "" {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
		defer cancel()
		return errors.Join(err, x.save(end, r))
	}
	if r.Phase == Stopped {
		return x.finish(ctx, r, Stopped, err)
	}
	return w.back(ctx)
}

// forward looks until the rollout is over. With r.Reason set, its error says
// why it was stopped.
func (w *pulling) forward(ctx context.Context) error {
	for w.r.Phase != RollingBack {
		over, err := w.look(ctx)
		if err != nil || over {
			w.close(err)
			return err
		}
		if err := w.Clock.Sleep(ctx, pullLook); err != nil {
			w.close(err)
			return err
		}
	}
	return errors.New(w.r.Reason)
}

// close ends the board's step.
func (w *pulling) close(err error) {
	if w.board != nil {
		w.board.done(err)
		w.board = nil
	}
}

// look looks once.
func (w *pulling) look(ctx context.Context) (over bool, err error) {
	p, r := w.Pull.P, w.r
	now, _, err := p.channel(ctx, r.App, r.Channel)
	if err != nil {
		return false, err
	}
	if now.Rollout != r.ID {
		r.Phase = Stopped
		return false, w.refuse(fault.Newf(fault.Check, "deployctl show says who; agents follow that build now",
			"the channel was promoted to build %s by %s meanwhile", now.Build.Short(), now.PromotedBy))
	}
	stop, _, err := p.stopState(ctx, r)
	if err != nil {
		return false, err
	}
	v, err := p.judge(ctx, w.o)
	if err != nil {
		return false, err
	}
	if err := w.note(ctx, v); err != nil {
		return false, err
	}
	switch {
	case stop.Stopped:
		return false, w.stopped(stop)
	case v.Stop != "":
		if stop, err = p.stop(ctx, r, w.reason(v), w.Pull.By); err != nil {
			return false, err
		}
		return false, w.stopped(stop)
	case v.Over:
		return true, nil
	}
	return false, w.gates(ctx, v)
}

// refuse ends the rollout for good.
func (w *pulling) refuse(err error) error {
	w.r.Reason = err.Error()
	return err
}

// stopped notes a stop, whoever wrote it.
func (w *pulling) stopped(s waves.Stop) error {
	w.r.Reason, w.r.Phase = s.Reason, RollingBack
	if s.By != "" && s.By != w.Pull.By && !strings.Contains(s.Reason, s.By) {
		w.Board.Info("it was stopped by " + s.By)
	}
	return errors.New(s.Reason)
}

// reason is the verdict's, with the words of the first host that failed.
func (w *pulling) reason(v waves.Verdict) string {
	if len(v.Fell) == 0 || v.Of(v.Fell[0]).Silent != "" {
		return v.Stop
	}
	for h := range w.r.each {
		if h.Instance == v.Fell[0] && h.Problem != "" {
			return v.Stop + ": " + h.Problem
		}
	}
	return v.Stop
}

// gates asks the watched gates now and then. They are this process's own: agents
// go on without it.
func (w *pulling) gates(ctx context.Context, v waves.Verdict) error {
	if len(w.Gates) == 0 || w.Clock.Now().Sub(w.asked) < gateEvery {
		return nil
	}
	w.asked = w.Clock.Now()
	name := w.r.Waves[min(v.Wave, len(w.r.Waves)-1)].Name
	if err := w.ask(ctx, w.r, name, true); err != nil && w.r.Reason == "" {
		return err
	} else if err == nil {
		return nil
	}
	stop, err := w.Pull.P.stop(ctx, w.r, w.r.Reason, w.Pull.By)
	if err != nil {
		return err
	}
	return w.stopped(stop)
}

// note brings r and the board to what the verdict shows.
func (w *pulling) note(ctx context.Context, v waves.Verdict) error {
	changed := false
	for i := range w.r.Waves[:min(v.Wave+1, len(w.r.Waves))] {
		w.show(i)
		var moved []*HostRun
		for h := range w.r.Waves[i].Hosts {
			if one := &w.r.Waves[i].Hosts[h]; w.moved(one, v) {
				moved = append(moved, one)
			}
		}
		said, err := w.words(ctx, i, moved, v)
		if err != nil {
			return err
		}
		for n, h := range moved {
			w.settle(h, v.Of(h.Instance), said[n])
		}
		changed = changed || len(moved) > 0
	}
	if v.Over {
		w.close(nil)
	}
	if !changed {
		return nil
	}
	return w.save(ctx, w.r)
}

// show begins the board's step of wave i, once its first host is due.
func (w *pulling) show(i int) {
	if i <= w.wave {
		return
	}
	w.close(nil)
	var hosts []*HostRun
	for h := range w.r.Waves[i].Hosts {
		if one := &w.r.Waves[i].Hosts[h]; one.State == Pending || one.State == Begun {
			hosts = append(hosts, one)
		}
	}
	if w.wave = i; len(hosts) > 0 {
		w.board = w.begin(w.r, w.r.Waves[i].Name, hosts)
	}
}

// stateOf is the state of a host that stands there; "" while it has none yet.
func stateOf(s waves.Stand) HostState {
	return map[waves.Stand]HostState{waves.UnderWay: Begun, waves.Passed: Deployed, waves.Fell: Failed}[s]
}

// moved says whether the verdict has a host further than r.
func (w *pulling) moved(h *HostRun, v waves.Verdict) bool {
	next := stateOf(v.Of(h.Instance).Stand)
	return next != "" && next != h.State && h.State != Restored && h.State != Stuck
}

// words reads what hosts of a wave said as they settled, several at a time: who
// watches again after a day has some thousands to read.
func (w *pulling) words(ctx context.Context, wave int, hosts []*HostRun, v waves.Verdict) ([]waves.Result, error) {
	said := make([]waves.Result, len(hosts))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for n, h := range hosts {
		st := v.Of(h.Instance)
		state, settled := map[waves.Stand]waves.State{waves.Passed: waves.Done, waves.Fell: waves.Failed}[st.Stand]
		if !settled || st.Silent != "" {
			continue
		}
		g.Go(func() error {
			said[n] = w.Pull.P.result(ctx, w.o, wave, h.Instance, state)
			return ctx.Err()
		})
	}
	return said, g.Wait()
}

// settle brings one host to where it stands.
func (w *pulling) settle(h *HostRun, st waves.Standing, said waves.Result) {
	h.State, h.Took = stateOf(st.Stand), said.Took
	switch {
	case h.State == Begun:
		w.board.begun(h)
		return
	case st.Silent != "":
		h.Problem = st.Silent
	case h.State == Failed:
		h.Problem = clean(said.Reason, "it failed, and its reason cannot be read")
	}
	w.board.host(h)
}

// clean makes one line of what a host says; a host is not trusted with more.
func clean(text, empty string) string {
	const most = 500
	text = strings.TrimSpace(strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, ""), unicode.IsControl), " "))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	if text == "" {
		return empty
	}
	return text
}
