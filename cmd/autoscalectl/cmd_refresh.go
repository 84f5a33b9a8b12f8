package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
)

// maxWait is how long --wait waits when nobody says.
const maxWait = 6 * time.Hour

func refreshCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "refresh",
		Usage:     "replace the instances of groups by Auto Scaling's instance refresh",
		ArgsUsage: "GROUP... [FILE]",
		Description: "A group that FILE describes gets the launch template version that the file asks for, which is made if there is none; another\n" +
			"group gets its own, or --version. The refresh carries the version, and the group moves to it when the refresh is done, so a\n" +
			"rollback has somewhere to go: refresh first, then apply. Instances that match already are skipped.\n" +
			"--wait ends with 0 when the refresh succeeded (or, with --cancel or --rollback, ended as asked), 4 when it failed, was\n" +
			"cancelled or rolled back, 6 after --timeout, 130 on Ctrl-C; the refresh goes on in the last two cases.",
		Flags: refreshFlags(),
		Action: func(c *cli.Context) error {
			r, err := d.refreshOf(c)
			if err != nil {
				return err
			}
			if r.w, err = d.connect(c.Context, r.t.common, r.t.region); err != nil {
				return err
			}
			if err := r.plan(c.Context); err != nil {
				return err
			}
			return r.run(c.Context)
		},
	}
}

func refreshFlags() []cli.Flag {
	return []cli.Flag{
		allFlag("all groups of the file"),
		&cli.StringFlag{Name: "version", Usage: "go to `VERSION` of the launch template, a number"},
		&cli.StringFlag{Name: "from", Usage: "point the group at `VERSION` first: a rollback goes back to what the group asks for at the start"},
		&cli.BoolFlag{Name: "replace-all", Usage: "replace instances that match, too"},
		&cli.IntFlag{Name: "min-healthy", Usage: "keep at least `PERCENT` of the group in service", DefaultText: "the group's, or 90"},
		&cli.IntFlag{Name: "max-healthy", Usage: "let the group grow to `PERCENT` while instances are replaced, 100 to 200", DefaultText: "the group's"},
		&cli.DurationFlag{Name: "warmup", Usage: "count a new instance as ready after `TIME` in service", DefaultText: "the group's"},
		&cli.DurationFlag{Name: "bake-time", Usage: "watch for `TIME` at the end before it counts as successful", DefaultText: "0s"},
		&cli.IntSliceFlag{Name: "checkpoints", Usage: "pause at each `PERCENT`, for example 10,50"},
		&cli.DurationFlag{Name: "checkpoint-delay", Usage: "how long to pause at a checkpoint, `TIME`", DefaultText: "1h"},
		&cli.BoolFlag{Name: "auto-rollback", Usage: "roll back when it fails or an alarm fires"},
		&cli.StringSliceFlag{Name: "alarm", Usage: "fail (or roll back) when the CloudWatch alarm `NAME` fires; may be repeated"},
		&cli.StringFlag{Name: "standby", Usage: "`HOW` to treat instances in standby: Wait, Ignore or Terminate", DefaultText: "Wait"},
		&cli.StringFlag{Name: "protected", Usage: "`HOW` to treat instances protected from scale-in: Wait, Ignore or Refresh", DefaultText: "Wait"},
		&cli.BoolFlag{Name: "wait", Usage: "wait for the end, and show percentage and activities"},
		&cli.DurationFlag{Name: "timeout", Value: maxWait, Usage: "wait at most `TIME`"},
		&cli.BoolFlag{Name: "cancel", Usage: "end the running refresh; what was replaced stays"},
		&cli.BoolFlag{Name: "rollback", Usage: "roll the running refresh back"},
		cliapp.YesFlag(), regionFlag(), profileFlag(), cliapp.OutputFlag(),
	}
}

// refresh is one call of the command.
type refresh struct {
	d            deps
	t            targets
	w            autoscale.World
	p            autoscale.RefreshPlan
	opt          autoscale.RefreshOptions
	cancel, back bool
	wait, yes    bool
	timeout      time.Duration
}

