package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/internal/ui"
	"bakehouse/reap"
)

func undoCommand(d deps) *cli.Command {
	return &cli.Command{
		Name: "undo", ArgsUsage: "[RUN] [NAME...]",
		Usage: "put back what a run removed; without RUN: list the runs",
		Description: "Nodes and clients come back as they were, with the client's public key, and are held:\n" +
			"no run removes them again before --hold is over. What exists already is left as it is.",
		Flags:  append(flags(), &cli.DurationFlag{Name: "hold", Value: 24 * time.Hour, Usage: "keep what comes back for `DURATION`, whatever EC2 says"}),
		Action: func(c *cli.Context) error { return startUndo(c, d) },
	}
}

func startUndo(c *cli.Context, d deps) error {
	if c.Duration("hold") <= 0 {
		return cliapp.Usagef("--hold %v: want a positive duration", c.Duration("hold"))
	}
	o, err := d.optionsOf(c)
	if err != nil {
		return err
	}
	w, err := d.world(c.Context, o)
	if err != nil {
		return err
	}
	if c.Args().First() == "" {
		return listRuns(c, d, o, w)
	}
	done, err := w.reaper.Undo(c.Context, w.restorer, reap.Undo{Run: c.Args().First(), Names: c.Args().Tail(), Hold: c.Duration("hold")})
	if err != nil && len(done) == 0 {
		return err
	}
	if o.output == cliapp.JSON {
		return cmp.Or(err, printJSON(d.Stdout, done))
	}
	rows := [][]string{{"NAME", "NODE", "CLIENT"}}
	for _, u := range done {
		rows = append(rows, []string{u.Name, u.Node, u.Client})
	}
	return cmp.Or(err, ui.Table(d.Stdout, rows))
}

func listRuns(c *cli.Context, d deps, o options, w world) error {
	runs, names, err := reap.Runs(c.Context, w.reaper.Saves)
	if err != nil {
		return err
	}
	if o.output == cliapp.JSON {
		return printJSON(d.Stdout, names)
	}
	if len(runs) == 0 {
		return fault.Newf(fault.Check, "name the place of the saves with --saves", "listing runs: nothing was removed yet, as far as %s knows", w.reaper.Saves)
	}
	rows := [][]string{{"RUN", "REMOVED", "NAMES"}}
	for _, run := range runs {
		all := names[run]
		shown := strings.Join(all[:min(3, len(all))], " ")
		if len(all) > 3 {
			shown += " ..."
		}
		rows = append(rows, []string{run, fmt.Sprint(len(all)), shown})
	}
	return ui.Table(d.Stdout, rows)
}
