package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/release"
	"bakehouse/release/waves"
)

// byWaves takes part in the rollout that the channel names: it takes this
// instance's turn when it has come, stops the rollout when its rule is broken,
// and goes back when it was stopped. over says that the rollout is through.
func (f *follower) byWaves(ctx context.Context, g *glance) (over bool, err error) {
	c, err := f.open(ctx, g)
	if err != nil {
		return false, err
	}
	stop, err := c.stopped(ctx) // one that is through can still be aborted
	switch {
	case err != nil:
		return false, err
	case stop.Stopped:
		return false, f.goBack(ctx, g, stop)
	case c.over:
		return true, nil
	}
	if c.unsaid != nil {
		if err := c.say(ctx, *c.unsaid); err != nil {
			return false, err
		}
	}
	if f.deps.Clock.Now().Before(c.far) {
		return false, nil
	}
	v, err := c.judge(ctx)
	switch {
	case err != nil:
		return false, err
	case v.Stop != "":
		f.next = turnPoll
		return false, c.stop(ctx, v, f.deps.Clock.Now())
	case v.Over:
		c.over = true
		f.tell(fmt.Sprintf("rollout %s is through", c.Plan.ID))
		return true, nil
	}
	return false, f.turn(ctx, v)
}

// turn does what the instance's standing asks for.
func (f *follower) turn(ctx context.Context, v waves.Verdict) error {
	c, st := f.course, v.Of(f.id)
	switch st.Stand {
	case waves.Turn:
		return f.claim(ctx)
	case waves.UnderWay: // an agent before this one was killed at it, or S3 did not answer after the claim
		if left := st.At.Add(-waves.Grace).Sub(c.Now); left > 0 && !c.ended() {
			f.tell(fmt.Sprintf("rollout %s: going on where this instance was interrupted", c.Plan.ID))
			return f.begin(ctx, left)
		}
	case waves.Waiting:
		if c.wave >= 0 && c.wave <= v.Wave+1 {
			f.tell(fmt.Sprintf("rollout %s: waiting for this instance's turn in %s", c.Plan.ID, c.Roster.Waves[c.wave].Name))
			f.next = turnPoll
			return nil
		}
	}
	// Others are looked at now and then, so that the last one alive still ends the rollout.
	c.far = f.deps.Clock.Now().Add(min(farPoll, c.Plan.ClaimWithin/4))
	return nil
}

// ended says whether this process has told how its turn ended.
func (c *course) ended() bool {
	_, done := c.said[waves.Done]
	_, failed := c.said[waves.Failed]
	return done || failed || c.unsaid != nil
}

// claim takes the turn, looks whether it was in time, and deploys.
func (f *follower) claim(ctx context.Context) error {
	c, began := f.course, f.deps.Clock.Now()
	if err := c.say(ctx, waves.Result{State: waves.Claimed}); err != nil {
		return err
	}
	v, err := c.judge(ctx)
	if err != nil {
		return err
	}
	if v.Stop != "" || v.Of(f.id).Stand != waves.UnderWay {
		f.tell(fmt.Sprintf("rollout %s: the turn is over: %s", c.Plan.ID, firstOf(v.Stop, v.Of(f.id).Silent, string(v.Of(f.id).Stand))))
		f.next = turnPoll
		return nil
	}
	return f.begin(ctx, c.Plan.HostTime-f.deps.Clock.Now().Sub(began))
}

// begin deploys the rollout's build within limit and tells how it went. A deploy
// that took too long is undone: nobody knows whether that build is healthy.
func (f *follower) begin(ctx context.Context, limit time.Duration) error {
	c, start := f.course, f.deps.Clock.Now()
	f.next = turnPoll
	f.tell(fmt.Sprintf("rollout %s: deploying build %s in %s", c.Plan.ID, c.Plan.Build.Short(), c.Roster.Waves[c.wave].Name))
	limited, cancel := context.WithTimeoutCause(ctx, limit, fault.Newf(fault.Timeout, "", "no end within %s", c.Plan.HostTime))
	defer cancel()
	err := f.deploy(limited, session{want: c.Plan.Build})
	var aborted abortError
	if ctx.Err() != nil || errors.As(err, &aborted) {
		return err // the next agent goes on
	}
	r := waves.Result{State: waves.Done, Took: f.deps.Clock.Now().Sub(start)}
	if r.Build, r.Health = f.standing(); err == nil && r.Build != c.Plan.Build {
		err = fmt.Errorf("it runs build %s: the channel was promoted meanwhile", r.Build.Short())
	}
	if err != nil {
		r.State, r.Health, r.Reason = waves.Failed, "", err.Error()
		if limited.Err() != nil {
			r.Reason = context.Cause(limited).Error() + ": " + r.Reason
		}
	}
	said := c.say(ctx, r)
	if err != nil && r.Build == c.Plan.Build && c.Plan.GoBack {
		_ = f.deploy(ctx, session{want: c.Plan.Previous}) // its journal tells
	}
	if err != nil {
		return err
	}
	return said
}

// standing is the build on this instance, and what its health check said.
func (f *follower) standing() (release.ID, string) {
	j, err := readJournal(f.path(agentconf.StateDir, "journal.json"))
	if err != nil {
		return "", ""
	}
	if j.Deploy != nil {
		return release.ID(j.Build), j.Deploy.Detail
	}
	return release.ID(j.Build), ""
}

// goBack returns to the build before, where this instance has the rollout's, and
// tells those who watch. Without a way back it stays as it is.
func (f *follower) goBack(ctx context.Context, g *glance, stop waves.Stop) error {
	c := f.course
	f.tell(fmt.Sprintf("rollout %s was stopped: %s", c.Plan.ID, stop.Reason))
	if !c.Plan.GoBack || c.tried {
		return nil
	}
	if c.wave >= 0 {
		if _, err := c.list(ctx, c.wave); err != nil {
			return err
		}
	}
	said := c.Seen[f.id]
	_, claimed := said[waves.Claimed]
	_, back := said[waves.Back]
	_, stuck := said[waves.Stuck]
	if back || stuck || !claimed && g.runs != c.Plan.Build {
		c.tried = true
		return nil
	}
	r, failed := f.restore(ctx, g)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if claimed {
		if err := c.say(ctx, r); err != nil {
			return err
		}
	}
	c.tried = true
	return failed
}

// restore deploys the build before, unless the rollout's never came to be here.
func (f *follower) restore(ctx context.Context, g *glance) (waves.Result, error) {
	r := waves.Result{State: waves.Back, Build: g.runs}
	if g.runs != f.course.Plan.Build {
		return r, nil
	}
	start := f.deps.Clock.Now()
	err := f.deploy(ctx, session{want: f.course.Plan.Previous})
	r.Build, r.Health = f.standing()
	r.Took = f.deps.Clock.Now().Sub(start)
	if err != nil {
		r.State, r.Health, r.Reason = waves.Stuck, "", err.Error()
	}
	return r, err
}
