package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// rollbackOptions is the command line of rollback.
type rollbackOptions struct {
	common
	to string // id or its first digits; empty: the build before
}

func rollbackCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "rollback",
		Usage: "make the build before the live one of a channel again",
		Description: "The channel is changed as promote changes it. Hosts follow when they deploy: deployctl rollout has them do so.\n" +
			"A channel that had one build only ends with code 4. Twice in a row is there and back again.",
		Flags: append(commonFlags("the `CHANNEL` to change (default: apps.NAME.channel of the configuration)"), signKeyFlag(),
			&cli.StringFlag{Name: "to", Usage: "this `BUILD` instead: its id or the first 6 or more digits"}),
		Action: func(c *cli.Context) error {
			if _, err := cliapp.Arguments(c); err != nil {
				return err
			}
			o := rollbackOptions{to: c.String("to")}
			var err error
			if o.common, err = d.signing(c); err != nil {
				return err
			}
			if err := o.needChannel(); err != nil {
				return err
			}
			return runRollback(c.Context, d, o)
		},
	}
}

func runRollback(ctx context.Context, d deps, o rollbackOptions) error {
	p, err := d.publisher(ctx, o.common, nil)
	if err != nil {
		return err
	}
	id, err := o.target(ctx, p)
	if err != nil {
		return err
	}
	return d.promote(ctx, o.common, p, id)
}

// target is the build to go back to.
func (o rollbackOptions) target(ctx context.Context, p *deploy.Publisher) (release.ID, error) {
	if o.to != "" {
		return p.Resolve(ctx, o.app, o.to)
	}
	live, err := p.Show(ctx, o.app, o.channel)
	if err != nil {
		return "", err
	}
	if live.Channel.Previous == "" {
		return "", fault.Newf(fault.Check, "name a build with --to", "rolling back %s of %s: build %s is its first", o.channel, o.app, live.Channel.Build.Short())
	}
	return live.Channel.Previous, nil
}
