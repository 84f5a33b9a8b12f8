package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
)

func expandCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "expand",
		Usage:     "write the file with modes and short forms written out, on standard output",
		ArgsUsage: "[FILE]",
		Description: "It asks nobody. What it writes is a file of version 2 that plans the same: modes have become groups and mixed policies,\n" +
			"queue, requests_per_target, latency and hours have become policies, alarms and scheduled actions. Comments say what a plan\n" +
			"adds, and what groups on spot can be counted on for.",
		Flags: []cli.Flag{&cli.StringSliceFlag{Name: "group", Usage: "write only this `GROUP` of the file; again for more"}},
		Action: func(c *cli.Context) error {
			o, err := fileOf(c)
			if err != nil {
				return err
			}
			s, err := d.load(o)
			if err != nil {
				return err
			}
			if s, err = only(s, o.file, c.StringSlice("group")); err != nil {
				return err
			}
			expanded := autoscale.Expand(s)
			b, err := autoscale.Encode(expanded)
			if err != nil {
				return err
			}
			return printed(fmt.Fprintf(d.Stdout, "%s%s", remarks(s, expanded), b))
		},
	}
}

// only keeps the groups that were asked for; none asked for are all.
func only(s autoscale.Spec, file string, names []string) (autoscale.Spec, error) {
	if len(names) == 0 {
		return s, nil
	}
	kept := map[string]autoscale.Group{}
	for _, name := range names {
		g, there := s.Groups[name]
		if !there {
			return s, cliapp.Usagef("--group %s: %s has no such group", name, file)
		}
		kept[name] = g
	}
	s.Groups = kept
	s.Warnings = slices.DeleteFunc(slices.Clone(s.Warnings), func(w autoscale.Warning) bool { _, keep := kept[w.Group]; return !keep })
	return s, nil
}

// remarks are what the written file cannot say itself, as comments.
func remarks(s, expanded autoscale.Spec) string {
	var lines []string
	for _, n := range expanded.Collecting() {
		lines = append(lines, "a plan collects "+strings.Join(n.Metrics, ", ")+" of "+n.Group+": "+n.Why)
	}
	for _, p := range autoscale.Promises(s) {
		lines = append(lines, "promise: "+p.String())
		for _, r := range p.Reasons {
			lines = append(lines, "  "+r)
		}
	}
	for _, w := range s.Warnings {
		lines = append(lines, w.String())
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "# %s\n", l)
	}
	return b.String()
}
