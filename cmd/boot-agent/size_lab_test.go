//go:build lab

package main

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// maxSize is what the agent may weigh: it is baked into every image and read
// from a cold disk at every first boot.
const maxSize = 10 << 20

// TestBinaryIsSmallAndStatic builds the agent as make build does.
func TestBinaryIsSmallAndStatic(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "boot-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "nethttpomithttp2", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("boot-agent: %.2f MiB", float64(info.Size())/(1<<20))
	if info.Size() > maxSize {
		t.Errorf("boot-agent is %.2f MiB, want at most %d: see what came in with go list -deps and go tool nm -size", float64(info.Size())/(1<<20), maxSize>>20)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libs, err := f.ImportedLibraries(); err != nil || len(libs) > 0 {
		t.Errorf("boot-agent needs %q (%v), want it static", libs, err)
	}
}

// text/template calls methods by name, after which the linker can drop none:
// one import of it anywhere doubles the binary.
func TestNothingSwitchesOffDeadCodeElimination(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("listing imports: %v", err)
	}
	for _, bad := range []string{"text/template", "html/template", "github.com/urfave/cli/v2", "github.com/aws/aws-sdk-go-v2/config"} {
		if strings.Contains("\n"+string(out), "\n"+bad+"\n") {
			t.Errorf("boot-agent imports %s", bad)
		}
	}
}
