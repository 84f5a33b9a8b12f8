package main

import (
	"os"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
)

// TestTheUnitRunsWhatExists looks at the service's command line: its flags are
// ones of run, and its variables ones that a flag reads.
func TestTheUnitRunsWhatExists(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("chef-reaper.service")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, c := range newApp(realDeps(cliapp.Process{})).Commands {
		if c.Name != "run" {
			continue
		}
		for _, f := range c.Flags {
			for _, n := range f.Names() {
				known["--"+n] = true
			}
			if e, ok := f.(cli.DocGenerationFlag); ok {
				for _, v := range e.GetEnvVars() {
					known[v] = true
				}
			}
		}
	}
	commands := 0
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ExecStart":
			commands++
			for _, word := range strings.Fields(value) {
				if strings.HasPrefix(word, "--") && !known[word] {
					t.Errorf("the service uses %s, which run does not have", word)
				}
			}
		case "Environment":
			if name, _, _ := strings.Cut(value, "="); !known[name] {
				t.Errorf("the service sets %s, which no flag reads", name)
			}
		}
	}
	if commands != 1 {
		t.Errorf("the service has %d commands, want 1", commands)
	}
}
