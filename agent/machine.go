package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stopGrace is how long a program may take to end after SIGTERM. chef-client
// uses it to finish the resource at hand.
const stopGrace = 20 * time.Second

// ExitError says that a program ended with a code other than 0. A program that
// a signal ended has 128 plus the signal's number, as in a shell.
type ExitError struct{ Code int }

// Error names the code.
func (e *ExitError) Error() string { return "exit code " + strconv.Itoa(e.Code) }

// Exec is the Runner of a real machine.
type Exec struct{}

// Run implements Runner.
func (Exec) Run(ctx context.Context, c Command) error {
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = c.Out, c.Out
	// A group of its own: what chef-client started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopGrace
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // stragglers; usually nobody is left
		return fmt.Errorf("running %s: %w", c.Path, context.Cause(ctx))
	}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // a child kept our pipe; the program itself ended well
		return nil
	case !errors.As(err, &exit):
		return fmt.Errorf("running %s: %w", c.Path, err)
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return &ExitError{Code: 128 + int(ws.Signal())}
	}
	return &ExitError{Code: exit.ExitCode()}
}

// peakRSS is the largest resident set that this process has had, in KiB; 0
// where the system does not say.
func peakRSS() int64 {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return int64(use.Maxrss)
}

// SystemClock is the Clock of a real machine.
type SystemClock struct{}

// Now implements Clock.
func (SystemClock) Now() time.Time { return time.Now() }

// Sleep implements Clock.
func (SystemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Filesystem is the Disk of a real machine.
type Filesystem struct{}

// Free implements Disk with statfs(2), as an unprivileged writer sees it.
func (Filesystem) Free(path string) (bytes, inodes uint64, limited bool, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, false, fmt.Errorf("asking %s for free space: %w", path, err)
	}
	// Files is 0 where inodes are made on demand (btrfs).
	return st.Bavail * uint64(st.Frsize), st.Ffree, st.Files > 0, nil
}

// Busy implements Disk by /proc, as far as it can be read: programs whose file
// or working directory lies below dir.
func (Filesystem) Busy(dir string) (bool, error) {
	links, err := filepath.Glob("/proc/[0-9]*/[ce][wx][de]") // cwd and exe
	if err != nil {
		return false, err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && (target == dir || strings.HasPrefix(target, dir+"/")) {
			return true, nil
		}
	}
	return false, nil
}

// Chown implements Disk. Links are given away themselves, not what they lead to.
func (Filesystem) Chown(dir, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, uerr := strconv.Atoi(u.Uid)
	gid, gerr := strconv.Atoi(u.Gid)
	if err := errors.Join(uerr, gerr); err != nil {
		return fmt.Errorf("reading the ids of user %s: %w", name, err)
	}
	return eachInside(dir, func(path string) error { return os.Lchown(path, uid, gid) })
}

// eachInside calls do for everything below dir and for dir, a directory after
// all that is in it. So whoever is given a directory with do can put nothing, a
// link least of all, in the way of what is still to come.
func eachInside(dir string, do func(path string) error) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			dirs = append(dirs, path)
			return nil
		}
		return do(path)
	})
	for _, d := range slices.Backward(dirs) {
		if err == nil {
			err = do(d)
		}
	}
	return err
}
