package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/config"
)

// TestANewcomerIsToldWhatToWriteInstead: each wrong call names the right one.
func TestANewcomerIsToldWhatToWriteInstead(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"web":                                 "name a role by --role web, or give a command: sweep, abort, config,",
		"bake --role web":                     `unexpected argument "bake": it is no command`,
		"swep":                                "give a command: sweep,",
		"explain web":                         `unexpected argument "web"`,
		"--role web --timeout 10":             `invalid value "10" for flag --timeout: want a time such as 30s or 5m`,
		"--role web --root-volume-gb 20G":     `invalid value "20G" for flag --root-volume-gb: want a whole number`,
		"--role web --dryrun":                 "did you mean --dry-run?",
		"--role web --prove-time 3m":          "did you mean --prove-timeout?",
		"prune --role web --older-than 30":    "is not an age such as 90d or 36h",
		"--role web --output yaml":            "--output yaml: want auto, plain or json",
		"--role web --copy-to eu-west-1=":     "give a key id, an ARN or alias/NAME",
		"--role web --deprecate-after 1month": "is not an age such as 90d or 36h",
	} {
		r := run(t, config.Config{}, nil, strings.Fields(line)...)
		if r.code != 2 || r.got != nil || r.stdout != "" || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") > 5 {
			t.Errorf("bake-ami %s: exit %d, want 2 and %q in\n%s", line, r.code, want, r.stderr)
		}
	}
}

// TestTheHelpTellsOneDefaultOfEachFlag reads every command's help: a default
// is told once, and what is said of a flag can be read without the one before,
// because they stand in alphabetical order.
func TestTheHelpTellsOneDefaultOfEachFlag(t *testing.T) {
	t.Parallel()
	commands := append(newApp(deps{}).Commands, nil)
	for _, cmd := range commands {
		args := []string{"--help"}
		if cmd != nil {
			args = []string{cmd.Name, "--help"}
		}
		r := run(t, config.Config{}, nil, args...)
		for _, l := range strings.Split(r.stdout, "\n") {
			if n := strings.Count(l, "default:"); n > 1 || strings.Contains(l, "(default: 0") || strings.Contains(l, "(default: false)") {
				t.Errorf("%v: %s", args, l)
			}
			if flag := regexp.MustCompile(`^ +--[a-z]`).MatchString(l); flag && regexp.MustCompile(`that (key|client|package|version)\b|fetch its key`).MatchString(l) {
				t.Errorf("%v: which one? %s", args, l)
			}
		}
	}
}

// TestTheExamplesOfTheHelpAreCalls: they use flags and commands that exist.
func TestTheExamplesOfTheHelpAreCalls(t *testing.T) {
	t.Parallel()
	var known, commands []string
	for _, f := range append(flags(), sweepFlags()...) {
		for _, n := range f.Names() {
			known = append(known, "--"+n)
		}
	}
	for _, cmd := range newApp(deps{}).Commands {
		commands = append(commands, cmd.Name)
	}
	calls := regexp.MustCompile(`(?m)^  bake-ami (\S+)(.*)$`).FindAllStringSubmatch(examples(), -1)
	if len(calls) < 4 {
		t.Errorf("only %d examples", len(calls))
	}
	for _, c := range calls {
		if !strings.HasPrefix(c[1], "--") && !slices.Contains(commands, c[1]) {
			t.Errorf("%s is no command", c[1])
		}
		for _, f := range regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(c[1]+c[2], -1) {
			if !slices.Contains(known, f) {
				t.Errorf("bake-ami does not know %s", f)
			}
		}
	}
}
