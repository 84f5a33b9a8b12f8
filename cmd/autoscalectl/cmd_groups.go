package main

import (
	"cmp"
	"fmt"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
)

// inRegion reads the flags of a command that has no file.
func inRegion(c *cli.Context) (common, error) {
	o, err := commonOf(c, "")
	if err == nil && o.region == "" {
		err = cliapp.Usagef("missing --region REGION")
	}
	return o, err
}

func importCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "import",
		Usage:       "write groups that exist as a file, on standard output",
		ArgsUsage:   "GROUP...",
		Description: "A plan of what it writes is empty. Alarms are left out when one of them sets off nothing that a file can name.",
		Flags:       []cli.Flag{regionFlag(), profileFlag()},
		Action: func(c *cli.Context) error {
			o, err := inRegion(c)
			if err != nil {
				return err
			}
			if c.NArg() == 0 {
				return cliapp.Usagef("missing argument GROUP")
			}
			w, err := d.connect(c.Context, o, o.region)
			if err != nil {
				return err
			}
			s, err := autoscale.Import(c.Context, w, o.region, c.Args().Slice())
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

func destroyCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "destroy",
		Usage:       "delete one group with its instances and alarms; what would block it is listed instead",
		ArgsUsage:   "GROUP",
		Description: "The launch template stays.",
		Flags:       []cli.Flag{cliapp.YesFlag(), regionFlag(), profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			args, err := cliapp.Arguments(c, "GROUP")
			if err != nil {
				return err
			}
			o, err := inRegion(c)
			if err != nil {
				return err
			}
			w, err := d.connect(c.Context, o, o.region)
			if err != nil {
				return err
			}
			p, err := autoscale.DestroyGroup(c.Context, w, o.region, args[0])
			if err != nil {
				return err
			}
			return d.execute(c.Context, o, c.Bool("yes"), planned{world: w, plan: p})
		},
	}
}

// maxShare is how much of an owner's groups a prune takes without being told.
const maxShare = 0.2

func pruneCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "prune",
		Usage:       "delete the groups that carry the mark of the file's owner and are not in the file",
		ArgsUsage:   "[FILE]",
		Description: "Groups without the mark are listed and left alone. The mark is the tag " + autoscale.OwnerTag + ", written by apply when the file has owner: NAME.",
		Flags: []cli.Flag{cliapp.YesFlag(), &cli.Float64Flag{Name: "max-share", Value: maxShare, Usage: "refuse to delete more than this `SHARE` of the owner's groups, 0 to 1"},
			profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			o, err := fileOf(c)
			if err != nil {
				return err
			}
			s, err := d.load(o)
			if err != nil {
				return err
			}
			w, err := d.connect(c.Context, o, s.Region)
			if err != nil {
				return err
			}
			p, foreign, err := autoscale.Prune(c.Context, w, s, autoscale.PruneOptions{MaxShare: c.Float64("max-share")})
			if err != nil {
				return err
			}
			for _, f := range foreign {
				fmt.Fprintf(d.Stderr, "not ours, left alone: %s (owner %s)\n", f.Group, cmp.Or(f.Owner, "unknown"))
			}
			return d.execute(c.Context, o, c.Bool("yes"), planned{world: w, plan: p})
		},
	}
}
