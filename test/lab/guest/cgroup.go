package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// members lists the processes in a cgroup and below it.
func members(dir string) []int {
	var pids []int
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "cgroup.procs" {
			pids = append(pids, readPIDs(path)...)
		}
		return nil
	})
	return pids
}

// readPIDs reads a cgroup.procs file; one that is gone holds none.
func readPIDs(path string) []int {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var pids []int
	for _, field := range strings.Fields(string(data)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 { // 0: in a namespace above
			pids = append(pids, pid)
		}
	}
	return pids
}

// reap takes killed processes' exit status when they have become this process's
// children: in the seal this process is PID 1, which inherits the guest's systemd
// when its manager dies first. Each is waited for by its own id, so that nobody
// else's child is taken. Others' children are none of its business (ECHILD).
func reap(pids []int) {
	for _, pid := range pids {
		for range 100 {
			got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
			if got == pid || errors.Is(err, unix.ECHILD) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
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
