package main

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake/ami"
	"bakehouse/internal/cliapp"
)

// listed is an image as list prints it.
type listed struct {
	Region   string `json:"region"`
	Standing string `json:"standing"` // available, deprecated, unproven, unfinished, or EC2's state
	ami.Image
}

func listCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "list",
		Usage:       "list the images that bakes made, newest first",
		Description: "Shows every image of this account that carries a bake's tags, region by region.",
		Flags:       append([]cli.Flag{&cli.StringSliceFlag{Name: "role", Aliases: []string{"r"}, Usage: "only images of the Chef role `NAME`, repeatable"}}, catalogFlags()...),
		Action:      d.list,
	}
}

func (d deps) list(c *cli.Context) error {
	o, err := d.readCatalog(c)
	if err != nil {
		return err
	}
	k, err := d.catalog(c.Context, o)
	if err != nil {
		return err
	}
	all := []listed{}
	for _, region := range o.regions {
		found, err := ami.List(c.Context, k.publish(region).EC2, roleFilter(c)...)
		if err != nil {
			return fmt.Errorf("%s: %w", region, err)
		}
		for _, i := range found {
			all = append(all, listed{region, standing(i, k.clock.Now()), i})
		}
	}
	return d.print(o.output, struct {
		Images []listed `json:"images"`
	}{all}, listText(all))
}

func listText(all []listed) string {
	if len(all) == 0 {
		return "no bake's image was found\n"
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tREGION\tROLE\tCREATED\tSTATE\tPROOF\tARCH\tNAME")
	for _, i := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.Region, i.Role, i.Created.UTC().Format(time.RFC3339), i.Standing,
			cmp.Or(i.Tags[ami.TagProof], "none"), i.Arch, i.Name)
	}
	_ = w.Flush() // to a string: it cannot fail
	return b.String()
}

// pruneRoles refuses a run without a selector, before anybody is asked.
func pruneRoles(c *cli.Context) ([]string, error) {
	roles := c.StringSlice("role")
	if len(roles) == 0 {
		return nil, cliapp.Usagef("nothing says whose images are to be pruned: add --role NAME")
	}
	return roles, nil
}
