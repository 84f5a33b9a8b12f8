package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// bad are arguments that make a flag's value wrong, after the command; why
// says that no value is wrong, or where it is refused instead.
type bad struct {
	args []string
	says string // in the error or its next step; the flag's name when empty
	why  string
}

func badly(args ...string) bad { return bad{args: args} }

// refusals has a row for every flag of every command, by "COMMAND FLAG", or by
// FLAG where all commands refuse it alike.
func refusals() map[string]bad {
	return map[string]bad{
		"profile":     {why: "the SDK looks it up when it connects: TestLoadSaysWhatIsMissing in internal/awscfg"},
		"region":      {args: []string{"--region", "mars"}, says: "region"},
		"output":      badly("--output", "xml"),
		"yes":         badly("--yes=maybe"),
		"since":       badly("--since", "-1h"),
		"all":         badly("--all=maybe"),
		"lift":        badly("--lift=maybe"),
		"exit-code":   badly("--exit-code=maybe"),
		"json":        badly("--json=maybe"),
		"html":        badly("--html", "/no/such/folder/x"),
		"interval":    badly("--interval", "1s"),
		"max-share":   badly("--max-share", "2"),
		"wait":        badly("--wait=maybe", "web"),
		"cancel":      badly("--cancel", "--rollback", "web"),
		"rollback":    badly("--rollback", "--auto-rollback", "web"),
		"timeout":     badly("--wait", "--timeout", "0s", "web"),
		"version":     badly("--version", "$Latest", "web"),
		"from":        badly("--from", "old", "web"),
		"standby":     badly("--standby", "Kill", "web"),
		"protected":   badly("--protected", "Kill", "web"),
		"warmup":      badly("--warmup", "-1s", "web"),
		"bake-time":   badly("--bake-time", "72h", "web"),
		"min-healthy": badly("--min-healthy", "101", "web"),
		"max-healthy": badly("--max-healthy", "150", "web"), // without --min-healthy
		"checkpoints": badly("--checkpoints", "50,20", "web"),
		"alarm":       {why: "any name may be an alarm's; AWS says when there is none"},

		"checkpoint-delay": badly("--checkpoint-delay", "1m", "web"), // without --checkpoints
		"replace-all":      badly("--replace-all=maybe", "web"),
		"auto-rollback":    badly("--auto-rollback=maybe", "web"),
		"reset-capacity":   badly("--reset-capacity=maybe"),
	}
}

// flagsOfOthers are commands with refusal tests of their own.
func flagsOfOthers() []string { return []string{"expand", "simulate", "balance", "schema"} }

func TestEveryFlagHasARefusal(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, c := range newApp(deps{}).Commands {
		others := false
		for _, name := range flagsOfOthers() {
			others = others || c.Name == name
		}
		for _, f := range c.Flags {
			name := f.Names()[0]
			if name == "help" || others {
				continue
			}
			row, ok := refusals()[name]
			used[name] = true
			if !ok {
				t.Errorf("%s --%s has no row: which value is refused, and how?", c.Name, name)
				continue
			}
			if row.why == "" {
				t.Run(c.Name+" "+name, func(t *testing.T) { t.Parallel(); refused(t, c, name, row) })
			}
		}
	}
	for name := range refusals() {
		if !used[name] {
			t.Errorf("there is a row for --%s, and no such flag", name)
		}
	}
}

// refused demands exit code 2, one line that names the flag, and that AWS was
// not asked.
func refused(t *testing.T, c *cli.Command, flag string, row bad) {
	t.Helper()
	d := newDesk(t)
	d.sleep = func(context.Context, time.Duration) error { return context.Canceled } // a watch that was not refused
	args := append([]string{c.Name}, row.args...)
	switch {
	case strings.Contains(c.ArgsUsage, "FILE") && c.Name != "refresh":
		args = append(args, d.file)
	case c.Name != "refresh":
		args = append(args, "--region", "us-east-1", "web")
	}
	if flag == "region" {
		args = []string{c.Name, "--region", "mars", "web"}
	}
	code, out, errs := d.run(args...)
	says := "--" + flag
	if row.says != "" {
		says = row.says
	}
	if code != 2 || out != "" || strings.Count(errs, "error: ") != 1 || strings.Count(errs, "\n") > 3 || !strings.Contains(errs, says) && !strings.Contains(errs, "-"+flag) {
		t.Errorf("%v: exit code %d, want 2 and words of %s:\n%s%s", args, code, says, errs, out)
	}
	if calls := d.aws.Calls(); len(calls) != 0 {
		t.Errorf("%v asked AWS: %v", args, calls)
	}
}

func TestWrongArgumentsAreOneClearLine(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	unreadable := filepath.Dir(d.file)
	for want, args := range map[string][]string{
		"missing argument GROUP; --all is for all groups of the file":     {"refresh", d.file},
		"--all and GROUP exclude each other":                              {"refresh", "--all", "web", d.file},
		"unexpected argument \"b.yaml\": there is one FILE":               {"status", d.file, "b.yaml"},
		"--region eu-west-1: " + d.file + " is of region us-east-1":       {"status", "--region", "eu-west-1", "web", d.file},
		"there is no none.yaml":                                           {"plan", "none.yaml"},
		"is a directory":                                                  {"plan", unreadable},
		"missing argument GROUP":                                          {"destroy", "--region", "us-east-1"},
		"unexpected argument \"b\"":                                       {"destroy", "--region", "us-east-1", "a", "b"},
		"unknown flag --wiat; did you mean --wait?":                       {"refresh", "--wiat", "web"},
		"--timeout is for --wait":                                         {"refresh", "--timeout", "1m", "web", d.file},
		"there is no terminal to ask on: look at the plan and give --yes": {"apply", d.file},
	} {
		code, _, errs := d.run(args...)
		if code != 2 || !strings.Contains(errs, want) || strings.Count(errs, "\n") > 3 {
			t.Errorf("%v: exit code %d, want 2 and %q:\n%s", args, code, want, errs)
		}
	}
}
