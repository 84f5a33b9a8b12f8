package main

import (
	"fmt"
	"io"
	"strings"

	"bakehouse/autoscale"
)

// heading names the group of c, what it is half of, and its region when there
// are several.
func heading(c autoscale.Change, regions int) string {
	name := c.Group
	switch {
	case c.PartOf == "":
	case c.PartOf == c.Group:
		name += " (its spot half)"
	default:
		name += " (the on-demand half of " + c.PartOf + ")"
	}
	if regions > 1 {
		name += " in " + c.Region
	}
	return name
}

// regionsOf counts the regions of a plan.
func regionsOf(p autoscale.Plan) int {
	seen := map[string]bool{}
	for _, c := range p.Changes {
		seen[c.Region] = true
	}
	return len(seen)
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
