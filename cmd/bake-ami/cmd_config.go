package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/ui"
)

func configCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "print what holds once file, environment and flags are merged, and where each value came from",
		Description: "Takes the flags of a bake, and bakes nothing. With --role the settings of that role are laid over the\n" +
			"others. Nothing is asked of AWS or Chef.",
		Flags: append(flags(), &cli.BoolFlag{Name: "schema", Usage: "print the JSON Schema of bakehouse.yaml instead, for editors"}),
		Action: func(c *cli.Context) error {
			if !c.Bool("schema") {
				return d.printConfig(c)
			}
			b, err := config.Schema()
			if err == nil {
				_, err = d.Stdout.Write(b)
			}
			return err
		},
	}
}

// setting is one line of `bake-ami config`.
type setting struct {
	Key   string `json:"key"` // of bakehouse.yaml; --FLAG for what only the command line has
	Value string `json:"value"`
	From  string `json:"from"` // --FLAG, environment NAME, FILE:LINE:COLUMN or default; empty: not set
}

// printConfig prints the merged settings, one role after the other.
func (d deps) printConfig(c *cli.Context) error {
	if _, err := cliapp.Arguments(c); err != nil {
		return err
	}
	output, err := cliapp.OutputOf(c)
	if err != nil {
		return err
	}
	file, err := d.readFile(c)
	if err != nil {
		return err
	}
	if _, err := tags(nil, c.StringSlice("tag")); err != nil {
		return err
	}
	roles, err := rolesOf(c)
	if err != nil {
		return err
	}
	if len(roles) > 1 {
		return cliapp.Usagef("config shows one role at a time, and %d are given", len(roles))
	}
	all := d.settings(c, file.ForRole(roles[0]))
	if output == cliapp.JSON {
		b, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			return fmt.Errorf("rendering the configuration: %w", err)
		}
		_, err = d.Stdout.Write(append(b, '\n'))
		return err
	}
	var rows [][]string
	for _, s := range all {
		if s.Value != "" || s.From != "" {
			rows = append(rows, []string{s.Key, cmp.Or(s.Value, `""`), s.From})
		}
	}
	return ui.Table(d.Stdout, rows)
}

// settings merges the values of the file with the flags that are given.
func (d deps) settings(c *cli.Context, file config.Config) []setting {
	var out []setting
	for _, v := range file.Values() {
		from := v.Where
		if from == "" && v.Text != "" {
			from = "default"
		}
		out = append(out, setting{v.Path, v.Text, from})
	}
	for _, f := range c.Command.Flags {
		if name := f.Names()[0]; c.IsSet(name) && !slices.Contains([]string{"config", "output", "schema"}, name) {
			out = put(out, flagSettings(c, f, d.source(c, f))...)
		}
	}
	return followArch(out)
}

// followArch corrects the default base image when another architecture is set.
func followArch(all []setting) []setting {
	arm := slices.ContainsFunc(all, func(s setting) bool { return s.Key == "bake.arch" && s.Value == "arm64" })
	for i, s := range all {
		if arm && s.Key == "bake.base" && s.From == "default" {
			all[i].Value = bake.DefaultBaseARM
		}
	}
	return all
}

// put replaces settings of the same key, and adds the others.
func put(all []setting, more ...setting) []setting {
	for _, s := range more {
		if i := slices.IndexFunc(all, func(o setting) bool { return o.Key == s.Key }); i >= 0 {
			all[i] = s
		} else {
			all = append(all, s)
		}
	}
	return all
}

// flagSettings is what one flag sets: one key, or one a tag.
func flagSettings(c *cli.Context, f cli.Flag, from string) []setting {
	name := f.Names()[0]
	key := keyOf(f)
	if key == "bake.tags" {
		var out []setting
		for _, pair := range c.StringSlice(name) {
			k, v, _ := strings.Cut(pair, "=")
			out = append(out, setting{key + "." + k, v, from})
		}
		return out
	}
	return []setting{{cmp.Or(key, "--"+name), valueOf(c, f), from}}
}

// valueOf is a flag's value, as the file would have it.
func valueOf(c *cli.Context, f cli.Flag) string {
	name := f.Names()[0]
	if _, many := f.(*cli.StringSliceFlag); many {
		return strings.Join(c.StringSlice(name), ", ")
	}
	return fmt.Sprint(c.Value(name))
}

// keyOf is the key of bakehouse.yaml that a flag's usage names in brackets, or "".
func keyOf(f cli.Flag) string {
	doc, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return ""
	}
	for _, m := range regexp.MustCompile(`\(([a-z0-9_]+(?:\.[a-z0-9_]+)*)[;)]`).FindAllStringSubmatch(doc.GetUsage(), -1) {
		if slices.ContainsFunc(config.Describe(), func(k config.Key) bool { return k.Path == m[1] }) {
			return m[1]
		}
	}
	return ""
}

// source says whether a flag stands on the command line or in the environment.
func (d deps) source(c *cli.Context, f cli.Flag) string {
	for _, arg := range d.Args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && slices.Contains(f.Names(), name) {
			return "--" + f.Names()[0]
		}
	}
	if doc, ok := f.(cli.DocGenerationFlag); ok {
		for _, env := range doc.GetEnvVars() {
			if d.Getenv(env) != "" {
				return "environment " + env
			}
		}
	}
	return "--" + f.Names()[0]
}
