package main

import (
	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/bake/ami"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

// proveFlags are about the instance that proves an image.
func proveFlags() []cli.Flag {
	const group = "proof"
	return []cli.Flag{
		&cli.BoolFlag{Category: group, Name: "no-prove", Usage: "do not boot an instance of the image to see it come up"},
		&cli.BoolFlag{Category: group, Name: "keep-unproven", Usage: "keep an image that fails its proof, tagged " + ami.TagProof + "=failed"},
		&cli.StringFlag{Category: group, Name: "prove-instance-profile", Usage: "instance profile `NAME` that instances of the role run with (prove.instance_profile)"},
		&cli.StringFlag{Category: group, Name: "prove-channel", Usage: "have the proving instance pull the build of `CHANNEL` (prove.channel; default: the image's)"},
		&cli.StringSliceFlag{Category: group, Name: "prove-subnet", Usage: "prove the image in `SUBNET`, subnet-… or tag:KEY=VALUE, repeatable: the first with capacity (prove.subnet; default: where the builder ran)"},
		&cli.StringFlag{Category: group, Name: "prove-group", Usage: "prove the image in the subnets of Auto Scaling group `NAME`, in place of --prove-subnet; the group itself stays as it is (prove.group)"},
		&cli.DurationFlag{Category: group, Name: "prove-timeout", DefaultText: "15m", Usage: "call the proof failed after `DURATION` (prove.timeout)"},
	}
}

// proveInputs reads proveFlags and the role's checks.
func proveInputs(c *cli.Context, file config.Config, in *bake.Inputs) {
	checks := file.Checks[in.Role]
	in.Prove = bake.ProveInputs{
		Skip: c.Bool("no-prove"), KeepUnproven: c.Bool("keep-unproven"),
		InstanceProfile: cliapp.String(c, "prove-instance-profile", file.Prove.InstanceProfile),
		Channel:         cliapp.String(c, "prove-channel", file.Prove.Channel),
		Timeout:         pick(c, "prove-timeout", c.Duration("prove-timeout"), file.Prove.Timeout),
		Subnets:         list(c, "prove-subnet", file.Prove.Subnet), Group: cliapp.String(c, "prove-group", file.Prove.Group),
		Checks: bake.Checks{Commands: checks.Commands, Files: checks.Files, Ports: checks.Ports, URLs: checks.URLs,
			Timeout: checks.Timeout},
	}
	// The file's settings are for bakes that prove; one place of the two that
	// it may name gives way to the other on the command line.
	if in.Prove.Skip && !c.IsSet("prove-channel") {
		in.Prove.Channel = ""
	}
	if (in.Prove.Skip || c.IsSet("prove-group")) && !c.IsSet("prove-subnet") {
		in.Prove.Subnets = nil
	}
	if (in.Prove.Skip || c.IsSet("prove-subnet")) && !c.IsSet("prove-group") {
		in.Prove.Group = ""
	}
}
