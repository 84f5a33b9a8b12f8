package main

import (
	"context"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
)

// executor makes what carries the rollout out: by hosts, with --engine refresh by
// groups, and with --engine pull what watches others carry it out.
func (w *rolling) executor(ctx context.Context) (*deploy.Executor, error) {
	x := &deploy.Executor{Clock: clock{}, Board: w.board, Gates: w.gates, Late: w.late(),
		Back: func(ctx context.Context, r *deploy.Rollout) (bool, error) { return w.p.Back(ctx, r, w.d.whoami()) }}
	if err := w.fits(); err != nil {
		return nil, err
	}
	if w.state.Pull {
		x.Pull = deploy.Puller{P: w.p, By: w.d.whoami()}
		return x, nil
	}
	if w.state.Groups {
		api, err := w.d.groups(ctx, w.o.aws)
		x.Groups = deploy.Refresher{API: api, Clock: clock{}}
		return x, err
	}
	engine, err := w.d.engine(ctx, w.o.login)
	if err != nil {
		return nil, err
	}
	if target := w.state.Strategy.Target; target != "" {
		tag, err := deploy.ParseTag(target)
		if err != nil {
			return nil, err
		}
		if e, ok := engine.(*deploy.SSM); ok { // resumed by SSH, each host is reached by itself
			x.Tag = deploy.SSMByTag{SSM: e, Tag: tag}
		}
	}
	x.Engine, err = w.balanced(ctx, engine)
	return x, err
}

// fits refuses to go on with a rollout by another kind of engine. One by pull or
// by groups names its own: nobody else can carry it out.
func (w *rolling) fits() error {
	r, engine := w.state, w.o.login.engine
	want := "ssh or ssm"
	switch {
	case r.Pull:
		want = "pull"
		if engine == "pull" || !w.o.engineGiven {
			return nil
		}
	case r.Groups:
		want = "refresh"
		if engine == "refresh" || !w.o.engineGiven {
			return nil
		}
	case engine == "ssh" || engine == "ssm":
		return nil
	}
	return cliapp.Usagef("rollout %s was planned for another kind of engine: give --engine %s", r.ID, want)
}

// balanced has engine mind the load balancers, where the rollout is to.
func (w *rolling) balanced(ctx context.Context, engine deploy.Engine) (deploy.Engine, error) {
	s := w.state.Strategy
	if len(s.TargetGroups) == 0 {
		return engine, nil
	}
	api, err := w.d.balancers(ctx, w.o.aws)
	return deploy.Balanced{Engine: engine, API: api, Clock: clock{}, Drain: s.Drain, Healthy: s.Healthy}, err
}
