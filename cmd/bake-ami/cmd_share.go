package main

import (
	"github.com/urfave/cli/v2"

	"bakehouse/bake/distribute"
	"bakehouse/internal/cliapp"
)

// shareCommand shares an image of an earlier bake.
func shareCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "share",
		Usage:     "share an image of an earlier bake with other accounts",
		ArgsUsage: "AMI",
		Description: "Gives the image to those who lack it, and its snapshots to the accounts among them; EC2 shares no\n" +
			"snapshots with organisations. Nobody's share is taken away, and a second run does nothing. Copies in\n" +
			"other regions are images of their own: share each with its own id and --region.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "with", Usage: "`WHOM` to share with, repeatable: an account's 12 digits, or the ARN of an organisation or of one of its units"},
		}, redoFlags()...),
		Action: d.share,
	}
}

func (d deps) share(c *cli.Context) error {
	o, err := d.readRedo(c)
	if err != nil {
		return err
	}
	if len(c.StringSlice("with")) == 0 {
		return cliapp.Usagef("nothing says whom to share with: add --with ACCOUNT|ARN")
	}
	if o.wishes.Share, err = distribute.ParseAudience("--with", c.StringSlice("with")); err != nil {
		return err
	}
	return d.redo(c, o)
}
