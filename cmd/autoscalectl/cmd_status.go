package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

// Bounds of how far back a look goes. AWS keeps activities for six weeks.
const (
	lookBack    = time.Hour
	maxLookBack = 42 * 24 * time.Hour
)

func sinceFlag() cli.Flag {
	return &cli.DurationFlag{Name: "since", Value: lookBack, Usage: "look at activities and ended refreshes of the last `TIME`"}
}

// sinceOf reads --since.
func sinceOf(c *cli.Context) (time.Duration, error) {
	since := c.Duration("since")
	if since <= 0 || since > maxLookBack {
		return 0, cliapp.Usagef("--since %s: want more than 0 and at most %s, which is how long AWS keeps activities", since, maxLookBack)
	}
	return since, nil
}

func statusCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "status",
		Usage:     "say how groups fare: instances by state and version, refreshes, what failed and why",
		ArgsUsage: "[GROUP...] [FILE]",
		Description: "Without GROUP it is about the groups of FILE; with --all about every group of the region. A group to look at has a ! and\n" +
			"what is wrong, with the cause as a class: capacity, quota, image, permission, configuration, throttled, hook abandoned, health.",
		Flags: []cli.Flag{allFlag("every group of the region, whatever the file says"), sinceFlag(),
			&cli.BoolFlag{Name: "exit-code", Usage: "end with code 4 when a group has trouble"}, regionFlag(), profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			t, err := d.targetsOf(c)
			if err != nil {
				return err
			}
			since, err := sinceOf(c)
			if err != nil {
				return err
			}
			w, err := d.connect(c.Context, t.common, t.region)
			if err != nil {
				return err
			}
			all, err := d.read(c.Context, w, t, since)
			if err != nil {
				return err
			}
			if err := d.printStatus(t, all); err != nil {
				return err
			}
			return troubled(c, all)
		},
	}
}

func (d deps) read(ctx context.Context, w autoscale.World, t targets, since time.Duration) ([]autoscale.GroupStatus, error) {
	return autoscale.ReadStatus(ctx, w, autoscale.StatusOptions{Names: t.names, Since: since})
}

func (d deps) printStatus(t targets, all []autoscale.GroupStatus) error {
	if t.output == cliapp.JSON {
		if all == nil {
			all = []autoscale.GroupStatus{}
		}
		return printJSON(d.Stdout, all)
	}
	return showStatus(d.Stdout, d.paints(t.common), all)
}

// troubled is the error of --exit-code.
func troubled(c *cli.Context, all []autoscale.GroupStatus) error {
	n, first := 0, ""
	for _, s := range all {
		if !s.Well() {
			if n++; n == 1 {
				first = s.Group
			}
		}
	}
	if n == 0 || !c.Bool("exit-code") {
		return nil
	}
	return fault.Newf(fault.Check, "autoscalectl status "+first, "%d of %d groups have trouble", n, len(all))
}
