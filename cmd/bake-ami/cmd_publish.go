package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/bake/ami"
	"bakehouse/bake/publish"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

func publishCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "publish",
		Usage:     "make a finished image the one that others find",
		ArgsUsage: "AMI",
		Description: "Does what the last step of a bake does, for an image of an earlier bake: SSM parameters first, then the\n" +
			"launch template, then the deprecation of earlier images. What is as wished already is left alone. In the\n" +
			"other regions named, the image's copies are published.",
		Flags: append(append([]cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be changed, and change nothing"},
			&cli.BoolFlag{Name: "unproven", Usage: "publish although the image did not pass a proof"},
		}, publishFlags()...), catalogFlags()...),
		Action: d.publish,
	}
}

// published is what publish prints as JSON.
type published struct {
	publish.Plan
	DryRun bool `json:"dry_run"`
}

func (d deps) publish(c *cli.Context) error {
	o, err := d.readCatalog(c, "AMI")
	if err != nil {
		return err
	}
	wishes, err := publishWishes(c, o.file.Image)
	if err != nil {
		return err
	}
	if wishes.Empty() {
		return cliapp.Usagef("nothing says where to publish the image: add --publish-ssm, --publish-launch-template or --deprecate-predecessors")
	}
	if err := wishes.Check(); err != nil {
		return err
	}
	k, err := d.catalog(c.Context, o)
	if err != nil {
		return err
	}
	target, err := k.target(c.Context, o, c.Bool("unproven"))
	if err != nil {
		return err
	}
	reporter := d.Reporter(o.output, d.now)
	defer reporter.Close()
	p := publish.Publisher{Region: k.publish, Clock: k.clock, Say: reporter.Info}
	plan, err := p.Plan(c.Context, wishes, target)
	if err != nil {
		return err
	}
	if !o.dryRun {
		plan, err = p.Apply(c.Context, plan)
	}
	reporter.Close()
	return firstOf(err, d.print(o.output, published{plan, o.dryRun}, plan.Text()))
}

// target is the image with its copies; one that is not fit for use is refused.
func (k catalog) target(ctx context.Context, o catalogOptions, unproven bool) (publish.Target, error) {
	image, home, err := k.find(ctx, o)
	if err != nil {
		return publish.Target{}, err
	}
	switch now := k.clock.Now(); {
	case !image.Finished():
		return publish.Target{}, fault.Newf(fault.Usage, "wait for its bake, or resume it: bake-ami resume "+image.BakeID,
			"publishing %s: it is %s", image.ID, standing(image, now))
	case image.Tags[ami.TagProof] == ami.ProofFailed && !unproven:
		return publish.Target{}, fault.Newf(fault.Check, "bake again, or give --unproven", "publishing %s: it failed its proof", image.ID)
	case !image.Deprecated.IsZero() && !image.Deprecated.After(now):
		return publish.Target{}, fault.Newf(fault.Usage, "publish a newer one; bake-ami list shows what there is", "publishing %s: it is deprecated", image.ID)
	}
	owner, err := k.owner(ctx)
	if err != nil {
		return publish.Target{}, err
	}
	places, err := (bake.World{Publish: k.publish}).PlacesOf(ctx, image, home, o.regions)
	return publish.Target{Places: places, Image: image, Owner: owner}, err
}
