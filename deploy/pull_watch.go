package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
	for i := range w.r.Waves {
		if i > v.Wave {
			break
		}
		w.show(i)
		for h := range w.r.Waves[i].Hosts {
			if w.settle(ctx, i, &w.r.Waves[i].Hosts[h], v) {
				changed = true
			}
		}
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

// settle brings one host to where the verdict has it; false: it is there.
func (w *pulling) settle(ctx context.Context, wave int, h *HostRun, v waves.Verdict) bool {
	st := v.Of(h.Instance)
	next := map[waves.Stand]HostState{waves.UnderWay: Begun, waves.Passed: Deployed, waves.Fell: Failed}[st.Stand]
	if next == "" || next == h.State || h.State == Restored || h.State == Stuck {
		return false
	}
	h.State = next
	switch {
	case next == Begun:
		w.board.begun(h)
		return true
	case st.Silent != "":
		h.Problem = st.Silent
	case next == Failed:
		res := w.Pull.P.result(ctx, w.o, wave, h.Instance, waves.Failed)
		h.Problem, h.Took = clean(res.Reason, "it failed, and its reason cannot be read"), res.Took
	default:
		h.Took = w.Pull.P.result(ctx, w.o, wave, h.Instance, waves.Done).Took
	}
	w.board.host(h)
	return true
}

// clean makes one line of what a host says; a host is not trusted with more.
func clean(text, empty string) string {
	const most = 500
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	if text == "" {
		return empty
	}
	return text
}

// back waits until the hosts that took their turn are back on the build before,
// and then puts the channel back: as long as it names the stopped rollout, every
// host that reads it takes the build before.
func (w *pulling) back(ctx context.Context) error {
	r, p := w.r, w.Pull.P
	stop, err := p.stop(ctx, r, r.Reason, w.Pull.By) // an abort has not been written yet
	if err == nil {
		r.Reason = stop.Reason
		err = w.save(ctx, r)
	}
	if err != nil {
		return err
	}
	if !w.o.Plan.GoBack {
		return w.finish(ctx, r, Stopped, r.asItIs(errors.New(r.Reason)))
	}
	w.Board.Info("stopped: " + r.Reason)
	now, _, err := p.channel(ctx, r.App, r.Channel)
	if err == nil && now.Rollout == r.ID { // else hosts follow another channel by now
		err = w.restore(ctx)
	}
	if err != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
		defer cancel()
		return errors.Join(err, w.save(end, r))
	}
	ours, err := w.Back(ctx, r)
	if err != nil {
		return fault.Newf(fault.Leftover, "deployctl rollout --resume "+r.ID, "rolling back: %w; stopped because %s", err, r.Reason)
	}
	if !ours {
		return w.finish(ctx, r, Stopped, fault.Newf(fault.Check, "deployctl show says who; agents follow that build now",
			"the channel was promoted to another build meanwhile; stopped because %s", r.Reason))
	}
	w.Board.Info(fmt.Sprintf("channel %s is back on build %s", r.Channel, r.Previous.Short()))
	return w.finish(ctx, r, RolledBack, r.leftover())
}

// restore watches the touched hosts go back, as long as a host may take for it.
func (w *pulling) restore(ctx context.Context) error {
	if err := w.touched(ctx); err != nil {
		return err
	}
	var open []*HostRun
	for h := range w.r.each {
		if w.claimed(h.Instance) && h.State != Restored && h.State != Stuck {
			open = append(open, h)
		}
	}
	b := w.begin(w.r, "rollback", open)
	end := w.Clock.Now().Add(w.o.Plan.ClaimWithin + w.o.Plan.HostTime + waves.Grace)
	for left := len(open); left > 0; {
		if err := w.touched(ctx); err != nil {
			b.done(err)
			return err
		}
		late := !w.Clock.Now().Before(end)
		for _, h := range open {
			if h.State != Restored && h.State != Stuck && w.restored(ctx, h, late) {
				left--
				b.host(h)
			}
		}
		if err := w.save(ctx, w.r); err != nil || left == 0 {
			b.done(err)
			return err
		}
		if err := w.Clock.Sleep(ctx, pullLook); err != nil {
			b.done(err)
			return err
		}
	}
	b.done(nil)
	return nil
}

// touched reads the results of all waves that may have begun.
func (w *pulling) touched(ctx context.Context) error {
	for i := range w.o.Roster.Waves {
		if _, err := w.Pull.P.results(ctx, w.o, i); err != nil {
			return err
		}
		began := false
		for _, host := range w.o.Roster.Waves[i].Hosts {
			began = began || w.claimed(host)
		}
		if !began {
			return nil
		}
	}
	return nil
}

// claimed says whether a host took its turn.
func (w *pulling) claimed(host string) bool {
	_, claimed := w.o.Seen[host][waves.Claimed]
	return claimed
}

// restored settles a host that said how its way back went, or nothing in time.
func (w *pulling) restored(ctx context.Context, h *HostRun, late bool) bool {
	said := w.o.Seen[h.Instance]
	wave := w.o.Roster.WaveOf(h.Instance)
	if _, stuck := said[waves.Stuck]; stuck {
		res := w.Pull.P.result(ctx, w.o, wave, h.Instance, waves.Stuck)
		restore(h, errors.New(clean(res.Reason, "it could not go back, and its reason cannot be read")))
		h.Took = res.Took
		return true
	}
	if _, back := said[waves.Back]; back {
		h.Took = w.Pull.P.result(ctx, w.o, wave, h.Instance, waves.Back).Took
		restore(h, nil)
		return true
	}
	if late {
		restore(h, errors.New("it did not say that it went back"))
	}
	return late
}
