package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
)

// Bounds of how often watch looks.
const (
	watchEvery = 5 * time.Second
	watchLeast = 2 * time.Second
	watchMost  = 10 * time.Minute
)

func watchCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "watch",
		Usage:     "status, again and again: redrawn on a terminal, elsewhere one line for each change",
		ArgsUsage: "[GROUP...] [FILE]",
		Description: "Ctrl-C ends it. A look that AWS does not answer is tried again with longer pauses; missing rights end it.\n" +
			"--output json prints one JSON object a line for each change.",
		Flags: []cli.Flag{allFlag("every group of the region, whatever the file says"), sinceFlag(),
			&cli.DurationFlag{Name: "interval", Value: watchEvery, Usage: "look every `TIME`, 2s to 10m"}, regionFlag(), profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			t, err := d.targetsOf(c)
			if err != nil {
				return err
			}
			since, err := sinceOf(c)
			if err != nil {
				return err
			}
			every := c.Duration("interval")
			if every < watchLeast || every > watchMost {
				return cliapp.Usagef("--interval %s: want %s to %s", every, watchLeast, watchMost)
			}
			w, err := d.connect(c.Context, t.common, t.region)
			if err != nil {
				return err
			}
			v := watcher{d: d, w: w, t: t, since: since, every: every}
			v.screen = screen{out: d.Stdout, size: d.size, live: d.colors() && d.Getenv("TERM") != "dumb" && t.output == cliapp.Auto}
			return v.run(c.Context)
		},
	}
}

// watcher is a watch under way.
type watcher struct {
	d            deps
	w            autoscale.World
	t            targets
	since, every time.Duration
	screen       screen
	last         []autoscale.GroupStatus
}

// run looks until ctx ends, which is how a watch is meant to end.
func (v *watcher) run(ctx context.Context) error {
	pause := v.every
	for {
		all, err := v.d.read(ctx, v.w, v.t, v.since)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			pause = v.every
			if err := v.show(all); err != nil {
				return err
			}
		case autoscale.Passing(err):
			pause = min(2*pause, watchMost)
			v.complain(err, pause)
		default:
			return err
		}
		if v.w.Sleep(ctx, pause) != nil {
			return nil
		}
	}
}

func (v *watcher) complain(err error, pause time.Duration) {
	fmt.Fprintf(v.d.Stderr, "%s %s; the next look is in %s\n", v.d.now().Format("15:04:05"), oneLine(err.Error()), pause)
	v.screen.drawn = 0 // what was drawn stays above the complaint
}

// show draws the whole, or prints what is new.
func (v *watcher) show(all []autoscale.GroupStatus) error {
	now := v.d.now()
	if v.screen.live {
		return v.screen.draw(func(s *screen) error {
			p := v.d.paints(v.t.common)
			fmt.Fprintln(s, p.in(dim, fmt.Sprintf("%s  %s in %s, every %s; Ctrl-C ends", now.Format("15:04:05"), many(len(all), "group"), v.t.region, v.every)))
			return showStatus(s, p, all)
		})
	}
	for _, c := range autoscale.StatusChanges(v.last, all, now) {
		if err := v.print(c); err != nil {
			return err
		}
	}
	v.last = all
	return nil
}

func (v *watcher) print(c autoscale.StatusChange) error {
	if v.t.output == cliapp.JSON {
		c.Time = c.Time.UTC()
		b, err := json.Marshal(c)
		if err != nil {
			return fmt.Errorf("rendering result: %w", err)
		}
		return printed(fmt.Fprintf(v.d.Stdout, "%s\n", b))
	}
	mark := ""
	if c.Bad {
		mark = "! "
	}
	return printed(fmt.Fprintf(v.d.Stdout, "%s %s%s: %s\n", c.Time.Format("15:04:05"), mark, c.Group, c.What))
}
