package agent

import (
	"context"
	"fmt"
	"io"
	"time"
)

// task is a program of the app's that runs in a transient systemd unit, and so
// in a control group of its own: whatever it starts ends with it.
type task struct {
	name  string // of the unit, behind bakehouse-APP-
	dir   string // where it works
	args  []string
	env   []string
	limit time.Duration
	out   io.Writer
}

// inUnit runs a task as the app's owner and waits for it.
func (s *session) inUnit(ctx context.Context, t task) error {
	unit := "bakehouse-" + s.conf.App.Name + "-" + t.name + ".service"
	// One that an agent left when it was killed would bar ours.
	_ = s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"stop", "--quiet", unit}})
	args := []string{"--quiet", "--collect", "--wait", "--pipe", "--unit=" + unit, "--service-type=exec",
		"--property=KillMode=control-group", "--property=TimeoutStopSec=2s",
		fmt.Sprintf("--property=RuntimeMaxSec=%dms", t.limit.Milliseconds()),
		"--property=WorkingDirectory=" + t.dir}
	if s.conf.App.Owner != "" {
		args = append(args, "--uid="+s.conf.App.Owner)
	}
	for _, e := range t.env {
		args = append(args, "--setenv="+e)
	}
	err := s.deps.Runner.Run(ctx, Command{Path: "systemd-run", Args: append(append(args, "--"), t.args...), Out: t.out})
	if ctx.Err() != nil { // systemd-run was stopped, its unit was not
		_ = s.deps.Runner.Run(context.WithoutCancel(ctx), Command{Path: "systemctl", Args: []string{"stop", "--quiet", unit}})
	}
	return err
}
