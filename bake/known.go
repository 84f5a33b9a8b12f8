package bake

import (
	"context"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/internal/fault"
)

// reusable finds the newest finished image of the same inputs, or nil.
func (w World) reusable(ctx context.Context, p Plan) (*ami.Image, error) {
	found, err := ami.List(ctx, w.EC2, ami.Filter("tag:"+ami.TagDigest, p.Digest))
	if err != nil {
		return nil, err
	}
	for _, k := range found {
		if k.Usable(w.Clock.Now()) && (p.inputs.Prove.Skip || k.Tags[ami.TagProof] == ami.Proven) {
			return &k, nil
		}
	}
	return nil, nil
}

// reused reports the image that made the bake unnecessary.
func (p Plan) reused(now time.Time) Report {
	k := p.Reuse
	return Report{BakeID: k.BakeID, Result: "reused", Reused: true, Role: p.Recipe.Role, Region: p.Launch.Region, Account: p.Launch.Account,
		ImageID: k.ID, ImageName: k.Name, Snapshots: k.Snapshots, Digest: p.Digest, Inputs: p.Recipe.Shown(), Launch: p.Launch, Tags: k.Tags,
		StartedAt: p.started.UTC(), EndedAt: now.UTC(), Seconds: now.Sub(p.started).Seconds(), Steps: []StepTime{p.resolved}}
}

// reuseOrName looks for an image that makes the bake unnecessary; without one,
// the new one's name must be free.
func (w World) reuseOrName(ctx context.Context, p Plan) (Plan, error) {
	if !p.inputs.Rebake {
		k, err := w.reusable(ctx, p)
		if err != nil {
			return p, err
		}
		if k != nil {
			p.Reuse, p.Steps, p.ImageName = k, nil, k.Name
			return w.redoReused(ctx, p)
		}
	}
	if !unique(p.inputs.ImageName) {
		if err := w.nameIsFree(ctx, p.ImageName); err != nil {
			return p, err
		}
	}
	_, err := w.distribution().Look(ctx, p.inputs.Distribute.Copies, p.ImageName, "")
	return p, err
}

// redoReused plans the copies and shares that the image to be reused lacks.
func (w World) redoReused(ctx context.Context, p Plan) (Plan, error) {
	if p.inputs.Distribute.Empty() {
		return p, nil
	}
	r, err := w.PlanRedo(ctx, p.Launch.Region, p.Reuse.ID, p.inputs.Distribute)
	p.Redo = &r
	return p, err
}

// reuse returns the image that made the bake unnecessary, with what it lacked
// of the copies and shares wished.
func (w World) reuse(ctx context.Context, p Plan) (Report, error) {
	w.Reporter.Info("image " + p.Reuse.ID + " has the same inputs: reused (--rebake bakes anew)")
	if p.Redo == nil {
		return p.reused(w.Clock.Now()), nil
	}
	limit := p.Deadline.Sub(w.Clock.Now())
	ctx, cancel := context.WithTimeoutCause(ctx, limit, bakeTooLong(p.inputs.Timeout))
	defer cancel()
	done, err := w.Redo(ctx, *p.Redo)
	r := p.reused(w.Clock.Now())
	r.Copies, r.Shared = done.Copies, done.Shared
	if err != nil {
		r.Result, r.Error, r.Next = "failed", err.Error(), fault.NextOf(err)
	}
	return r, err
}
