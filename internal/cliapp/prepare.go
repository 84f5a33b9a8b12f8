package cliapp

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/fault"
)

// prepare fits app to the house: streams, help with exit codes, errors that
// come back instead of being printed, and its own help and version flags.
// urfave/cli's own are package variables that a run writes to, which races as
// soon as two tests run apps side by side.
func prepare(app *cli.App, p Process, asJSON *bool) {
	app.Reader, app.Writer, app.ErrWriter = p.Stdin, p.Stdout, p.Stderr
	app.HideHelp, app.HideHelpCommand = true, true
	app.Flags = append(app.Flags, helpFlag())
	quiet(app.Flags)
	if app.Version == "" {
		app.Version = Version()
	}
	if !app.HideVersion {
		app.Flags = append(app.Flags, &cli.BoolFlag{Name: "version", Usage: "print the version", DisableDefaultText: true})
	}
	app.HideVersion = true
	app.ExitErrHandler = func(*cli.Context, error) {}
	app.OnUsageError = func(c *cli.Context, err error, _ bool) error { return usageError(c, app.Flags, err) }
	app.CustomAppHelpTemplate = cli.AppHelpTemplate + exitCodes()
	action := rootAction(app, app.Action)
	app.Action = func(c *cli.Context) error {
		if c.Bool("version") {
			fmt.Fprintf(c.App.Writer, "%s %s\n", app.Name, app.Version)
			return nil
		}
		return withHelp(c, remember(action, asJSON)(c))
	}
	for _, cmd := range app.Commands {
		prepareCommand(cmd, asJSON)
	}
}

func prepareCommand(cmd *cli.Command, asJSON *bool) {
	cmd.HideHelp, cmd.HideHelpCommand = true, true
	cmd.Flags = append(cmd.Flags, helpFlag())
	quiet(cmd.Flags)
	cmd.OnUsageError = func(c *cli.Context, err error, _ bool) error { return usageError(c, cmd.Flags, err) }
	template := cli.CommandHelpTemplate
	action := cmd.Action
	if len(cmd.Subcommands) > 0 {
		template = cli.SubcommandHelpTemplate
		if action == nil {
			action = unknownCommand(cmd.Subcommands)
		}
	}
	cmd.CustomHelpTemplate = template + exitCodes()
	action = remember(action, asJSON)
	cmd.Action = func(c *cli.Context) error { return withHelp(c, action(c)) }
	for _, sub := range cmd.Subcommands {
		prepareCommand(sub, asJSON)
	}
}

// rootAction is what the tool does without a command: its own action when it
// has one and no commands to choose from, else a usage error.
func rootAction(app *cli.App, own cli.ActionFunc) cli.ActionFunc {
	if own != nil {
		return own
	}
	return unknownCommand(app.Commands)
}

// unknownCommand says which command was not found, and what there is.
func unknownCommand(commands []*cli.Command) cli.ActionFunc {
	var names []string
	for _, cmd := range commands {
		if !cmd.Hidden {
			names = append(names, cmd.Name)
		}
	}
	there := strings.Join(names, ", ")
	return func(c *cli.Context) error {
		name := c.Args().First()
		if name == "" {
			return Usagef("no command given; there are %s", there)
		}
		if s := cli.SuggestCommand(commands, name); s != "" {
			return Usagef("unknown command %q: %s (there are %s)", name, strings.ToLower(s[:1])+s[1:], there)
		}
		return Usagef("unknown command %q (there are %s)", name, there)
	}
}

// remember notes whether the command was asked for JSON before it runs.
func remember(action cli.ActionFunc, asJSON *bool) cli.ActionFunc {
	return func(c *cli.Context) error {
		*asJSON = c.String(outputName) == string(JSON) || c.Bool("json")
		return action(c)
	}
}

// quiet leaves "(default: false)" out of the help: a switch is off unless given.
func quiet(flags []cli.Flag) {
	for _, f := range flags {
		if b, ok := f.(*cli.BoolFlag); ok && !b.Value {
			b.DisableDefaultText = true
		}
	}
}

func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help", DisableDefaultText: true}
}

func exitCodes() string { return "\nEXIT CODES:\n" + fault.Help() }
