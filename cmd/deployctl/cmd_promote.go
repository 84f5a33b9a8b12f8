package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
	"bakehouse/release"
)

// promoteOptions is the command line of promote.
type promoteOptions struct {
	common
	build string // id or its first digits
}

func promoteCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "promote",
		Usage:     "make BUILD the live one of a channel",
		ArgsUsage: "BUILD",
		Description: "BUILD is an id as push and show print it, or its first 6 or more digits.\n" +
			"The channel is changed by compare-and-swap. Who loses a race is told who won, changes nothing, and ends with code 4,\n" +
			"as does the promotion of a build that is missing or damaged. Promoting the live build again changes nothing and is no error.",
		Flags: append(commonFlags("the `CHANNEL` to change (default: apps.NAME.channel of the configuration)"), signKeyFlag()),
		Action: func(c *cli.Context) error {
			args, err := cliapp.Arguments(c, "BUILD")
			if err != nil {
				return err
			}
			o := promoteOptions{build: args[0]}
			if o.common, err = d.signing(c); err != nil {
				return err
			}
			if err := o.needChannel(); err != nil {
				return err
			}
			return runPromote(c.Context, d, o)
		},
	}
}

func runPromote(ctx context.Context, d deps, o promoteOptions) error {
	p, err := d.publisher(ctx, o.common, nil)
	if err != nil {
		return err
	}
	id, err := p.Resolve(ctx, o.app, o.build)
	if err != nil {
		return err
	}
	return d.promote(ctx, o.common, p, id)
}

// promote makes a build the live one of o's channel, and prints what came of it.
func (d deps) promote(ctx context.Context, o common, p *deploy.Publisher, id release.ID) error {
	done, err := p.Promote(ctx, deploy.Promotion{App: o.app, Channel: o.channel, Build: id, By: d.whoami()})
	if err != nil {
		return err
	}
	if o.output == cliapp.JSON {
		return printJSON(d.Stdout, done)
	}
	if _, err := fmt.Fprintln(d.Stdout, describePromotion(done)); err != nil {
		return fmt.Errorf("printing result: %w", err)
	}
	return nil
}

func describePromotion(p deploy.Promoted) string {
	c := p.Channel
	where := fmt.Sprintf("%s of %s", c.Name, c.App)
	switch {
	case !p.Changed:
		return fmt.Sprintf("build %s is live on %s already (serial %d)", c.Build.Short(), where, c.Serial)
	case c.Previous == "":
		return fmt.Sprintf("build %s is live on %s (serial %d, the first)", c.Build.Short(), where, c.Serial)
	}
	return fmt.Sprintf("build %s is live on %s (serial %d, before: %s)", c.Build.Short(), where, c.Serial, c.Previous.Short())
}
