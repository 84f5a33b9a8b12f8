package main

import (
	"github.com/urfave/cli/v2"

	"bakehouse/bake/distribute"
	"bakehouse/internal/cliapp"
)

// copyCommand copies an image of an earlier bake.
func copyCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "copy",
		Usage:     "copy an image of an earlier bake to other regions",
		ArgsUsage: "AMI",
		Description: "Makes the copies that are missing, side by side, each with the image's name, tags, deprecation and\n" +
			"protection, and leaves alone those that exist: a second run does nothing. A copy that fails is removed\n" +
			"with its snapshots; the others stay.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "to", Usage: "`REGION[=KMSKEY]` to copy to, repeatable; the key is of that region. An encrypted image needs one for each"},
		}, redoFlags()...),
		Action: d.copy,
	}
}

func (d deps) copy(c *cli.Context) error {
	o, err := d.readRedo(c)
	if err != nil {
		return err
	}
	if len(c.StringSlice("to")) == 0 {
		return cliapp.Usagef("nothing says where to copy to: add --to REGION")
	}
	if o.wishes.Copies, err = distribute.ParseTargets("--to", c.StringSlice("to")); err != nil {
		return err
	}
	return d.redo(c, o)
}
