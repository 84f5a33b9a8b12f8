package main

import (
	"context"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
)

// executor makes what carries the rollout out: by hosts or, with --engine
// refresh, by groups.
func (w *rolling) executor(ctx context.Context) (*deploy.Executor, error) {
	x := &deploy.Executor{Clock: clock{}, Board: w.board, Gates: w.gates, Late: w.late(),
		Back: func(ctx context.Context, r *deploy.Rollout) (bool, error) { return w.p.Back(ctx, r, w.d.whoami()) }}
	if w.state.Groups != (w.o.login.engine == "refresh") {
		want := map[bool]string{true: "refresh", false: "ssh or ssm"}[w.state.Groups]
		return nil, cliapp.Usagef("rollout %s was planned for another kind of engine: give --engine %s", w.state.ID, want)
	}
	if w.state.Groups {
		api, err := w.d.groups(ctx, w.o.aws)
		x.Groups = deploy.Refresher{API: api, Clock: clock{}}
		return x, err
	}
	engine, err := w.d.engine(ctx, w.o.login)
	if err == nil {
		engine, err = w.balanced(ctx, engine)
	}
	x.Engine = engine
	return x, err
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
