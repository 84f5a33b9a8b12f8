package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/bake/ami"
	"bakehouse/bake/publish"
	"bakehouse/bake/retain"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

// catalogOptions is what one run of list, show, publish or prune was asked for.
type catalogOptions struct {
	regions []string
	profile string
	image   string
	dryRun  bool
	output  cliapp.Output
	file    config.Config
}

// catalog is the images of an account, as these commands reach them.
type catalog struct {
	publish func(region string) publish.API
	retain  func(region string) retain.API
	who     func(context.Context) (bake.Identity, error)
	clock   bake.Clock
}

// catalogFlags are those of all these commands.
func catalogFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "region", Usage: "look into `REGION`, repeatable (default: AWS_REGION, or region of bakehouse.yaml)"},
		&cli.StringFlag{Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"},
		cliapp.ConfigFlag(),
		cliapp.OutputFlag(),
	}
}

// readCatalog merges flags, environment and bakehouse.yaml. arguments are as
// cliapp.Arguments takes them; an AMI among them must look like one.
func (d deps) readCatalog(c *cli.Context, arguments ...string) (o catalogOptions, err error) {
	args, err := cliapp.Arguments(c, arguments...)
	if err != nil {
		return o, err
	}
	if len(args) == 1 {
		if o.image = args[0]; !strings.HasPrefix(o.image, "ami-") {
			return o, cliapp.Usagef("%q is no image id: give it as bake-ami printed it, ami-…", o.image)
		}
	}
	if o.output, err = cliapp.OutputOf(c); err != nil {
		return o, err
	}
	if o.file, err = d.readFile(c); err != nil {
		return o, err
	}
	o.profile, o.dryRun = c.String("profile"), c.Bool("dry-run")
	o.regions = c.StringSlice("region")
	if region := cmp.Or(d.Getenv("AWS_REGION"), d.Getenv("AWS_DEFAULT_REGION"), o.file.Region); len(o.regions) == 0 && region != "" {
		o.regions = []string{region}
	}
	for i, r := range o.regions {
		if slices.Contains(o.regions[:i], r) {
			return o, cliapp.Usagef("--region %s is given twice", r)
		}
	}
	if len(o.regions) == 0 {
		return o, fault.Newf(fault.Usage, "name one: --region REGION", "looking for images: no region is named")
	}
	return o, nil
}

// connectCatalog makes the clients and checks that there are credentials.
func connectCatalog(ctx context.Context, o catalogOptions) (catalog, error) {
	cfg, err := awscfg.Load(ctx, awscfg.Options{Region: o.regions[0], Profile: o.profile, UserAgent: "bakehouse-bake-ami/" + cliapp.Version()})
	if err == nil {
		err = awscfg.Check(ctx, cfg)
	}
	return catalog{clock: clock{}, publish: publishers(cfg), who: identity(sts.NewFromConfig(cfg)), retain: func(region string) retain.API {
		return retain.API{EC2: ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.Region = region }),
			Groups: autoscaling.NewFromConfig(cfg, func(o *autoscaling.Options) { o.Region = region }),
			SSM:    ssm.NewFromConfig(cfg, func(o *ssm.Options) { o.Region = region })}
	}}, err
}

// find looks for an image in the regions, the first first.
func (k catalog) find(ctx context.Context, o catalogOptions) (ami.Image, string, error) {
	for _, region := range o.regions {
		found, err := ami.List(ctx, k.publish(region).EC2, ami.Filter("image-id", o.image))
		if err != nil {
			return ami.Image{}, "", err
		}
		if len(found) == 1 {
			return found[0], region, nil
		}
	}
	return ami.Image{}, "", fault.Newf(fault.Usage, "name its region: --region REGION; bake-ami list shows what there is",
		"looking for image %s: no bake of this account made it in %s", o.image, strings.Join(o.regions, ", "))
}

// owner is who calls, for tags.
func (k catalog) owner(ctx context.Context) (string, error) {
	who, err := k.who(ctx)
	return who.ARN, awsfault.New("sts:GetCallerIdentity", "asking AWS who is calling", err)
}

// standing says in a word how an image stands.
func standing(k ami.Image, now time.Time) string {
	switch {
	case k.Unfinished:
		return "unfinished"
	case !k.Finished():
		return k.State
	case k.Tags[ami.TagProof] == ami.ProofFailed:
		return "unproven"
	case !k.Usable(now):
		return "deprecated"
	}
	return "available"
}
