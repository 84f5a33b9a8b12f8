package main

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/urfave/cli/v2"

	"bakehouse/bake/publish"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

// publishFlags say where the finished image is to be found.
func publishFlags() []cli.Flag {
	const group = "publish"
	return []cli.Flag{
		&cli.StringSliceFlag{Category: group, Name: "publish-ssm", Usage: "write the image's id into the SSM `PARAMETER`, in every region that has it, repeatable: /ami/web/current (image.publish_ssm)"},
		&cli.StringFlag{Category: group, Name: "publish-launch-template", Usage: "give the launch template `NAME` a version with the image, made from its latest; an lt-… id is looked for in the image's own region only (image.publish_launch_template)"},
		&cli.BoolFlag{Category: group, Name: "launch-template-default", Usage: "make the version of --publish-launch-template the template's default"},
		&cli.StringFlag{Category: group, Name: "deprecate-predecessors", Usage: "have EC2 stop offering the role's earlier images at this `AGE` from now, as 30d, or now (image.deprecate_predecessors)"},
	}
}

// publishWishes reads publishFlags; a flag replaces the file's whole list.
func publishWishes(c *cli.Context, file config.Image) (w publish.Wishes, err error) {
	w.Parameters = list(c, "publish-ssm", file.PublishSSM)
	w.LaunchTemplate = cliapp.String(c, "publish-launch-template", file.PublishLaunchTemplate)
	w.MakeDefault = c.Bool("launch-template-default")
	after := cliapp.String(c, "deprecate-predecessors", file.DeprecatePredecessors)
	if w.Deprecate = after != ""; w.Deprecate && after != "now" {
		w.After, err = age("--deprecate-predecessors", after)
	}
	return w, err
}

// publishers makes the clients of a region, which share cfg's connections.
func publishers(cfg aws.Config) func(region string) publish.API {
	return func(region string) publish.API {
		return publish.API{EC2: ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.Region = region }),
			SSM: ssm.NewFromConfig(cfg, func(o *ssm.Options) { o.Region = region })}
	}
}
