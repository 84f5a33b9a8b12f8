//go:build lab

package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestZLast runs last (files are taken by name): after all the guests nothing
// may be left.
func TestZLast(t *testing.T) {
	if links := labLinks(t); links != 0 {
		t.Errorf("%d cables left", links)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), "/run/lab/") {
		t.Errorf("mounts left:\n%s", mounts)
	}
	if left, _ := filepath.Glob("/run/lab/i-*"); len(left) > 0 {
		t.Errorf("state left: %v", left)
	}
	if left, _ := filepath.Glob("/run/systemd/nspawn/propagate/*"); len(left) > 0 {
		t.Errorf("propagation directories left: %v", left)
	}
	if left, _ := filepath.Glob(testCgroup() + "/*/"); len(left) > 0 {
		t.Errorf("cgroups left: %v", left)
	}
	var out []byte
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) { // what was killed takes a moment to be gone
		out, _ = exec.Command("sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null | sort | uniq -c | grep -E 'nspawn|systemd'").Output()
		if len(out) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(out) > 0 {
		t.Errorf("processes left, zombies included: %s", out)
	}
}
