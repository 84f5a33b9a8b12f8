package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
)

// explainCommand compares a bake's inputs with those of the last image.
func explainCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "explain",
		Usage: "say which inputs changed since the role's last image",
		Description: "Resolves the inputs as a bake would, and compares each group with what the tags of the role's newest\n" +
			"image say. It changes nothing.",
		Flags:  flags(),
		Action: d.explain,
	}
}

func (d deps) explain(c *cli.Context) error {
	o, err := d.readOptions(c)
	if err != nil {
		return err
	}
	if len(o.roles) > 1 {
		return cliapp.Usagef("explain is about one role at a time, and %d are given", len(o.roles))
	}
	o.in.Rebake = true // what would be reused is what is to be compared with
	reporter := d.Reporter(o.output, d.now)
	defer reporter.Close()
	w, err := d.world(c.Context, &o)
	if err != nil {
		return err
	}
	w.Reporter, w.StateDir = reporter, o.stateDir
	plan, err := w.Resolve(c.Context, o.in)
	if err != nil {
		return err
	}
	e, err := w.Explain(c.Context, plan)
	if err != nil {
		return err
	}
	reporter.Close()
	return d.print(o.output, e, e.Text())
}

// print prints v as JSON when that was asked for, else text.
func (d deps) print(output cliapp.Output, v any, text string) error {
	if output == cliapp.JSON {
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return fmt.Errorf("rendering the result: %w", err)
		}
		text = string(b) + "\n"
	}
	if _, err := io.WriteString(d.Stdout, text); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	return nil
}
