package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/bake/distribute"
	"bakehouse/internal/cliapp"
)

// redoOptions is what one run of copy or share was asked for.
type redoOptions struct {
	options
	image   string
	wishes  distribute.Wishes
	timeout time.Duration
}

// redoFlags are those of copy and share alike.
func redoFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "region", EnvVars: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}, Usage: "AWS `REGION` that the image is in (region)"},
		&cli.StringFlag{Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "say what is missing, and change nothing"},
		&cli.DurationFlag{Name: "timeout", Value: time.Hour, Usage: "give up after `DURATION`"},
		&cli.StringFlag{Name: "state-dir", EnvVars: []string{"BAKEHOUSE_STATE_DIR"}, Usage: "keep the journals of what is under way in `DIR` (default: $XDG_STATE_HOME/bakehouse)"},
		cliapp.ConfigFlag(),
		cliapp.OutputFlag(),
	}
}

// readRedo merges flags, environment and bakehouse.yaml.
func (d deps) readRedo(c *cli.Context) (o redoOptions, err error) {
	args, err := cliapp.Arguments(c, "AMI")
	if err != nil {
		return o, err
	}
	if len(args) == 1 {
		o.image = args[0]
	}
	if !strings.HasPrefix(o.image, "ami-") {
		return o, cliapp.Usagef("%q is no image id: give it as bake-ami printed it, ami-…", o.image)
	}
	if o.output, err = cliapp.OutputOf(c); err != nil {
		return o, err
	}
	file, err := d.readFile(c)
	if err != nil {
		return o, err
	}
	o.profile, o.dryRun, o.timeout = c.String("profile"), c.Bool("dry-run"), c.Duration("timeout")
	o.in.Region = cliapp.String(c, "region", file.Region)
	if o.timeout < time.Minute || o.timeout > 2*time.Hour {
		return o, cliapp.Usagef("--timeout %s: use 1m to 2h", o.timeout)
	}
	if o.stateDir = c.String("state-dir"); o.stateDir == "" {
		o.stateDir = d.defaultState()
	}
	return o, nil
}

// redo plans, and, but for a dry run, does what is missing.
func (d deps) redo(c *cli.Context, o redoOptions) error {
	w, err := d.world(c.Context, &o.options)
	if err != nil {
		return err
	}
	if err := o.wishes.Check(distribute.Source{Region: o.in.Region}); err != nil {
		return err
	}
	reporter := d.Reporter(o.output, d.now)
	defer reporter.Close()
	w.Reporter, w.StateDir = reporter, o.stateDir
	ctx, cancel := bake.WithTimeout(c.Context, o.timeout)
	defer cancel()
	plan, err := w.PlanRedo(ctx, o.in.Region, o.image, o.wishes)
	if err != nil {
		return err
	}
	if o.dryRun {
		reporter.Close()
		return d.print(o.output, plan, plan.Text())
	}
	done, failed := w.Redo(ctx, plan)
	reporter.Close()
	return firstOf(failed, d.print(o.output, redoOutput{done, plan.Empty()}, redoText(done, plan.Empty())))
}

// redoOutput is what copy and share print as JSON.
type redoOutput struct {
	bake.RedoResult
	Unchanged bool `json:"unchanged"` // there was nothing to do
}

// redoText has a line for each region: the image's, the copies', the shares'.
func redoText(r bake.RedoResult, unchanged bool) string {
	var b strings.Builder
	for _, c := range r.Copies {
		switch {
		case c.Error != "":
			fmt.Fprintf(&b, "failed %s: %s\n", c.Region, c.Error)
		case c.Existing:
			fmt.Fprintf(&b, "same   %s: %s\n", c.Region, c.ImageID)
		default:
			fmt.Fprintf(&b, "copied %s: %s in %.0f s\n", c.Region, c.ImageID, c.Seconds)
		}
	}
	for _, s := range r.Shared {
		verb, whom := "shared", s.Added
		if len(whom) == 0 {
			verb, whom = "same  ", s.All()
		}
		fmt.Fprintf(&b, "%s %s: %s with %s\n", verb, s.Region, s.ImageID, strings.Join(whom, ", "))
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "note   %s: %s\n", s.Region, n)
		}
	}
	if unchanged {
		b.WriteString("nothing to do\n")
	}
	return b.String()
}
