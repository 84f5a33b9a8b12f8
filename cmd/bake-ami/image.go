package main

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

// imageFlags say what the image is called and how long it lasts.
func imageFlags() []cli.Flag {
	const group = "image"
	return append(append(append(proveFlags(), distributeFlags()...), publishFlags()...), []cli.Flag{
		&cli.StringFlag{Category: group, Name: "image-name", Value: bake.DefaultImageName,
			Usage: "call the image `TEMPLATE`, with " + strings.Join(bake.NamePlaceholders(), " ") + " filled in (image.name)"},
		&cli.StringFlag{Category: group, Name: "description", Usage: "describe the image by `TEMPLATE`, filled in as the name is (image.description)"},
		&cli.StringFlag{Category: group, Name: "deprecate-after", Usage: "have EC2 stop offering the image at this `AGE`, for example 90d (image.deprecate_after)"},
		&cli.BoolFlag{Category: group, Name: "protect", Usage: "protect the image against being deregistered (image.protect)"},
		&cli.BoolFlag{Category: group, Name: "rebake", Usage: "bake although there is a finished image of the same inputs"},
	}...)
}

// imageInputs reads imageFlags.
func imageInputs(c *cli.Context, file config.Image, in *bake.Inputs) (err error) {
	in.ImageName = cliapp.String(c, "image-name", file.Name)
	in.Description = cliapp.String(c, "description", file.Description)
	in.Protect = c.Bool("protect") || file.Protect && !c.IsSet("protect")
	in.Rebake = c.Bool("rebake")
	if in.Distribute, err = distributeInputs(c, file); err != nil {
		return err
	}
	if in.Publish, err = publishWishes(c, file); err != nil {
		return err
	}
	in.DeprecateAfter, err = age("--deprecate-after", cliapp.String(c, "deprecate-after", file.DeprecateAfter))
	return err
}

// age reads a whole number of days or hours, as 90d or 36h; empty is 0.
func age(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	if !regexp.MustCompile(`^[1-9][0-9]{0,4}[dh]$`).MatchString(text) {
		return 0, cliapp.Usagef("%s %q is not an age such as 90d or 36h", flag, text)
	}
	n, err := strconv.Atoi(text[:len(text)-1])
	if err != nil {
		return 0, cliapp.Usagef("%s %q is not an age such as 90d or 36h", flag, text)
	}
	unit := time.Hour
	if strings.HasSuffix(text, "d") {
		unit = 24 * time.Hour
	}
	return time.Duration(n) * unit, nil
}

// imageCommands are the commands about images that bakes have made.
func imageCommands(d deps) []*cli.Command {
	return []*cli.Command{explainCommand(d), diffCommand(d), copyCommand(d), shareCommand(d),
		publishCommand(d), listCommand(d), showCommand(d), pruneCommand(d), resumeCommand(d)}
}
