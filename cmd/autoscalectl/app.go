package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/internal/ui"
)

// defaultFile is read when no FILE is given.
const defaultFile = "autoscale.yaml"

// deps is what the commands need from the world; tests bring their own.
type deps struct {
	cliapp.Process
	world    func(context.Context, awscfg.Options) (autoscale.World, error)
	terminal func() bool // both ends are a person's
	colors   func() bool // standard output is a terminal
	size     func() (columns, rows int)
	now      func() time.Time
	balance  func(context.Context, awscfg.Options) (balanceClients, error)
	pause    func(context.Context, time.Duration) error // between two looks of balance
}

func newApp(d deps) *cli.App {
	return &cli.App{
		Name:     "autoscalectl",
		Metadata: map[string]any{cliapp.SignalText: "stopping after the call under way (again to end at once)"},
		Usage:    "make Auto Scaling groups match a file",
		Description: "The file (autoscale.yaml) describes every group whole; what it leaves out is left alone, an empty list means none.\n" +
			"`autoscalectl [FILE]` is `autoscalectl apply [FILE]`. plan says what apply would do, and why.\n" +
			"docs/autoscale.md shows both formats of the file.",
		Commands: []*cli.Command{planCommand(d), applyCommand(d), validateCommand(d), expandCommand(d), upgradeCommand(d), importCommand(d), statusCommand(d), watchCommand(d),
			refreshCommand(d), pruneCommand(d), simulateCommand(d), balanceCommand(d), destroyCommand(d), schemaCommand(d)},
	}
}

// withDefault puts apply before a command line that names a file or nothing.
func withDefault(args []string) []string {
	if len(args) == 1 {
		return append(args, "apply")
	}
	first := args[1]
	switch first {
	case "-h", "--help", "-help", "-v", "--version", "-version":
		return args
	}
	if strings.HasPrefix(first, "-") || strings.ContainsAny(first, "./") {
		return append([]string{args[0], "apply"}, args[1:]...)
	}
	return args
}

func profileFlag() cli.Flag {
	return &cli.StringFlag{Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"}
}

func regionFlag() cli.Flag {
	return &cli.StringFlag{Name: "region", EnvVars: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}, Usage: "AWS `REGION` of the groups"}
}

// common is what every command knows about where it works.
type common struct {
	file    string
	region  string // of the flag; a file's own wins
	profile string
	output  cliapp.Output
}

var regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]+$`)

// commonOf reads the flags; file is the argument, "" for the default.
func commonOf(c *cli.Context, file string) (common, error) {
	var output cliapp.Output
	if c.String("output") != "" { // commands that print YAML have no such flag
		var err error
		if output, err = cliapp.OutputOf(c); err != nil {
			return common{}, err
		}
		if c.Bool("json") {
			output = cliapp.JSON
		}
	}
	if file == "" {
		file = defaultFile
	}
	if r := c.String("region"); r != "" && !regionName.MatchString(r) {
		return common{}, cliapp.Usagef("--region %s: want the name of a region, like us-east-1", r)
	}
	return common{file, c.String("region"), c.String("profile"), output}, nil
}

// fileOf reads the optional argument FILE and the flags.
func fileOf(c *cli.Context) (common, error) {
	args, err := cliapp.Arguments(c, "[FILE]")
	if err != nil {
		return common{}, err
	}
	return commonOf(c, args[0])
}

// load reads and parses the file.
func (d deps) load(o common) (autoscale.Spec, error) {
	b, err := d.readFile(o.file)
	if err != nil {
		return autoscale.Spec{}, err
	}
	return autoscale.Parse(o.file, b)
}

// readFile reads a file; "-" is standard input.
func (d deps) readFile(name string) (b []byte, err error) {
	if name == "-" {
		b, err = io.ReadAll(d.Stdin)
	} else {
		b, err = os.ReadFile(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Newf(fault.Usage, "give FILE, or write one: docs/autoscale.md has one to begin with, and autoscalectl import --region REGION GROUP writes what is there", "reading groups: there is no %s", name)
	}
	if err != nil {
		return nil, fault.Newf(fault.Usage, "", "reading groups: %w", err)
	}
	return b, nil
}

// connect makes the clients for region.
func (d deps) connect(ctx context.Context, o common, region string) (autoscale.World, error) {
	return d.world(ctx, awscfg.Options{Region: region, Profile: o.profile, UserAgent: "bakehouse-autoscalectl/" + cliapp.Version()})
}

// planned is a plan with what it was made from.
type planned struct {
	nothing  string // what an empty plan means; "" is that AWS matches the file
	file     string
	spec     autoscale.Spec
	world    autoscale.World
	observed autoscale.Observed
	plan     autoscale.Plan
}

// execute shows a plan, asks, and carries it out.
func (d deps) execute(ctx context.Context, o common, yes bool, p planned) error {
	wanted, err := d.agreed(o, yes, p)
	if err != nil {
		return err
	}
	if !wanted {
		return d.result(o, p.plan, nil, nil)
	}
	r := d.Reporter(o.output, d.now)
	defer r.Close()
	outcomes, err := p.plan.Apply(ctx, p.world, p.observed, progress{r})
	if printed := d.result(o, p.plan, outcomes, nil); err == nil {
		err = printed
	}
	return err
}

// agreed shows a plan and asks; false says that it is empty.
func (d deps) agreed(o common, yes bool, p planned) (bool, error) {
	if o.output != cliapp.JSON {
		if err := showPlan(d.Stdout, d.paints(o), p.plan, p.nothing); err != nil {
			return false, err
		}
	}
	if p.plan.Empty() || yes {
		return !p.plan.Empty(), nil
	}
	if err := d.Ask(d.terminal(), fmt.Sprintf("Apply %s?", changes(len(p.plan.Changes)))); err != nil {
		return false, err
	}
	return true, nil
}

// outcome is one change in the result's JSON.
type outcome struct {
	autoscale.Change
	Result string `json:"result"` // done, failed or skipped
	Error  string `json:"error,omitempty"`
}

// result prints what became of each change, in JSON mode; else progress did.
func (d deps) result(o common, p autoscale.Plan, outcomes []autoscale.Outcome, refreshes []autoscale.RefreshStatus) error {
	if o.output != cliapp.JSON {
		return nil
	}
	all := []outcome{}
	for _, r := range outcomes {
		one := outcome{Change: r.Change, Result: "done"}
		if r.Skipped {
			one.Result = "skipped"
		} else if r.Err != nil {
			one.Result, one.Error = "failed", r.Err.Error()
		}
		all = append(all, one)
	}
	return printJSON(d.Stdout, struct {
		Changes   []outcome                 `json:"changes"`
		Warnings  []autoscale.Warning       `json:"warnings,omitempty"`
		Refreshes []autoscale.RefreshStatus `json:"refreshes,omitempty"`
	}{all, p.Warnings, refreshes})
}

// progress reports changes as steps.
type progress struct{ r *ui.Reporter }

func step(c autoscale.Change) string { return fmt.Sprintf("%s: %s %s", c.Group, c.Kind, c.Name) }

// Started begins the step of c.
func (p progress) Started(c autoscale.Change) { p.r.StepStarted(step(c)) }

// Done ends it, or says that it was not tried.
func (p progress) Done(o autoscale.Outcome) {
	if o.Skipped {
		p.r.Info(step(o.Change) + ": not tried")
		return
	}
	p.r.StepDone(step(o.Change), o.Took, o.Err)
}

func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("rendering result: %w", err)
	}
	return printed(fmt.Fprintf(w, "%s\n", b))
}

// printed turns the answer of a print into an error that says what broke.
func printed(_ int, err error) error {
	if err != nil {
		return fmt.Errorf("printing result: %w", err)
	}
	return nil
}
