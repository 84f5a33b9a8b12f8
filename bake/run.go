package bake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"bakehouse/internal/fault"
)

// undoTime bounds all undos of a bake together, undoEach a single one: EC2 can
// take minutes to terminate an instance.
const (
	undoTime = 10 * time.Minute
	undoEach = 5 * time.Minute
)

// Bake carries out plan. Whatever happens, it removes what it made, but for
// the finished image. It ends early when ctx does. The report is complete
// also when there is an error.
//
// Errors: the failed step's; fault.Timeout when plan.Deadline passed;
// fault.Leftover when the image is made, or the bake was interrupted, and
// something could not be removed (Report.Leftover lists it).
func (w World) Bake(ctx context.Context, plan Plan) (Report, error) {
	if plan.Reuse != nil {
		r, err := w.reuse(ctx, plan)
		if err != nil {
			return r, err
		}
		return w.publishReused(ctx, plan, r)
	}
	s, err := w.session(plan)
	if err != nil {
		return Report{}, err
	}
	limit := plan.Deadline.Sub(w.Clock.Now())
	runCtx, cancel := context.WithTimeoutCause(ctx, limit, bakeTooLong(plan.inputs.Timeout))
	defer cancel()
	list := steps(plan)
	started, err := s.forward(runCtx, list)
	return s.end(ctx, list[:started], err)
}

// end undoes what the started steps made, or keeps what is to be kept, and
// says how the bake went.
func (s *Session) end(ctx context.Context, started []Step, err error) (Report, error) {
	plan := s.plan
	switch {
	case err != nil && s.kept:
		err = plan.unpublished(s.image, err)
	case err != nil && s.stillPending(ctx, err):
		err = s.leavePending(err)
		return s.report(err), err
	case err != nil:
		s.evidence(ctx)
	}
	if err != nil && plan.inputs.KeepOnFailure && ctx.Err() == nil && !s.kept {
		if kerr := s.keepBuilder(); kerr != nil {
			err = errors.Join(err, kerr)
		}
		return s.report(err), err
	}
	left := s.backward(ctx, started, err)
	err = s.verdict(ctx, err, left)
	return s.report(err), err
}

// session prepares what every step relies on.
func (w World) session(p Plan) (*Session, error) {
	s := &Session{World: w, plan: p, group: p.Launch.SecurityGroup, times: []StepTime{p.resolved}}
	var err error
	if s.hostKey, err = newKeyPair("bakehouse-builder-" + p.BakeID); err != nil {
		return nil, err
	}
	if s.userKey, err = newKeyPair("bakehouse-bake-" + p.BakeID); err != nil {
		return nil, err
	}
	s.journal, err = openJournal(w.StateDir, p, w.Clock.Now)
	if err != nil {
		return nil, fault.New(fault.Usage, "give a folder that can be written: --state-dir DIR", err)
	}
	return s, nil
}

// forward runs the steps until one fails, and returns how many were started.
func (s *Session) forward(ctx context.Context, list []Step) (started int, err error) {
	for _, step := range list {
		if ctx.Err() != nil {
			return started, outOfTime(ctx, step.Name, ctx.Err())
		}
		started++
		err = s.timed(ctx, step.Name, step.Timeout, func(ctx context.Context) error { return step.Run(s, ctx) })
		if err != nil {
			return started, err
		}
		s.kept = s.kept || step.Keeps
	}
	return started, nil
}

