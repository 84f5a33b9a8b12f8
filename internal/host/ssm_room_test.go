package host

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The folder is in memory: what commands leave there must not add up.
func TestSSMLeavesNothingForLong(t *testing.T) {
	t.Parallel()
	r, s := overSSM(t)
	dir := filepath.Join(r.dir, "ssm")
	age := func(d time.Duration, names ...string) {
		for _, name := range names {
			path, at := filepath.Join(dir, name), time.Now().Add(-d)
			if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
		}
	}
	age(2*time.Hour, "ended.sh", "ended.out", "ended.code", "running.sh", "running.out")
	age(time.Minute, "just.sh", "just.out", "just.code")
	age(72*time.Hour, "lost.p00001", "lost.p00002")
	old := time.Now().Add(-72 * time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "key"), old, old); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), Command{Script: "true"}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"ended.*": false, "lost.*": false, "running.sh": true, "just.code": true, "just.out": true, "key": true} {
		if left, _ := filepath.Glob(filepath.Join(dir, name)); (len(left) > 0) != want {
			t.Errorf("%s: left is %q", name, left)
		}
	}
	s.killUnit(t.Context(), "just")
	if left, _ := filepath.Glob(filepath.Join(dir, "just.*")); len(left) > 0 {
		t.Errorf("a command that was cancelled leaves %q", left)
	}
}

// Two operators may meet on a machine that has no key yet.
func TestSSMKeepsTheKeyThatWasFirst(t *testing.T) {
	t.Parallel()
	real, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal(err)
	}
	r := newRunCommand(t)
	// While this one makes its key, another one has made one already.
	shim := "#!/bin/sh\nif [ $1 = genpkey ] && [ ! -e key ]; then " + real + " genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out key; cp key ../other; fi\nexec " + real + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(r.dir, "openssl"), []byte(shim), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := WaitSSM(t.Context(), r, "i-1", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(r.dir, "other"))
	key, kerr := os.ReadFile(filepath.Join(r.dir, "ssm/key"))
	if err != nil || kerr != nil || string(key) != string(other) || !strings.Contains(string(key), "PRIVATE KEY") {
		t.Errorf("the other's key was replaced (%v, %v)", err, kerr)
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "ssm/key.*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
