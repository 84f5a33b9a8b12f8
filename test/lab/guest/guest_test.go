package guest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func good() Spec {
	return Spec{ID: "i-0123456789abcdef0", Layers: []string{"/images/ami-1", "/base"}, StateDir: "/run/lab/i-0",
		Bridge: "br0", MAC: "02:00:00:00:00:01"}
}

func TestSpecFillsWhatIsOpen(t *testing.T) {
	t.Parallel()
	s, err := good().complete()
	if err != nil {
		t.Fatal(err)
	}
	if s.Hostname != "ubuntu" || s.Cgroup != DefaultCgroup || s.Grace != 30*time.Second {
		t.Errorf("defaults: %+v", s)
	}
	if !strings.HasPrefix(s.UUID, "ec2") || len(s.UUID) != 36 || s.UUID != uuidOf(s.ID) {
		t.Errorf("uuid %q", s.UUID)
	}
	if len(s.hostLink()) > 15 {
		t.Errorf("link name %q is longer than the kernel takes", s.hostLink())
	}
}

func TestSpecRefusals(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*Spec){
		"is not a host name":  func(s *Spec) { s.ID = "../i-1" },
		"are required":        func(s *Spec) { s.Layers = nil },
		"bridge are required": func(s *Spec) { s.Bridge = "" },
		`path "/a:b"`:         func(s *Spec) { s.Layers = []string{"/a:b"} },
		`path "here"`:         func(s *Spec) { s.StateDir = "here" },
		"MAC address":         func(s *Spec) { s.MAC = "02:00" },
	} {
		s := good()
		spoil(&s)
		if _, err := Start(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestNspawnArgsCarryTheRecipe(t *testing.T) {
	t.Parallel()
	s, err := good().complete()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(nspawnArgs(s), " ")
	for _, want := range []string{"--boot", "--keep-unit", "--register=no", "--machine=i-0123456789abcdef0",
		"--directory=/run/lab/i-0/merged", "--network-interface=ens5", "--kill-signal=SIGRTMIN+4",
		"--bind-ro=/run/lab/i-0/hypervisor:/sys/hypervisor", "--resolv-conf=off", "--link-journal=no"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	broke := errors.New("broke")
	for _, c := range []struct {
		name        string
		code        int
		asked, kill bool
		want        Exit
	}{
		{name: "from inside", want: Exit{Kind: PoweredOff}},
		{name: "asked", asked: true, want: Exit{Kind: PoweredOff, Asked: true}},
		{name: "reboot crossed by a stop", code: exitReboot, asked: true, want: Exit{Kind: PoweredOff, Asked: true}},
		{name: "killed", code: -1, asked: true, kill: true, want: Exit{Kind: Killed, Asked: true}},
		{name: "broken", code: 1, want: Exit{Kind: Failed, Err: broke}},
		{name: "reboot that fails", code: exitReboot, want: Exit{Kind: Failed, Err: broke}},
	} {
		g := &Guest{asked: c.asked, kill: c.kill}
		if got := g.judge(c.code, broke); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestRingKeepsTheNewest(t *testing.T) {
	t.Parallel()
	var tee bytes.Buffer
	r := newRing(8, &tee)
	for _, chunk := range []string{"abc", "defgh", "ijklmnopqrst", "uv"} {
		if n, err := r.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
	}
	if got := string(r.bytes()); got != "opqrstuv" {
		t.Errorf("ring holds %q", got)
	}
	if tee.String() != "abcdefghijklmnopqrstuv" {
		t.Errorf("passed on %q", tee.String())
	}
}

func TestSnapshotCopiesWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	upper, image := filepath.Join(dir, "upper"), filepath.Join(dir, "images", "ami-1")
	if err := os.MkdirAll(filepath.Join(upper, "etc"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("gone", filepath.Join(upper, "etc", "link")); err != nil {
		t.Fatal(err)
	}
	if err := Snapshot(t.Context(), upper, image); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(filepath.Join(image, "etc", "link")); err != nil || target != "gone" {
		t.Errorf("link %q, %v", target, err)
	}
	if info, err := os.Stat(image); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("mode %v, %v", info, err)
	}
	if err := Snapshot(t.Context(), upper, image); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over an image: %v", err)
	}
	if err := Snapshot(t.Context(), filepath.Join(dir, "none"), image+"2"); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("of nothing: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "images", "*")); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestOnlyVanished(t *testing.T) {
	t.Parallel()
	gone := "cp: cannot stat '/u/a': No such file or directory\n"
	for out, want := range map[string]bool{"": false, gone: true, gone + gone: true, gone + "cp: error writing: No space left on device\n": false} {
		if onlyVanished(out) != want {
			t.Errorf("%q: want %v", out, want)
		}
	}
}

func TestSweepCgroupsRemovesEmptyTrees(t *testing.T) {
	t.Parallel()
	parent := filepath.Join(t.TempDir(), "lab")
	if err := os.MkdirAll(filepath.Join(parent, "i-1", "payload", "init.scope"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := SweepCgroups(parent); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
	if err := SweepCgroups(parent); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}
