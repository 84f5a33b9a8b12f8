package main

import (
	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/reap"
)

func planFlags() []cli.Flag {
	return append(flags(),
		&cli.BoolFlag{Name: "all", Usage: "list what stays for good reasons, too"},
		&cli.BoolFlag{Name: "exit-code", Usage: "end with 10 when something would be removed, with 4 when the breaker would trip"})
}

func planCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "say what a run would remove, and why; change nothing",
		Flags: planFlags(), Action: func(c *cli.Context) error { return startPlan(c, d) },
	}
}

func startPlan(c *cli.Context, d deps) error {
	if _, err := cliapp.Arguments(c); err != nil {
		return err
	}
	o, err := d.optionsOf(c)
	if err != nil {
		return err
	}
	w, err := d.world(c.Context, o)
	if err != nil {
		return err
	}
	p, reading, err := w.reaper.Plan(c.Context)
	if err != nil {
		return err
	}
	if o.output == cliapp.JSON {
		err = printPlanJSON(d.Stdout, p, c.Bool("all"))
	} else {
		err = printPlan(d.Stdout, p, reading, c.Bool("all"))
	}
	if err != nil || !c.Bool("exit-code") {
		return err
	}
	return planCode(p)
}

func planCode(p reap.Plan) error {
	switch {
	case len(p.Tripped) > 0:
		return fault.Newf(fault.Check, "look at the plan", "planning: the breaker would trip: %s", p.Tripped[0])
	case !p.Empty():
		return fault.Newf(fault.Changes, "chef-reaper run --once", "planning: %d to remove", p.Counts.Reap)
	}
	return nil
}
