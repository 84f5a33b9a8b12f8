package main

import (
	"fmt"
	"io"
	"strings"

	"bakehouse/autoscale"
)

// heading names the group of c, and what it is half of.
func heading(c autoscale.Change) string {
	switch {
	case c.PartOf == "":
		return c.Group
	case c.PartOf == c.Group:
		return c.Group + " (its spot half)"
	}
	return c.Group + " (the on-demand half of " + c.PartOf + ")"
}

// notes are what a plan says beside its changes: warnings, and what can be
// counted on.
func notes(b *strings.Builder, p painter, plan autoscale.Plan) {
	for _, w := range plan.Warnings {
		fmt.Fprintf(b, "%s\n", p.in(yellow, w.String()))
	}
	for _, one := range plan.Promises {
		fmt.Fprintf(b, "%s\n", p.in(dim, "promise: "+one.String()))
	}
}

func printWarnings(w io.Writer, p painter, all []autoscale.Warning) error {
	for _, one := range all {
		if err := printed(fmt.Fprintln(w, p.in(yellow, one.String()))); err != nil {
			return err
		}
	}
	return nil
}
