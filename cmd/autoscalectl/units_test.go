package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"bakehouse/internal/cliapp"
)

// flagsOf are the flags of a command, as they are typed.
func flagsOf(t *testing.T, command string) map[string]bool {
	t.Helper()
	known := map[string]bool{}
	for _, c := range newApp(realDeps(cliapp.Process{})).Commands {
		if c.Name != command {
			continue
		}
		for _, f := range c.Flags {
			for _, n := range f.Names() {
				known["--"+n] = true
			}
		}
	}
	if len(known) == 0 {
		t.Fatalf("there is no command %s", command)
	}
	return known
}

// TestTheUnitAndThePageRunWhatExists looks at the service's command line and
// at the container's in docs/scaling.md: their flags are ones of balance.
func TestTheUnitAndThePageRunWhatExists(t *testing.T) {
	t.Parallel()
	known := flagsOf(t, "balance")
	for _, path := range []string{"autoscalectl-balance.service", "../../docs/scaling.md", "../../docs/simulate.md"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := regexp.MustCompile(`(?m)autoscalectl balance (.*)$`).FindAllStringSubmatch(string(b), -1)
		if len(lines) == 0 {
			t.Errorf("%s does not run balance", path)
		}
		for _, line := range lines {
			for _, word := range strings.Fields(line[1]) {
				if strings.HasPrefix(word, "--") && !known[word] {
					t.Errorf("%s uses %s, which balance does not have", path, word)
				}
			}
		}
	}
}
