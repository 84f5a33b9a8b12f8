package main

import (
	"context"
	"errors"
	"fmt"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/ui"
)

// runAll bakes several roles side by side.
func (d deps) runAll(ctx context.Context, w bake.World, o options, reporter *ui.Reporter) error {
	plans, err := w.ResolveAll(ctx, o.roles)
	if err != nil {
		return d.refused(o, err)
	}
	if o.dryRun {
		reporter.Close()
		return d.tryPlans(ctx, w, o, plans)
	}
	for _, p := range plans {
		reporter.Info(headline(p))
	}
	reports, err := w.BakeAll(ctx, plans)
	for i := range reports.Bakes {
		w.AddInventory(ctx, &reports.Bakes[i])
	}
	reporter.Close()
	return d.finishAll(o, reports, err)
}

// finishAll writes the one report of all bakes, and prints ROLE and image a
// line for those that have one.
func (d deps) finishAll(o options, r bake.Reports, failed error) error {
	text, err := r.JSON()
	if err != nil {
		return errors.Join(failed, err)
	}
	failed = firstOf(failed, o.writeReport(r.Bakes), o.files.write(r.Bakes))
	d.announce(o.output, r.Bakes)
	if o.output == cliapp.JSON {
		_, err = d.Stdout.Write(text)
		return firstOf(failed, err)
	}
	for _, b := range r.Bakes {
		if b.ImageID != "" {
			_, werr := fmt.Fprintln(d.Stdout, b.Role, b.ImageID)
			err = firstOf(err, werr)
		}
	}
	return firstOf(failed, err)
}