// backward undoes the started steps, last first: all of them after a failure,
// all but the product's when the bake is done. It runs although ctx has ended,
// and one undo that fails does not keep the next from running.
func (s *Session) backward(ctx context.Context, started []Step, failed error) error {
	name := cleanUpStep
	if failed != nil && !s.kept {
		name = undoStep
		if what := s.owned(); what != "" {
			s.Reporter.Info("undoing: " + what + " (journal: " + s.journal.path + ")")
		}
	}
	if failed != nil && ctx.Err() != nil {
		s.hasten(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	var all *multierror.Error
	_ = s.timed(ctx, name, 0, func(ctx context.Context) error {
		for _, step := range slices.Backward(started) {
			if step.Undo == nil || (step.Product && (failed == nil || s.kept)) {
				continue
			}
			ctx, cancel := context.WithTimeout(ctx, undoEach)
			if err := step.Undo(s, ctx); err != nil {
				all = multierror.Append(all, fmt.Errorf("undoing %s: %w", step.Name, err))
			}
			cancel()
		}
		return flat(all)
	})
	if err := s.journal.close(); err != nil {
		all = multierror.Append(all, err)
	}
	return flat(all)
}

// flat renders gathered errors on one line.
func flat(all *multierror.Error) error {
	if all.ErrorOrNil() == nil {
		return nil
	}
	all.ErrorFormat = func(errs []error) string {
		var out []string
		for _, e := range errs {
			out = append(out, e.Error())
		}
		return strings.Join(out, "; ")
	}
	return all
}

// owned names what the bake owns just now.
func (s *Session) owned() string {
	var out []string
	for _, r := range s.journal.remaining() {
		out = append(out, strings.TrimSpace(string(r.Kind)+" "+orName(r)))
	}
	return strings.Join(out, ", ")
}

func orName(r Resource) string {
	if r.ID != "" {
		return r.ID
	}
	return r.Name
}

// verdict joins how the bake went with how its undo went.
func (s *Session) verdict(ctx context.Context, failed, undo error) error {
	left := s.journal.remaining()
	if undo == nil && len(left) == 0 {
		return failed
	}
	if undo == nil {
		undo = errors.New("it is not known whether everything was removed")
	}
	lines := ""
	for _, r := range left {
		lines += "\n  left behind: " + r.Text(s.plan.Launch.Region)
	}
	const next = "remove what is listed with the commands beside it"
	if failed == nil {
		return fault.Newf(fault.Leftover, next, "cleaning up after the bake of %s: %w%s", s.image, undo, lines)
	}
	err := fmt.Errorf("%w; then undoing failed: %w%s", failed, undo, lines)
	if ctx.Err() != nil {
		return fault.New(fault.Leftover, next, err)
	}
	return fault.New(fault.KindOf(failed), fault.NextOf(failed), err)
}

// report gathers what the bake has to say.
func (s *Session) report(err error) Report {
	p, now := s.plan, s.Clock.Now()
	r := Report{BakeID: p.BakeID, Result: "done", Role: p.Recipe.Role, Region: p.Launch.Region, Account: p.Launch.Account,
		ImageName: p.ImageName, Digest: p.Digest, Inputs: p.Recipe.Shown(), Launch: p.Launch, Tried: s.tried, Tags: p.Tags,
		StartedAt: p.started.UTC(), EndedAt: now.UTC(), Seconds: now.Sub(p.started).Seconds(), Steps: s.times}
	r.Copies, r.Shared = s.copies, s.shared
	r.Published = s.published
	switch {
	case s.kept && fault.KindOf(err) == fault.Unpublished:
		r.Result, r.ImageID, r.Snapshots = "unpublished", s.image, s.snaps
	case err == nil || (fault.KindOf(err) == fault.Leftover && s.done()):
		r.ImageID, r.Snapshots = s.image, s.snaps
	default:
		r.Result = "failed"
	}
	if s.prover != nil {
		r.Proof = &s.prover.proof
		if s.prover.kept {
			r.Unproven, r.Snapshots = s.image, s.snaps
		}
	}
	if err != nil {
		r.Error, r.Next = err.Error(), fault.NextOf(err)
		r.ConvergeTail, r.Console = s.converged, s.console
	}
	for _, l := range s.journal.remaining() {
		r.Leftover = append(r.Leftover, Leftover{l, l.Remedy(p.Launch.Region)})
	}
	if r.ImageID != "" || r.Unproven != "" {
		r.Inventory, r.Changes, r.ChangesNote = s.inventory, s.changes, s.note
	}
	r.estimate()
	return r
}

// done says whether every step ran to its end.
func (s *Session) done() bool {
	return !slices.ContainsFunc(s.times, func(t StepTime) bool { return t.Name == undoStep })
}
