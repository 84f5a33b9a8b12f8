package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/urfave/cli/v2"

	"bakehouse/bake/ami"
	"bakehouse/bake/retain"
	"bakehouse/internal/cliapp"
)

func pruneCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "prune",
		Usage: "remove old images that nobody uses",
		Description: "Deregisters images of the roles that are older than --older-than and not among the newest --keep of their\n" +
			"role, architecture and environment, with their snapshots. Never one that an instance, a launch template,\n" +
			"an Auto Scaling group or an SSM parameter uses, or that EC2 knows any other use of, nor one that is\n" +
			"protected, shared or unfinished (sweep takes those). Each region is decided by itself. When one place\n" +
			"cannot be looked into, nothing is removed.",
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "role", Aliases: []string{"r"}, Usage: "prune images of the Chef role `NAME`, repeatable"},
			&cli.IntFlag{Name: "keep", DefaultText: "age alone decides", Usage: "keep the newest `N` of each role, architecture and environment"},
			&cli.StringFlag{Name: "older-than", Usage: "keep what is younger than `AGE`, as 30d"},
			&cli.BoolFlag{Name: "despite-shares", Usage: "remove images, too, that other accounts may launch: whether they do cannot be seen from here"},
			&cli.IntFlag{Name: "template-versions", DefaultText: "20", Usage: "count the latest `N` versions of each launch template as use; the default version and those that groups name always count"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be removed, and why, and remove nothing"},
			cliapp.YesFlag(),
		}, catalogFlags()...),
		Action: d.prune,
	}
}

// roleFilter selects images by --role; none selects all.
func roleFilter(c *cli.Context) []types.Filter {
	if roles := c.StringSlice("role"); len(roles) > 0 {
		return []types.Filter{ami.Filter("tag:"+ami.TagRole, roles...)}
	}
	return nil
}

// prunePolicy reads the flags, and refuses what selects nothing or everything.
func prunePolicy(c *cli.Context) (p retain.Policy, err error) {
	if p.Roles, err = pruneRoles(c); err != nil {
		return p, err
	}
	p.Keep, p.DespiteShares, p.Templates = c.Int("keep"), c.Bool("despite-shares"), c.Int("template-versions")
	if p.OlderThan, err = age("--older-than", c.String("older-than")); err != nil {
		return p, err
	}
	return p, p.Check()
}

// pruned is what prune prints as JSON.
type pruned struct {
	retain.Plan
	DryRun  bool             `json:"dry_run"`
	Removed []retain.Removed `json:"removed,omitempty"`
}

func (d deps) prune(c *cli.Context) error {
	policy, err := prunePolicy(c)
	if err != nil {
		return err
	}
	o, err := d.readCatalog(c)
	if err != nil {
		return err
	}
	k, err := d.catalog(c.Context, o)
	if err != nil {
		return err
	}
	reporter := d.Reporter(o.output, d.now)
	defer reporter.Close()
	p := retain.Pruner{Region: k.retain, Clock: k.clock, Say: reporter.Info}
	plan, err := p.Plan(c.Context, o.regions, policy)
	if err != nil {
		return err
	}
	result, text := pruned{Plan: plan, DryRun: o.dryRun}, plan.Text()
	if !o.dryRun && !plan.Empty() {
		if !c.Bool("yes") {
			reporter.Close()
			fmt.Fprint(d.Stderr, text)
			if err := d.Ask(d.Interactive(), fmt.Sprintf("remove %d images?", plan.Count())); err != nil {
				return err
			}
		}
		result.Removed, err = p.Apply(c.Context, plan)
		text += removedText(result.Removed)
	}
	reporter.Close()
	return firstOf(err, d.print(o.output, result, text))
}

func removedText(all []retain.Removed) string {
	var b strings.Builder
	for _, r := range all {
		fmt.Fprintf(&b, "%-7s %-22s %s %s\n", r.Result, r.ImageID, r.Region, strings.TrimSpace(r.Reason+" "+strings.Join(r.Snapshots, " ")))
	}
	return b.String()
}
