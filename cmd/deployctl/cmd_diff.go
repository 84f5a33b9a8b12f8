package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/internal/ui"
	"bakehouse/release"
)

// diffOptions is the command line of diff.
type diffOptions struct {
	common
	older, newer string // ids or their first digits; newer empty: older is compared with what is live
	exitCode     bool
}

func diffCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "say which files differ between two builds",
		ArgsUsage: "OLD [NEW]",
		Description: "With one build: from what is live on the channel to that build. Both are read from the bucket as a stream,\n" +
			"and their digests are checked. Nothing is written.",
		Flags: append(commonFlags("compare with what is live on this `CHANNEL` (default: apps.NAME.channel of the configuration)"),
			&cli.BoolFlag{Name: "exit-code", Usage: "end with code 10 when they differ"}),
		Action: func(c *cli.Context) error {
			args, err := cliapp.Arguments(c, "OLD", "[NEW]")
			if err != nil {
				return err
			}
			o := diffOptions{older: args[0], newer: args[1], exitCode: c.Bool("exit-code")}
			if o.common, err = d.commonOf(c); err != nil {
				return err
			}
			if o.newer == "" {
				if err := o.needChannel(); err != nil {
					return err
				}
			}
			return runDiff(c.Context, d, o)
		},
	}
}

func runDiff(ctx context.Context, d deps, o diffOptions) error {
	p, err := d.publisher(ctx, o.common, nil)
	if err != nil {
		return err
	}
	older, newer, err := o.builds(ctx, p)
	if err != nil {
		return err
	}
	c, err := p.Diff(ctx, o.app, older, newer)
	if err != nil {
		return err
	}
	if o.output == cliapp.JSON {
		err = printJSON(d.Stdout, c)
	} else {
		err = ui.Table(d.Stdout, diffRows(c))
	}
	if err == nil && o.exitCode && len(c.Diffs) > 0 {
		err = fault.Newf(fault.Changes, "", "builds %s and %s differ", older.Short(), newer.Short())
	}
	return err
}

// builds are the two builds that the command line names.
func (o diffOptions) builds(ctx context.Context, p *deploy.Publisher) (older, newer release.ID, err error) {
	if o.newer != "" {
		if older, err = p.Resolve(ctx, o.app, o.older); err == nil {
			newer, err = p.Resolve(ctx, o.app, o.newer)
		}
		return older, newer, err
	}
	live, err := p.Show(ctx, o.app, o.channel)
	if err == nil {
		newer, err = p.Resolve(ctx, o.app, o.older)
	}
	return live.Channel.Build, newer, err
}

func diffRows(c deploy.Comparison) [][]string {
	rows := [][]string{
		{"old", c.Old.ID.Short(), stamp(c.Old.CreatedAt, c.Old.PackedBy), dash(c.Old.Commit)},
		{"new", c.New.ID.Short(), stamp(c.New.CreatedAt, c.New.PackedBy), dash(c.New.Commit)},
	}
	if len(c.Diffs) == 0 {
		return append(rows, []string{"no file differs"})
	}
	for _, x := range c.Diffs {
		rows = append(rows, []string{x.How, x.Name, x.What})
	}
	return rows
}
