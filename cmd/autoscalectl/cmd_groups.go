package main

import (
	"cmp"
	"errors"
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
		Name:      "import",
		Usage:     "write groups that exist as a file, on standard output",
		ArgsUsage: "GROUP...",
		Description: "A plan of what it writes is empty. What a file cannot say is left out, and a note on standard error says so.\n" +
			"One half of a group with mode backstop brings the other along: both are written under one name.",
		Flags: []cli.Flag{regionFlag(), profileFlag()},
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
			s, notes, err := autoscale.ImportNotes(c.Context, w, o.region, c.Args().Slice())
			if err != nil {
				return err
			}
			for _, note := range notes {
				fmt.Fprintln(d.Stderr, "note: "+note)
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
		Description: "Alarms go first, then the group. The launch template stays. A run that failed can be run again, and finishes.",
		Flags:       []cli.Flag{liftFlag(), cliapp.YesFlag(), regionFlag(), profileFlag(), cliapp.OutputFlag()},
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
			p, err := autoscale.DestroyGroup(c.Context, w, o.region, args[0], c.Bool("lift"))
			if err != nil {
				return d.blocked(o, err)
			}
			return d.execute(c.Context, o, c.Bool("yes"), planned{world: w, plan: p, nothing: "Nothing to do: AWS is deleting the group already."})
		},
	}
}

func liftFlag() cli.Flag {
	return &cli.BoolFlag{Name: "lift", Usage: "take away what blocks the deletion: protection, hooks, warm pool, a running refresh"}
}

// blocked lists what blocks a deletion, when that is what err says.
func (d deps) blocked(o common, err error) error {
	var b *autoscale.BlockedError
	if !errors.As(err, &b) {
		return err
	}
	if o.output == cliapp.JSON {
		return errors.Join(err, printJSON(d.Stdout, map[string]any{"blockers": b.Blockers}))
	}
	for _, one := range b.Blockers {
		fmt.Fprintf(d.Stderr, "%s: %s (%s)\n", one.Group, one.What, one.Lift)
	}
	return err
}

// maxShare is how much of an owner's groups a prune takes without being told.
const maxShare = 0.2

func pruneCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "prune",
		Usage:       "delete the groups that carry the mark of the file's owner and are not in the file",
		ArgsUsage:   "[FILE...]",
		Description: "Give all files of the owner in the region. Groups without the mark are listed and left alone. The mark is the tag " + autoscale.OwnerTag + ", written by apply when the file has owner: NAME.",
		Flags: []cli.Flag{cliapp.YesFlag(), &cli.Float64Flag{Name: "max-share", Value: maxShare, Usage: "refuse to delete more than this `SHARE` of the owner's groups, 0 to 1"},
			liftFlag(), profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			o, files, err := filesOf(c)
			if err != nil {
				return err
			}
			share := c.Float64("max-share")
			if !(share >= 0 && share <= 1) {
				return cliapp.Usagef("--max-share %v: want 0 to 1", share)
			}
			s, err := d.loadOne(files)
			if err != nil {
				return err
			}
			w, err := d.connect(c.Context, o, s.Region)
			if err != nil {
				return err
			}
			p, foreign, err := autoscale.Prune(c.Context, w, s, autoscale.PruneOptions{MaxShare: share, Lift: c.Bool("lift")})
			for _, f := range foreign {
				fmt.Fprintf(d.Stderr, "not ours, left alone: %s (owner %s)\n", f.Group, cmp.Or(f.Owner, "unknown"))
			}
			if err != nil {
				return d.blocked(o, err)
			}
			return d.execute(c.Context, o, c.Bool("yes"), planned{world: w, plan: p, nothing: "Nothing to delete: every group with the mark of owner " + s.Owner + " is in the file."})
		},
	}
}
