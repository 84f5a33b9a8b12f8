package cliapp

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Output is how a command prints.
type Output string

// The values of --output.
const (
	Auto  Output = "auto"  // live on a terminal, plain off it
	Plain Output = "plain" // one stamped line an event
	JSON  Output = "json"  // progress as JSON lines on stderr, the result as JSON on stdout
)

const outputName = "output"

// OutputFlag is --output, which every command has.
func OutputFlag() cli.Flag {
	return &cli.StringFlag{Name: outputName, Aliases: []string{"o"}, Value: string(Auto), EnvVars: []string{"BAKEHOUSE_OUTPUT"},
		Usage: "print `FORMAT`: auto (live on a terminal), plain or json"}
}

// ConfigFlag is --config, which every command that reads bakehouse.yaml has.
func ConfigFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Aliases: []string{"c"}, EnvVars: []string{"BAKEHOUSE_CONFIG"},
		Usage: "read settings from `FILE` (default: bakehouse.yaml here, when there is one)"}
}

// OutputOf returns the value of --output, or a usage error.
func OutputOf(c *cli.Context) (Output, error) {
	switch o := Output(c.String(outputName)); o {
	case Auto, Plain, JSON:
		return o, nil
	default:
		return "", Usagef("--output %s: want auto, plain or json", o)
	}
}

// String returns the flag's value when it was given on the command line or in
// the environment; else the configuration file's; else the flag's default.
func String(c *cli.Context, flag, fromFile string) string {
	if c.IsSet(flag) || fromFile == "" {
		return c.String(flag)
	}
	return fromFile
}

// Arguments returns the positional arguments, named for the error texts. A
// name in brackets, as "[DIR]", is optional; optional ones come last and are
// "" when absent.
func Arguments(c *cli.Context, names ...string) ([]string, error) {
	given := c.Args().Slice()
	if len(given) > len(names) {
		return nil, Usagef("unexpected argument %q", given[len(names)])
	}
	for i := len(given); i < len(names); i++ {
		if !strings.HasPrefix(names[i], "[") {
			return nil, Usagef("missing argument %s", names[i])
		}
		given = append(given, "")
	}
	return given, nil
}

// permute moves flags in front of positional arguments, command by command,
// because the flag package stops at the first argument: `push DIR --app web`
// has to work. Everything after "--" stays positional. "help CMD" becomes
// "CMD --help" for tools that have commands.
func permute(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return []string{app.Name}
	}
	out, rest := args[:1:1], args[1:]
	flags, commands := app.Flags, app.Commands
	if len(commands) > 0 && len(rest) > 0 && rest[0] == "help" {
		rest = append(slices.Clone(rest[1:]), "--help")
	}
	for {
		before, cmd, after := split(flags, commands, rest)
		out = append(out, before...)
		if cmd == nil {
			return out
		}
		out = append(out, cmd.Name)
		flags, commands, rest = cmd.Flags, cmd.Subcommands, after
	}
}

// split takes the flags of one level off rest. When the first positional
// argument names a command, it returns that command and what follows; else
// before is everything, flags first.
func split(flags []cli.Flag, commands []*cli.Command, rest []string) (before []string, cmd *cli.Command, after []string) {
	var positional []string
	for i := 0; i < len(rest); i++ {
		arg := rest[i]
		if arg == "--" {
			positional = append(positional, rest[i+1:]...)
			break
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			if c := find(commands, arg); c != nil && len(positional) == 0 {
				return before, c, rest[i+1:]
			}
			positional = append(positional, arg)
			continue
		}
		before = append(before, arg)
		if takesValue(flags, arg) {
			if i++; i == len(rest) {
				return before, nil, nil // no value: the flag package says so
			}
			before = append(before, rest[i])
		}
		if strings.TrimLeft(arg, "-") == "help" || arg == "-h" {
			return before, nil, nil // help is about the command, not about its arguments
		}
	}
	if len(positional) > 0 {
		before = append(append(before, "--"), positional...)
	}
	return before, nil, nil
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, cmd := range commands {
		if cmd.HasName(name) {
			return cmd
		}
	}
	return nil
}

// takesValue reports whether arg is a known flag that is followed by its value.
func takesValue(flags []cli.Flag, arg string) bool {
	name := strings.TrimLeft(arg, "-")
	if strings.Contains(name, "=") {
		return false
	}
	for _, f := range flags {
		if doc, ok := f.(cli.DocGenerationFlag); ok && slices.Contains(f.Names(), name) {
			return doc.TakesValue()
		}
	}
	return false
}
