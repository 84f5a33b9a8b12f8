package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/internal/ui"
	"bakehouse/reap"
)

func explainCommand(d deps) *cli.Command {
	return &cli.Command{
		Name: "explain", ArgsUsage: "NODE",
		Usage: "say what a run would do with one node or client, and why",
		Flags: flags(), Action: func(c *cli.Context) error { return startExplain(c, d) },
	}
}

func startExplain(c *cli.Context, d deps) error {
	args, err := cliapp.Arguments(c, "NODE")
	if err != nil {
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
	p, _, err := w.reaper.Plan(c.Context)
	if err != nil {
		return err
	}
	one, found := p.Find(args[0])
	if !found {
		return fault.Newf(fault.Check, "check the name: knife node list, knife client list", "explaining %s: it is neither a node nor a client that could be an instance's", args[0])
	}
	if o.output == cliapp.JSON {
		return printJSON(d.Stdout, one)
	}
	rows := explanation(one)
	for _, why := range p.Tripped {
		rows = append(rows, []string{"but", "nothing would be deleted: " + why})
	}
	if p.LookOnly {
		rows = append(rows, []string{"but", lookOnly})
	}
	return ui.Table(d.Stdout, rows)
}

func explanation(d reap.Decision) [][]string {
	rows := [][]string{{"name", d.Name}, {"kind", string(d.Kind)}, {"verdict", string(d.Verdict)}, {"reason", string(d.Reason)},
		{"because", because(d)}}
	for _, r := range [][]string{{"detail", d.Detail}, {"instance", d.InstanceID}, {"bake", d.BakeID}, {"account", d.Account}, {"region", d.Region}, {"EC2 says", d.State}} {
		if r[1] != "" {
			rows = append(rows, r)
		}
	}
	if d.AbsentSince != nil {
		rows = append(rows, []string{"absent since", d.AbsentSince.Format(time.RFC3339)})
	}
	return rows
}

// because puts a reason in words.
func because(d reap.Decision) string {
	words := map[reap.Reason]string{
		reap.Terminated:      "EC2 calls its instance terminated, and that is final",
		reap.AbsentConfirmed: "EC2 has not shown its instance for a whole grace, run after run",
		reap.Absent:          "EC2 does not show its instance; that has to stay so for the grace",
		reap.Alive:           "its instance exists",
		reap.Young:           "it is younger than min_age",
		reap.Restored:        "undo brought it back, and it is held",
		reap.Protected:       "the reaper signs as it",
		reap.OtherPlace:      "its account or region is not among those that are read",
		reap.NoPlace:         "neither the node, EC2 nor the ledger says where its instance would be",
		reap.Contradiction:   "what is known of it does not agree",
		reap.BadID:           "what it claims is no instance id",
		reap.StrangeState:    "EC2 gives a state that is not documented",
		reap.NotOurs:         "it has no marker of ours, and no rule takes it",
	}
	return fmt.Sprint(words[d.Reason])
}
