package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/internal/ui"
	"bakehouse/release"
)

// showOptions is the command line of show.
type showOptions struct {
	common
	build string // id or its first digits; empty: channels
}

func showCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "show",
		Usage:       "say which build is live on the channels of an app, or what BUILD is",
		ArgsUsage:   "[BUILD]",
		Description: "Without --channel: every channel, one line each. A channel or build that is not there ends with code 4.",
		Flags:       commonFlags("only this `CHANNEL`, with all about its build"),
		Action: func(c *cli.Context) error {
			args, err := cliapp.Arguments(c, "[BUILD]")
			if err != nil {
				return err
			}
			o := showOptions{build: args[0]}
			if o.common, err = d.commonOf(c); err != nil {
				return err
			}
			if o.build != "" && c.IsSet("channel") {
				return cliapp.Usagef("give BUILD or --channel, not both")
			}
			return runShow(c.Context, d, o)
		},
	}
}

func runShow(ctx context.Context, d deps, o showOptions) error {
	p, err := d.publisher(ctx, o.common, nil)
	if err != nil {
		return err
	}
	switch {
	case o.build != "":
		return showBuild(ctx, d, o, p)
	case o.channel != "":
		return showChannel(ctx, d, o, p)
	}
	return showChannels(ctx, d, o, p)
}

func showBuild(ctx context.Context, d deps, o showOptions, p *deploy.Publisher) error {
	id, err := p.Resolve(ctx, o.app, o.build)
	if err != nil {
		return err
	}
	m, err := p.Manifest(ctx, o.app, id)
	if err != nil {
		return err
	}
	if o.output == cliapp.JSON {
		return printJSON(d.Stdout, m)
	}
	return ui.Table(d.Stdout, manifestRows(m))
}

func showChannel(ctx context.Context, d deps, o showOptions, p *deploy.Publisher) error {
	live, err := p.Show(ctx, o.app, o.channel)
	if err != nil {
		return err
	}
	if o.output == cliapp.JSON {
		return printJSON(d.Stdout, live)
	}
	c := live.Channel
	rows := [][]string{{"channel", c.Name}, {"serial", fmt.Sprint(c.Serial)}, {"promoted", stamp(c.PromotedAt, c.PromotedBy)}}
	if c.Previous != "" {
		rows = append(rows, []string{"before", string(c.Previous)})
	}
	if c.Rollout != "" {
		rows = append(rows, []string{"rollout", c.Rollout + " (by pull)"})
	}
	return ui.Table(d.Stdout, append(rows, manifestRows(live.Manifest)...))
}

func showChannels(ctx context.Context, d deps, o showOptions, p *deploy.Publisher) error {
	names, err := p.Channels(ctx, o.app)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fault.Newf(fault.Check, "promote a build, or check app and bucket", "showing %s: it has no channel in bucket %s", o.app, o.bucket)
	}
	all, rows := []deploy.Live{}, [][]string{{"CHANNEL", "BUILD", "SERIAL", "PROMOTED", "COMMIT"}}
	for _, name := range names {
		live, err := p.Show(ctx, o.app, name)
		if err != nil {
			return err
		}
		c := live.Channel
		all = append(all, live)
		rows = append(rows, []string{c.Name, c.Build.Short(), fmt.Sprint(c.Serial), stamp(c.PromotedAt, c.PromotedBy), cmp.Or(live.Manifest.Commit, "-")})
	}
	if o.output == cliapp.JSON {
		return printJSON(d.Stdout, all)
	}
	return ui.Table(d.Stdout, rows)
}

func manifestRows(m release.Manifest) [][]string {
	rows := [][]string{
		{"build", string(m.ID)},
		{"app", m.App},
		{"pushed", stamp(m.CreatedAt, m.PackedBy)},
		{"size", fmt.Sprintf("%s, unpacked %s in %s", deploy.FormatSize(m.Size), deploy.FormatSize(m.UnpackedSize), deploy.FormatEntries(m.Files))},
	}
	if m.Commit != "" {
		rows = append(rows, []string{"commit", m.Commit})
	}
	if m.BuildURL != "" {
		rows = append(rows, []string{"ci run", m.BuildURL})
	}
	return rows
}

func stamp(at time.Time, by string) string {
	text := at.UTC().Format(time.RFC3339)
	if by != "" {
		text += " by " + by
	}
	return text
}
