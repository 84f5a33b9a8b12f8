//go:build linux

package seal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// StartTime returns when process pid started, in clock ticks since the machine
// booted (field 22 of proc_pid_stat(5)); with the pid it names a process for
// good. A process that is gone, or only waits to be reaped, is fs.ErrNotExist.
func StartTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, fmt.Errorf("looking at process %d: %w", pid, fs.ErrNotExist)
	}
	return parseStartTime(stat)
}

func parseStartTime(stat []byte) (uint64, error) {
	// The name in parentheses may hold blanks and parentheses itself.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const state, start = 0, 19
	if len(fields) <= start {
		return 0, errors.New("reading process state: too few fields")
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return 0, fmt.Errorf("looking at a dead process: %w", fs.ErrNotExist)
	}
	ticks, err := strconv.ParseUint(fields[start], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading process start time: %w", err)
	}
	return ticks, nil
}

// Alive tells whether pid is still the process that started at ticks.
func Alive(pid int, ticks uint64) bool {
	now, err := StartTime(pid)
	return err == nil && now == ticks
}

// SweepCgroups removes the cgroup tree called name under every cgroup2 mount
// that this process sees: namespaces die with their last process, cgroup
// directories do not. Processes still in it are killed first (cgroup.kill).
// It returns what it removed.
func SweepCgroups(name string) ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("finding cgroup mounts: %w", err)
	}
	var removed []string
	var errs []error
	for _, at := range cgroup2Mounts(mounts) {
		top := filepath.Join(at, name)
		if _, err := os.Stat(top); err != nil {
			continue
		}
		got, err := removeTree(top)
		removed = append(removed, got...)
		errs = append(errs, err)
	}
	return removed, errors.Join(errs...)
}

// cgroup2Mounts picks the mount points of type cgroup2, see proc_pid_mountinfo(5).
func cgroup2Mounts(mountinfo []byte) []string {
	var at []string
	lines := bufio.NewScanner(bytes.NewReader(mountinfo))
	for lines.Scan() {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(left)
		if ok && len(fields) > 4 && strings.HasPrefix(right, "cgroup2 ") {
			at = append(at, fields[4])
		}
	}
	return at
}

// removeTree removes cgroup directories, deepest first. Killed processes leave
// their group a moment after the kill, hence the short patience.
func removeTree(top string) ([]string, error) {
	if kill, err := os.OpenFile(filepath.Join(top, "cgroup.kill"), os.O_WRONLY, 0); err == nil {
		_, _ = kill.WriteString("1") // an empty group: nothing to kill
		_ = kill.Close()
	}
	var dirs []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // a group may vanish while we look
	})
	if err != nil {
		return nil, fmt.Errorf("listing cgroups under %s: %w", top, err)
	}
	var removed []string
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := removeGroup(dirs[i], 2*time.Second); err != nil {
			return removed, fmt.Errorf("removing cgroup: %w", err)
		}
		removed = append(removed, dirs[i])
	}
	return removed, nil
}

func removeGroup(dir string, patience time.Duration) error {
	deadline := time.Now().Add(patience)
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