func (d deps) refreshOf(c *cli.Context) (*refresh, error) {
	r := &refresh{d: d, cancel: c.Bool("cancel"), back: c.Bool("rollback"), wait: c.Bool("wait"), yes: c.Bool("yes"), timeout: c.Duration("timeout")}
	if r.cancel && r.back {
		return nil, cliapp.Usagef("--cancel and --rollback exclude each other")
	}
	for _, f := range refreshFlags()[1:13] { // what only a new refresh has
		if name := f.Names()[0]; (r.cancel || r.back) && c.IsSet(name) {
			return nil, cliapp.Usagef("--%s is for a new refresh, not for --cancel or --rollback", name)
		}
	}
	if r.timeout <= 0 {
		return nil, cliapp.Usagef("--timeout %s: want more than 0", r.timeout)
	}
	if c.IsSet("timeout") && !r.wait {
		return nil, cliapp.Usagef("--timeout is for --wait")
	}
	r.opt = autoscale.RefreshOptions{Version: c.String("version"), From: c.String("from"), ReplaceAll: c.Bool("replace-all"), MinHealthy: given(c, "min-healthy"),
		MaxHealthy: given(c, "max-healthy"), Checkpoints: c.IntSlice("checkpoints"), Rollback: c.Bool("auto-rollback"), Alarms: c.StringSlice("alarm"),
		Standby: c.String("standby"), Protected: c.String("protected"), Warmup: seconds(c, "warmup"), BakeTime: seconds(c, "bake-time"), Delay: seconds(c, "checkpoint-delay")}
	if err := r.opt.Check(); err != nil {
		return nil, err
	}
	var err error
	if r.t, err = d.targetsOf(c); err != nil {
		return nil, err
	}
	named := len(c.Args().Slice())
	if named > 0 && isFile(c.Args().First()) && named == 1 {
		named = 0
	}
	switch {
	case c.Bool("all") && named > 0:
		return nil, cliapp.Usagef("--all and GROUP exclude each other")
	case c.Bool("all") && r.t.spec == nil:
		return nil, cliapp.Usagef("--all is for all groups of a file, and there is no %s", r.t.file)
	case !c.Bool("all") && named == 0:
		return nil, cliapp.Usagef("missing argument GROUP; --all is for all groups of the file")
	case c.Bool("all"):
		r.t.names = r.t.spec.Names()
	}
	return r, nil
}

// given is a number flag's value; nil when it was not given.
func given(c *cli.Context, name string) *int {
	if !c.IsSet(name) {
		return nil
	}
	n := c.Int(name)
	return &n
}

// seconds is a time flag's value in whole seconds; nil when it was not given.
func seconds(c *cli.Context, name string) *int {
	if !c.IsSet(name) {
		return nil
	}
	n := int(c.Duration(name).Round(time.Second).Seconds())
	return &n
}

func (r *refresh) plan(ctx context.Context) error {
	var err error
	if r.cancel || r.back {
		r.p, err = autoscale.PlanEndRefresh(ctx, r.w, r.t.region, r.t.names, r.back)
		return err
	}
	s := autoscale.Spec{Region: r.t.region}
	if r.t.spec != nil {
		s = *r.t.spec
	}
	r.p, err = autoscale.PlanRefresh(ctx, r.w, s, r.t.names, r.opt)
	return err
}

// wish is the status that ends the wait well.
func (r *refresh) wish() string {
	switch {
	case r.cancel:
		return "Cancelled"
	case r.back:
		return "RollbackSuccessful"
	}
	return "Successful"
}

func (r *refresh) run(ctx context.Context) error {
	report := r.d.Reporter(r.t.output, r.d.now)
	defer report.Close()
	r.note(report)
	var outcomes []autoscale.Outcome
	if !r.p.Empty() {
		if _, err := r.d.agreed(r.t.common, r.yes, planned{plan: r.p.Plan}); err != nil {
			return err
		}
	}
	var err error
	if !r.p.Empty() {
		outcomes, err = r.p.Apply(ctx, r.w, autoscale.Observed{}, progress{report})
	}
	refreshes := []autoscale.RefreshStatus{}
	if ids := r.p.IDs(); r.wait && len(ids) > 0 {
		all, werr := r.await(ctx, ids, report)
		if refreshes = all; err == nil {
			err = werr
		}
	}
	report.Close()
	if printed := r.d.result(r.t.common, r.p.Plan, outcomes, refreshes); err == nil {
		err = printed
	}
	if err == nil && !r.wait && len(outcomes) > 0 && !r.cancel && !r.back {
		fmt.Fprintf(r.d.Stderr, "autoscalectl watch %s shows how it goes\n", strings.Join(r.t.names, " "))
	}
	return err
}

// note says what the plan does not show.
func (r *refresh) note(report reporter) {
	for _, name := range r.p.Idle {
		report.Info(fmt.Sprintf("%s: nothing to refresh: its instances match already (--replace-all replaces them)", name))
	}
	for _, name := range r.t.names {
		if id := r.p.IDs()[name]; id != "" && !r.cancel && !r.back {
			report.Info(fmt.Sprintf("%s: refresh %s to the same version is under way already", name, id))
		}
	}
	for _, name := range r.p.Pending {
		report.Info(fmt.Sprintf("%s: the file asks for other changes, too; autoscalectl apply makes them", name))
	}
}

func (r *refresh) await(ctx context.Context, ids map[string]string, report reporter) ([]autoscale.RefreshStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	s := &refreshSteps{r: report, wish: r.wish(), now: r.d.now}
	return autoscale.WaitRefreshes(ctx, r.w, ids, r.wish(), s)
}
