package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

func resetFlag() cli.Flag {
	return &cli.BoolFlag{Name: "reset-capacity", Usage: "write the initial capacity of the file on groups that exist, too"}
}

func planCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "say what apply would change, and why; needs only read rights",
		ArgsUsage: "[FILE...]",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "exit-code", Usage: "end with code 10 when there is something to change"},
			&cli.BoolFlag{Name: "json", Usage: "the same as --output json", DisableDefaultText: true}, &cli.StringFlag{Name: "html", Usage: "write the plan as a page to `PATH` as well"},
			resetFlag(), profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			o, files, err := filesOf(c)
			if err != nil {
				return err
			}
			if err := checkPage(c.String("html")); err != nil {
				return err
			}
			b, err := d.plans(c.Context, o, files, autoscale.DiffOptions{ResetCapacity: c.Bool("reset-capacity")})
			if err != nil {
				return err
			}
			p := b.whole()
			if page := c.String("html"); page != "" {
				if err := writePage(page, viewOf(p, d.now())); err != nil {
					return err
				}
			}
			if err := d.printPlanned(o, p.plan); err != nil {
				return err
			}
			if c.Bool("exit-code") && !p.plan.Empty() {
				return fault.New(fault.Changes, "autoscalectl apply "+o.file, errors.New("the plan has "+changes(len(p.plan.Changes))))
			}
			return nil
		},
	}
}

// printPlanned prints a plan in the form that was asked for.
func (d deps) printPlanned(o common, p autoscale.Plan) error {
	if o.output != cliapp.JSON {
		return printPlan(d.Stdout, d.paints(o), p)
	}
	if p.Changes == nil {
		p.Changes = []autoscale.Change{}
	}
	return printJSON(d.Stdout, p)
}

func applyCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "apply",
		Usage:       "make AWS match the file; asks first on a terminal",
		ArgsUsage:   "[FILE...]",
		Description: "Several files may be of several regions; a group stands in one of them.",
		Flags:       []cli.Flag{cliapp.YesFlag(), resetFlag(), profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			o, files, err := filesOf(c)
			if err != nil {
				return err
			}
			b, err := d.plans(c.Context, o, files, autoscale.DiffOptions{ResetCapacity: c.Bool("reset-capacity")})
			if err != nil {
				return err
			}
			return d.executeAll(c.Context, o, c.Bool("yes"), b)
		},
	}
}

// checked is one file in the JSON of validate.
type checked struct {
	File     string              `json:"file"`
	Version  int                 `json:"version"`
	Region   string              `json:"region"`
	Groups   []string            `json:"groups"`
	Warnings []autoscale.Warning `json:"warnings"`
}

func validateCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "check files without asking AWS, and warn of what will most likely not work",
		ArgsUsage: "[FILE...]",
		Flags:     []cli.Flag{cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			o, files, err := filesOf(c)
			if err != nil {
				return err
			}
			specs, err := d.loadAll(files)
			if err != nil {
				return err
			}
			return d.printChecked(o, files, specs)
		},
	}
}

func (d deps) printChecked(o common, files []string, specs []autoscale.Spec) error {
	if o.output == cliapp.JSON {
		var all []checked
		for i, s := range specs {
			all = append(all, checked{files[i], s.Version, s.Region, s.Names(), append([]autoscale.Warning{}, s.Warnings...)})
		}
		if len(all) == 1 {
			return printJSON(d.Stdout, all[0])
		}
		return printJSON(d.Stdout, map[string]any{"files": all})
	}
	for i, s := range specs {
		if err := printWarnings(d.Stdout, d.paints(o), s.Warnings); err != nil {
			return err
		}
		format := "version 2"
		if s.Version == 1 {
			format = "the format of 2013"
		}
		if err := printed(fmt.Fprintf(d.Stdout, "%s: valid (%s, region %s, %s)\n", files[i], format, s.Region, many(len(s.Groups), "group"))); err != nil {
			return err
		}
	}
	return nil
}

func upgradeCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "upgrade",
		Usage:       "write a file of 2013 in the format of version 2, on standard output",
		ArgsUsage:   "[FILE]",
		Description: "The new file means the same. Comments are not kept.",
		Action: func(c *cli.Context) error {
			o, err := fileOf(c)
			if err != nil {
				return err
			}
			s, err := d.load(o)
			if err != nil {
				return err
			}
			b, err := autoscale.Encode(s)
			if err != nil {
				return err
			}
			return printed(d.Stdout.Write(b))
		},
	}
}
