//go:build linux

package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Command is a program to run inside a seal with this process's standard
// streams, working directory and terminal.
type Command struct {
	Args []string
	Env  []string
	Dir  string
}

// Enter runs c in the namespaces of process pid and returns its exit code, 128+n
// when signal n ended it. SIGTERM and SIGHUP are passed on; SIGINT and SIGQUIT,
// which a terminal gives to the whole group, are left to the command.
//
// The calling thread moves into the namespaces and the fork happens on it, so
// the command is our own child: its exit code and signals need no helper.
// The thread is thrown away afterwards (its goroutine ends locked).
func Enter(pid int, c Command) (int, error) { return c.runAfter(func() error { return join(pid) }) }

// Run is Enter for a caller who is inside already.
func Run(c Command) (int, error) { return c.runAfter(func() error { return nil }) }

// runAfter moves a thread of its own, then runs the command from it.
func (c Command) runAfter(move func() error) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Stop(signals)
	type outcome struct {
		code int
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread dies with the goroutine
		if err := move(); err != nil {
			done <- outcome{1, err}
			return
		}
		code, err := c.wait(signals)
		done <- outcome{code, err}
	}()
	got := <-done
	return got.code, got.err
}

// wait starts the command on the calling thread and waits for its end.
func (c Command) wait(signals <-chan os.Signal) (int, error) {
	path := c.Args[0]
	if !strings.Contains(path, "/") { // with one it is meant from Dir, where the child starts
		var err error
		if path, err = exec.LookPath(path); err != nil {
			return 127, fmt.Errorf("finding %s: %w", c.Args[0], err)
		}
	}
	cmd := &exec.Cmd{Path: path, Args: c.Args, Env: c.Env, Dir: c.Dir,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return 127, fmt.Errorf("finding %s: %w", c.Args[0], err)
		}
		return 126, fmt.Errorf("running %s in the lab: %w", c.Args[0], err)
	}
	go relay(cmd.Process, signals)
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 1, fmt.Errorf("waiting for %s: %w", c.Args[0], err)
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

func relay(p *os.Process, signals <-chan os.Signal) {
	for sig := range signals {
		if sig == syscall.SIGTERM || sig == syscall.SIGHUP {
			_ = p.Signal(sig) // gone already: Wait is about to return
		}
	}
}

// join moves the calling thread into the namespaces of pid. The mount namespace
// comes last: after it /proc is the seal's own, where pid means another process.
func join(pid int) error {
	kinds := []struct {
		name string
		flag int
	}{{"uts", unix.CLONE_NEWUTS}, {"ipc", unix.CLONE_NEWIPC}, {"net", unix.CLONE_NEWNET},
		{"pid", unix.CLONE_NEWPID}, {"mnt", unix.CLONE_NEWNS}}
	fds := make([]int, len(kinds))
	for i, k := range kinds {
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, k.name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("finding the lab's %s namespace: %w", k.name, err)
		}
		defer unix.Close(fd)
		fds[i] = fd
	}
	// A thread that shares its root and working directory may not change mounts.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("leaving the shared file system state: %w", err)
	}
	for i, k := range kinds {
		if err := unix.Setns(fds[i], k.flag); err != nil {
			return fmt.Errorf("entering the lab's %s namespace: %w", k.name, err)
		}
	}
	return nil
}
