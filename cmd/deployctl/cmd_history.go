package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/ui"
	"bakehouse/release"
)

// historyOptions is the command line of history.
type historyOptions struct {
	common
	limit int
}

func historyCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "history",
		Usage: "list the builds that were live on a channel, newest first",
		Description: "Every promotion keeps the state that it replaces, so the list is complete. deployctl rollback --to BUILD goes back to any of them\n" +
			"that deployctl gc has left. A channel that is not there ends with code 4.",
		Flags: append(commonFlags("the `CHANNEL` (default: apps.NAME.channel of the configuration)"),
			&cli.IntFlag{Name: "limit", Aliases: []string{"n"}, Value: 20, Usage: "the last `N` states; 0 for all"}),
		Action: func(c *cli.Context) error {
			if _, err := cliapp.Arguments(c); err != nil {
				return err
			}
			o := historyOptions{limit: c.Int("limit")}
			if o.limit < 0 {
				return cliapp.Usagef("--limit %d: want 0 or more", o.limit)
			}
			var err error
			if o.common, err = d.commonOf(c); err != nil {
				return err
			}
			if err := o.needChannel(); err != nil {
				return err
			}
			return runHistory(c.Context, d, o)
		},
	}
}

// pastState is one state of a channel.
type pastState struct {
	release.Channel
	Until *time.Time `json:"until,omitempty"` // when it was replaced; absent: it is live
}

func runHistory(ctx context.Context, d deps, o historyOptions) error {
	p, err := d.publisher(ctx, o.common, nil)
	if err != nil {
		return err
	}
	states, err := p.History(ctx, o.app, o.channel, o.limit)
	if err != nil {
		return err
	}
	past := make([]pastState, len(states))
	for i, c := range states {
		past[i].Channel = c
		if i > 0 {
			past[i].Until = &states[i-1].PromotedAt
		}
	}
	if o.output == cliapp.JSON {
		return printJSON(d.Stdout, past)
	}
	rows := [][]string{{"SERIAL", "BUILD", "PROMOTED", "LIVE FOR"}}
	for _, s := range past {
		rows = append(rows, []string{fmt.Sprint(s.Serial), s.Build.Short(), stamp(s.PromotedAt, s.PromotedBy), s.liveFor(d.now())})
	}
	return ui.Table(d.Stdout, rows)
}

// liveFor says how long a state lasted.
func (s pastState) liveFor(now time.Time) string {
	if s.Until == nil {
		return "live since " + span(now.Sub(s.PromotedAt))
	}
	return span(s.Until.Sub(s.PromotedAt))
}

// span prints a duration as people say it: in its largest unit.
func span(d time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*u.size {
			return fmt.Sprintf("%d %s", d/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d seconds", max(0, int(d.Seconds())))
}
