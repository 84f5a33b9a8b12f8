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
//
// There is no memory.max by instance type: the guest's disk is a tmpfs, and its
// pages count against the group that wrote them, so a t3.nano would be killed for
// packages that a real one keeps on its disk. A test that is about memory gives
// the program a limit of its own: systemd-run -p MemoryMax=512M.
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

// reap takes the exit status of what was killed in a cgroup and has become this
// process's child: in the seal this process is PID 1, which inherits the guest's
// systemd when its manager dies first. Each is waited for by its own id, so that
// nobody else's child is taken. The caller has waited for the manager itself.
func reap(cgroup string) {
	mine := strconv.Itoa(os.Getpid())
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, path := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || parentOf(path) != mine || !wasIn(pid, cgroup) {
			continue
		}
		for range 100 {
			if got, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); got == pid || err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// parentOf returns the parent's id from a stat file (proc(5), field 4; the name
// in field 2 may hold anything, so fields are counted from its closing bracket).
func parentOf(stat string) string {
	data, err := os.ReadFile(stat)
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 2 {
		return ""
	}
	return fields[1]
}

// wasIn says whether a process, dead or alive, belongs to a cgroup or one below.
func wasIn(pid int, cgroup string) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return false
	}
	name := "/" + filepath.Base(filepath.Dir(cgroup)) + "/" + filepath.Base(cgroup)
	for line := range strings.Lines(string(data)) {
		// A dead process's line ends in " (deleted)" once the cgroup is gone.
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok &&
			strings.Contains(strings.TrimSuffix(path, " (deleted)")+"/", name+"/") {
			return true
		}
	}
	return false
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
