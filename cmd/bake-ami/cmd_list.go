package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake/ami"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/ui"
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
	rows := [][]string{{"IMAGE", "REGION", "ROLE", "CREATED", "STATE", "PROOF", "ARCH", "NAME"}}
	for _, i := range all {
		rows = append(rows, []string{i.ID, i.Region, i.Role, i.Created.UTC().Format(time.RFC3339), string(i.Standing), cmp.Or(i.Tags[ami.TagProof], "none"), i.Arch, i.Name})
	}
	var b strings.Builder
	_ = ui.Table(&b, rows) // to a string: it cannot fail
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
