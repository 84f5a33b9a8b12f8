package deploy

import (
	"context"
	"errors"
	"fmt"

	"bakehouse/internal/fault"
	"bakehouse/release/waves"
)

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
