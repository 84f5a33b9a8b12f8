//go:build lab

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheUnitIsWhatSystemdTakes hands the shipped unit to systemd's own check.
// The binary is not installed here: the check looks at a program that is.
func TestTheUnitIsWhatSystemdTakes(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("autoscalectl-balance.service")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "autoscalectl-balance.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(b), "/usr/bin/autoscalectl", "/usr/bin/env")), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--generators=no", file).CombinedOutput()
	if err != nil || strings.Contains(string(out), "autoscalectl") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
