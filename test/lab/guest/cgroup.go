package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// makeCgroup makes the guest's cgroup and opens it, for the container to be born in.
func makeCgroup(s Spec) (*os.File, error) {
	if err := os.MkdirAll(s.cgroup(), 0o755); err != nil {
		return nil, fmt.Errorf("making the cgroup: %w", err)
	}
	return os.Open(s.cgroup())
}

// killCgroup kills every process of the guest at once (cgroup.kill, Linux 5.14).
func (g *Guest) killCgroup() error {
	err := os.WriteFile(filepath.Join(g.spec.cgroup(), "cgroup.kill"), []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// SweepCgroups removes the empty cgroups below parent and parent itself: all that
// a killed lab can leave, since its namespaces take everything else with them.
// One that still has processes is an error.
func SweepCgroups(parent string) error { return removeCgroup(parent) }

// removeCgroup removes a cgroup and those below it. The kernel says EBUSY for a
// moment after the last process is gone.
func removeCgroup(dir string) error {
	var err error
	for range 100 {
		if err = tryRemoveCgroup(dir); !errors.Is(err, unix.EBUSY) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("removing cgroup %s: %w", dir, err)
}

func tryRemoveCgroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := tryRemoveCgroup(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	err = unix.Rmdir(dir) // not os.Remove, which would try to unlink first
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}
