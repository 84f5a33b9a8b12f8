package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/bake/ami"
	"bakehouse/bake/inventory"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

// diffCommand compares two images by their inventories.
func diffCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "say what changed between two images",
		ArgsUsage: "OLD NEW",
		Description: "Compares packages, cookbooks, settings, kernel, agent and Chef of two images. OLD and NEW are AMIs, whose\n" +
			"inventories are looked for in the state folder and, with --inventory, in S3; or files: inventories, SBOMs\n" +
			"or the reports of one bake. With --exit-code it ends with 10 when something changed.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "region", EnvVars: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}, Usage: "AWS `REGION` of the images (region)"},
			&cli.StringFlag{Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"},
			&cli.StringFlag{Name: "inventory", EnvVars: []string{"BAKEHOUSE_INVENTORY"}, Usage: "look for inventories in `S3`, s3://BUCKET/PREFIX, too (image.inventory)"},
			&cli.StringFlag{Name: "state-dir", EnvVars: []string{"BAKEHOUSE_STATE_DIR"}, Usage: "look for inventories in `DIR` (default: $XDG_STATE_HOME/bakehouse)"},
			&cli.StringFlag{Name: "html", Usage: "write the comparison as a web page to `FILE`, too"},
			&cli.BoolFlag{Name: "exit-code", Usage: "end with 10 when something changed"},
			cliapp.ConfigFlag(),
			cliapp.OutputFlag(),
		},
		Action: d.diff,
	}
}

// diffOptions is what one run of diff was asked for.
type diffOptions struct {
	sides           [2]string
	region, profile string
	store           inventory.Store // without its client
	html            string
	exitCode        bool
	output          cliapp.Output
}

// images is where diff looks images and inventories up.
type images struct {
	lister ami.Lister
	store  inventory.Store
}

func (d deps) readDiff(c *cli.Context) (o diffOptions, err error) {
	args, err := cliapp.Arguments(c, "OLD", "NEW")
	if err != nil {
		return o, err
	}
	o = diffOptions{sides: [2]string{args[0], args[1]}, profile: c.String("profile"), html: c.String("html"), exitCode: c.Bool("exit-code")}
	if o.output, err = cliapp.OutputOf(c); err != nil {
		return o, err
	}
	if o.sides[0] == o.sides[1] {
		return o, cliapp.Usagef("OLD and NEW are the same: %s", o.sides[0])
	}
	if o.html != "" && !isDir(filepath.Dir(o.html)) {
		return o, cliapp.Usagef("--html %s: there is no folder %s", o.html, filepath.Dir(o.html))
	}
	conf, err := d.readFile(c)
	if err != nil {
		return o, err
	}
	o.region = cliapp.String(c, "region", conf.Region)
	if o.store.Dir = c.String("state-dir"); o.store.Dir == "" {
		o.store.Dir = d.defaultState()
	}
	o.store.Bucket, err = inventoryBucket(cliapp.String(c, "inventory", conf.Image.Inventory))
	return o, err
}

// inventoryBucket reads --inventory; empty is none.
func inventoryBucket(text string) (inventory.Bucket, error) {
	if text == "" {
		return inventory.Bucket{}, nil
	}
	b, err := inventory.ParseBucket(text)
	if err != nil {
		return b, cliapp.Usagef("--inventory (image.inventory): %v", err)
	}
	return b, nil
}

func (d deps) diff(c *cli.Context) error {
	o, err := d.readDiff(c)
	if err != nil {
		return err
	}
	var sides [2]inventory.Named
	for i, what := range o.sides {
		if sides[i], err = d.side(c.Context, &o, what); err != nil {
			return err
		}
	}
	if id := sides[0].BakeID; id != "" && id == sides[1].BakeID {
		return cliapp.Usagef("%s and %s are of the same bake, %s: there is nothing to compare", o.sides[0], o.sides[1], id)
	}
	diff := inventory.Compare(sides[0], sides[1])
	if o.html != "" {
		page, err := diff.HTML()
		if err == nil {
			err = os.WriteFile(o.html, page, 0o644)
		}
		if err != nil {
			return fault.New(fault.Usage, "name another file", fmt.Errorf("writing %s: %w", o.html, err))
		}
	}
	if err := d.print(o.output, diff, diff.Text()); err != nil {
		return err
	}
	if o.exitCode && !diff.Empty() {
		return fault.New(fault.Changes, "", errors.New("the images differ"))
	}
	return nil
}

// side reads one of the two: an AMI's inventory, or a file.
func (d deps) side(ctx context.Context, o *diffOptions, what string) (inventory.Named, error) {
	if !regexp.MustCompile(`^ami-[0-9a-f]{8,17}$`).MatchString(what) {
		b, err := os.ReadFile(what)
		if err != nil {
			return inventory.Named{}, fault.New(fault.Usage, "name an AMI (ami-…) or a file that bake-ami wrote", fmt.Errorf("reading %s: %w", what, err))
		}
		i, err := inventory.Decode(what, b)
		return inventory.Named{Label: what, Inventory: i}, err
	}
	at, err := d.images(ctx, o)
	if err != nil {
		return inventory.Named{}, err
	}
	found, err := ami.List(ctx, at.lister, ami.Filter("image-id", what))
	if err != nil {
		return inventory.Named{}, err
	}
	if len(found) == 0 {
		return inventory.Named{}, fault.Newf(fault.Usage, "look at the id and --region; or name files instead of AMIs",
			"looking for %s: this account has no image of that id in %s that a bake made", what, o.region)
	}
	i, err := bake.FindInventory(ctx, at.store, found[0])
	return inventory.Named{Label: what, Inventory: i}, err
}

// connectImages makes the clients of a diff, and sets the region that was found.
func connectImages(ctx context.Context, o *diffOptions) (images, error) {
	cfg, err := awscfg.Load(ctx, awscfg.Options{Region: o.region, Profile: o.profile, UserAgent: "bakehouse-bake-ami/" + cliapp.Version()})
	if err != nil {
		return images{}, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return images{}, err
	}
	o.region = cfg.Region
	return images{ec2.NewFromConfig(cfg), withBucket(cfg, o.store)}, nil
}

// withBucket gives a store its client, where it has a bucket.
func withBucket(cfg aws.Config, s inventory.Store) inventory.Store {
	if s.Bucket.Name != "" {
		s.S3 = s3.NewFromConfig(cfg, func(so *s3.Options) { so.UsePathStyle = so.BaseEndpoint != nil })
	}
	return s
}
