package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Without it a time zone is unknown where no zoneinfo is installed, and a
// group would be set back from what its scheduled action has set.
func TestTheBinaryBringsItsTimeZones(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil || !slices.Contains(strings.Fields(string(out)), "time/tzdata") {
		t.Errorf("time/tzdata is not linked in (%v)", err)
	}
}
