package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

// deps is what the command needs from the world; tests bring their own.
type deps struct {
	cliapp.Process
	config func(path string, mustExist bool) (config.Config, error)
	world  func(ctx context.Context, o *options) (bake.World, error)
	now    func() time.Time
	// objects connects to S3, for dry runs.
	objects func(ctx context.Context, o *options) (objects, error)
	images  func(ctx context.Context, o *diffOptions) (images, error)
	// catalog connects the commands about images that are there.
	catalog func(ctx context.Context, o catalogOptions) (catalog, error)
	// sweeper connects a sweep; its Reporter and StateDir are set later.
	sweeper func(c *cli.Context, o sweepOptions) (bake.Sweeper, error)
}

func newApp(d deps) *cli.App {
	return &cli.App{
		Name:      "bake-ami",
		Usage:     "bake a Chef role into an AMI",
		UsageText: "bake-ami --role NAME [options]\nbake-ami COMMAND [options]",
		Description: "Launches a base image, converges the role on it, installs boot-agent, removes every secret and\n" +
			"identity, verifies that, and makes an image. Whatever goes wrong, and on Ctrl-C, it removes all that\n" +
			"it made. Progress goes to stderr; the last line on stdout is the AMI's id.\n\n" +
			"Names in brackets are keys of bakehouse.yaml; docs/configuration.md lists them all.\n\n" + examples(),
		Flags:    flags(),
		Action:   d.run,
		Commands: append([]*cli.Command{sweepCommand(d), abortCommand(d), configCommand(d)}, imageCommands(d)...),
	}
}

// examples are what a newcomer calls first.
func examples() string {
	return "  bake-ami --role web --dry-run     say what would be done, and whether it may be\n" +
		"  bake-ami --role web               bake and prove; a second call with the same inputs finds the image\n" +
		"  bake-ami --role web --publish-ssm /ami/web/current\n" +
		"                                    the same, then write the id to a parameter\n" +
		"  bake-ami list --role web          the images there are\n" +
		"  bake-ami sweep --dry-run          what bakes that died have left"
}

// run is the command.
func (d deps) run(c *cli.Context) error {
	o, err := d.readOptions(c)
	if err != nil {
		return err
	}
	o.started = d.now()
	if o.in.Role == "" { // said before what AWS and Chef need: it is what a newcomer forgets
		return d.refused(o, fault.Newf(fault.Usage, "add --role NAME; bake-ami --help says more", "nothing to bake: no role is named"))
	}
	reporter := d.Reporter(o.output, d.now)
	defer reporter.Close()
	w, err := d.world(c.Context, &o)
	if err != nil {
		return d.refused(o, err)
	}
	w.Reporter, w.StateDir = reporter, o.stateDir
	if len(o.roles) > 1 {
		return d.runAll(c.Context, w, o, reporter)
	}
	plan, err := w.Resolve(c.Context, o.in)
	if err != nil {
		return d.refused(o, err)
	}
	if o.dryRun {
		reporter.Close()
		return d.tryPlans(c.Context, w, o, []bake.Plan{plan})
	}
	if !plan.Empty() {
		reporter.Info(headline(plan))
	}
	report, err := w.Bake(c.Context, plan)
	w.AddInventory(c.Context, &report)
	reporter.Close()
	return d.finish(o, report, err)
}

// headline says what is about to be baked.
func headline(p bake.Plan) string {
	what := "role " + p.Recipe.Role
	if p.Recipe.Policy != nil {
		what = p.Recipe.Policy.String()
	}
	return fmt.Sprintf("bake %s of %s on %s (%s)", p.BakeID, what, p.Recipe.Base.ID, p.Recipe.Base.Name)
}

// finish writes the report and prints the result. The image's id is printed
// also when only the clean-up was incomplete.
func (d deps) finish(o options, report bake.Report, failed error) error {
	text, err := report.JSON()
	if err != nil {
		return errors.Join(failed, err)
	}
	failed = firstOf(failed, o.writeReport([]bake.Report{report}), o.files.write([]bake.Report{report}))
	d.announce(o.output, []bake.Report{report})
	switch {
	case o.output == cliapp.JSON:
		_, err = d.Stdout.Write(text)
	case report.ImageID != "":
		_, err = fmt.Fprintln(d.Stdout, report.ImageID)
	}
	if err != nil {
		err = fmt.Errorf("printing the result (image %s): %w", report.ImageID, err)
	}
	return firstOf(failed, err)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
