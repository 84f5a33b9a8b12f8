package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// Refusal is a build that was started on this instance and was not healthy. It
// is not started again before somebody says so.
type Refusal struct {
	Build release.ID `json:"build"`
	At    time.Time  `json:"at"`
	Why   string     `json:"why"`
	For   release.ID `json:"for"` // the build that took its place
}

// approve notes that build is healthy.
func (j *Journal) approve(build string) {
	j.LastGood = build
	j.Refused = slices.DeleteFunc(j.Refused, func(r Refusal) bool { return string(r.Build) == build })
}

// rollBack answers the verdict on the live build: where there is a build that
// was healthy before, that one is started in its place, and the failed one is
// refused from now on. The verdict is returned in any case.
func (s *session) rollBack(ctx context.Context, verdict error) error {
	lay := Layout{Root: s.path(s.conf.App.Root)}
	bad, good := lay.Live(), release.ID(s.j.LastGood)
	if good == "" || good == bad || !lay.Has(good) {
		return verdict
	}
	began := s.deps.Clock.Now()
	s.j.Refused = slices.DeleteFunc(s.j.Refused, func(r Refusal) bool { return r.Build == bad })
	s.j.Refused = append(s.j.Refused, Refusal{bad, began, verdict.Error(), good})
	if err := s.save(); err != nil {
		// On a full disk, say: a good build that serves is worth more than the
		// note that would let a killed run find the way back.
		verdict = fmt.Errorf("%w; %w", verdict, err)
	}
	if err := s.reached(BuildRefused); err != nil {
		return err
	}
	if err := s.goBack(ctx, lay, good); err != nil {
		return fmt.Errorf("%w; rolling back to build %s: %w", verdict, good.Short(), err)
	}
	took := s.deps.Clock.Now().Sub(began)
	next := fmt.Sprintf("see journalctl -u %s, and promote a build that starts; boot-agent deploy --retry-refused tries this one again", s.conf.App.Unit)
	err := fmt.Errorf("build %s: %w; rolled back to build %s in %.2f s", bad.Short(), verdict, good.Short(), took.Seconds())
	if herr := s.healthy(ctx); herr != nil {
		err = fmt.Errorf("%w, which is not healthy either: %w", err, herr)
	}
	return fault.New(fault.Check, next, err)
}

// goBack makes good the live build and starts it.
func (s *session) goBack(ctx context.Context, lay Layout, good release.ID) error {
	if err := lay.switchTo(good, s.deps.Clock.Now()); err != nil {
		return onDisk(err)
	}
	s.j.Build = string(good)
	if err := s.reached(RolledBack); err != nil {
		return err
	}
	return s.restart(ctx)
}

// refused ends a pull of a build that was refused on this instance. Where an
// agent was killed on its way back to the good build, it goes the rest of it.
func (s *session) refused(ctx context.Context, lay Layout, build release.ID) error {
	i := slices.IndexFunc(s.j.Refused, func(r Refusal) bool { return r.Build == build })
	if i < 0 || s.retryRefused {
		return nil
	}
	r := s.j.Refused[i]
	if s.j.Build != string(r.For) && lay.Has(r.For) {
		if err := s.goBack(ctx, lay, r.For); err != nil {
			return err
		}
	}
	return fault.Newf(fault.Check, "promote another build, or, to try this one again: boot-agent deploy --retry-refused",
		"pulling build %s: it was refused here at %s: %s", build.Short(), r.At.UTC().Format(time.RFC3339), r.Why)
}
