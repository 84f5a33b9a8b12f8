package main

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
)

// filesOf reads the arguments FILE... and the flags; common's file is all of
// them, as they stand on a command line.
func filesOf(c *cli.Context) (common, []string, error) {
	files := c.Args().Slice()
	if len(files) == 0 {
		files = []string{defaultFile}
	}
	o, err := commonOf(c, strings.Join(files, " "))
	return o, files, err
}

// loadAll reads files of any regions, one Spec each.
func (d deps) loadAll(files []string) ([]autoscale.Spec, error) {
	var all []autoscale.File
	for _, name := range files {
		b, err := d.readFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, autoscale.File{Name: name, Text: b})
	}
	return autoscale.ParseFiles(all)
}

// loadOne reads files that have one region and one owner together.
func (d deps) loadOne(files []string) (autoscale.Spec, error) {
	all, err := d.loadAll(files)
	if err != nil {
		return autoscale.Spec{}, err
	}
	if all = autoscale.Together(all); len(all) > 1 {
		return autoscale.Spec{}, cliapp.Usagef("the files have several regions, owners or formats: give those of one at a time")
	}
	return all[0], nil
}

// batch is a plan for each region and owner of several files.
type batch []planned

func (d deps) plans(ctx context.Context, o common, files []string, opt autoscale.DiffOptions) (batch, error) {
	specs, err := d.loadAll(files)
	if err != nil {
		return nil, err
	}
	var out batch
	for _, s := range autoscale.Together(specs) {
		p := planned{file: o.file, spec: s}
		if p.world, err = d.connect(ctx, o, s.Region); err != nil {
			return nil, err
		}
		if p.observed, err = autoscale.Observe(ctx, p.world, s); err != nil {
			return nil, err
		}
		if p.plan, err = autoscale.Diff(s, p.observed, opt); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// whole is the batch as one plan, to be shown.
func (b batch) whole() planned {
	out := planned{file: b[0].file}
	var regions []string
	for _, p := range b {
		if len(regions) == 0 || regions[len(regions)-1] != p.spec.Region {
			regions = append(regions, p.spec.Region)
		}
		out.plan.Changes = append(out.plan.Changes, p.plan.Changes...)
		out.plan.Warnings = append(out.plan.Warnings, p.plan.Warnings...)
		out.plan.Promises = append(out.plan.Promises, p.plan.Promises...)
	}
	out.spec.Region = strings.Join(regions, ", ")
	return out
}

// executeAll shows all plans, asks once, and carries them out one after the
// other: what fails in one region does not stop the next.
func (d deps) executeAll(ctx context.Context, o common, yes bool, b batch) error {
	whole := b.whole()
	wanted, err := d.agreed(o, yes, whole)
	if err != nil {
		return err
	}
	if !wanted {
		return d.result(o, whole.plan, nil, nil)
	}
	r := d.Reporter(o.output, d.now)
	defer r.Close()
	var outcomes []autoscale.Outcome
	var failed []error
	for _, p := range b {
		some, err := p.plan.Apply(ctx, p.world, p.observed, progress{r})
		outcomes = append(outcomes, some...)
		if err != nil {
			failed = append(failed, err)
		}
	}
	err = d.result(o, whole.plan, outcomes, nil)
	if len(failed) == 1 {
		return failed[0]
	}
	if len(failed) > 1 {
		return errors.Join(failed...)
	}
	return err
}

func schemaCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "schema",
		Usage:       "print the JSON Schema of the file, by which editors complete and check it",
		Description: "A first line `# yaml-language-server: $schema=autoscale.schema.json` tells many editors to use it.",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "keys", Usage: "list every key in Markdown instead", DisableDefaultText: true}},
		Action: func(c *cli.Context) error {
			if c.Bool("keys") {
				return printed(d.Stdout.Write(autoscale.Reference()))
			}
			b, err := autoscale.Schema()
			if err != nil {
				return err
			}
			return printed(d.Stdout.Write(b))
		},
	}
}
