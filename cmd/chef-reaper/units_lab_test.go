//go:build lab

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnitsAreWhatSystemdTakes hands the shipped units to systemd's own check.
// The binary is not installed here: the check looks at a program that is.
func TestUnitsAreWhatSystemdTakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"chef-reaper.service", "chef-reaper.timer"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "/usr/bin/chef-reaper", "/usr/bin/env")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--generators=no", filepath.Join(dir, "chef-reaper.timer"), filepath.Join(dir, "chef-reaper.service")).CombinedOutput()
	if err != nil || strings.Contains(string(out), "chef-reaper") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
