package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake/ami"
	"bakehouse/bake/retain"
)

// shown is all that is known of an image.
type shown struct {
	listed
	Copies     []listed           `json:"copies"` // in the other regions named
	References []retain.Reference `json:"references"`
}

func showCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show all that is known of an image",
		ArgsUsage: "AMI",
		Description: "Prints what EC2 and the image's tags say: proof, base, inputs, snapshots; its copies in the other regions\n" +
			"that are named; and who uses it: instances, launch templates, Auto Scaling groups, SSM parameters.",
		Flags:  catalogFlags(),
		Action: d.show,
	}
}

func (d deps) show(c *cli.Context) error {
	o, err := d.readCatalog(c, "AMI")
	if err != nil {
		return err
	}
	k, err := d.catalog(c.Context, o)
	if err != nil {
		return err
	}
	image, region, err := k.find(c.Context, o)
	if err != nil {
		return err
	}
	s := shown{listed: listed{region, standing(image, k.clock.Now()), image}, Copies: []listed{}}
	if s.References, err = retain.References(c.Context, k.retain(region), []ami.Image{image}, 0); err != nil {
		return err
	}
	if s.Copies, err = k.copies(c.Context, o, image, region); err != nil {
		return err
	}
	return d.print(o.output, s, s.text())
}

// copies finds the images of the same bake in the other regions.
func (k catalog) copies(ctx context.Context, o catalogOptions, image ami.Image, home string) ([]listed, error) {
	out := []listed{}
	for _, region := range o.regions {
		if region == home || image.BakeID == "" {
			continue
		}
		found, err := ami.List(ctx, k.publish(region).EC2, ami.Filter("tag:"+ami.TagBakeID, image.BakeID))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", region, err)
		}
		for _, i := range found {
			out = append(out, listed{region, standing(i, k.clock.Now()), i})
		}
	}
	return out, nil
}

func (s shown) text() string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", what, fmt.Sprintf(format, args...))
	}
	line("image", "%s in %s: %s", s.ID, s.Region, s.Standing)
	line("name", "%s", s.Name)
	line("role", "%s, environment %s, %s", s.Role, cmp.Or(s.Environment, "not told"), s.Arch)
	line("bake", "%s, %s", s.BakeID, s.Created.UTC().Format(time.RFC3339))
	line("base", "%s", s.Base)
	line("proof", "%s", cmp.Or(s.Tags[ami.TagProof], "none"))
	line("inputs", "%s", s.Digest)
	for _, name := range slices.Sorted(maps.Keys(s.Parts)) {
		line("", "%s=%s", name, s.Parts[name])
	}
	line("snapshots", "%s", strings.Join(s.Snapshots, ", "))
	if !s.Deprecated.IsZero() {
		line("deprecated", "%s", s.Deprecated.UTC().Format(time.RFC3339))
	}
	if s.Protected {
		line("protected", "against being deregistered")
	}
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		if !strings.HasPrefix(key, ami.TagPrefix) {
			line("tag", "%s=%s", key, s.Tags[key])
		}
	}
	for _, i := range s.Copies {
		line("copy", "%s in %s: %s", i.ID, i.Region, i.Standing)
	}
	for _, r := range s.References {
		line("used by", "%s %s", r.Kind, r.Name)
	}
	if len(s.References) == 0 {
		line("used by", "nobody")
	}
	return b.String()
}
