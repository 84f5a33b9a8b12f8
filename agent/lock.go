package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

const (
	lockPoll = 100 * time.Millisecond
	lockWait = 15 * time.Minute
)

// lock makes this the only run on the machine. The kernel drops the lock with
// its process, so a killed agent never bars the next. A run that is at work is
// waited for; after lockWait that is a fault.Timeout.
func (a *Agent) lock(ctx context.Context) (unlock func(), err error) {
	dir := a.path(agentconf.StateDir)
	if err := mkdirAll(dir); err != nil {
		return nil, fmt.Errorf("making %s: %w", dir, onDisk(err))
	}
	// Who can open a file can lock it, and so bar every deploy: root alone may.
	f, err := os.OpenFile(a.path(agentconf.StateDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", onDisk(err))
	}
	if err := f.Chmod(0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("closing the lock to others: %w", onDisk(err)), f.Close())
	}
	deadline, over := a.deps.Clock.Now().Add(lockWait), func() {}
	defer func() { over() }()
	for said := false; ; said = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			_ = f.Truncate(0) // the number is for endHolder, and no more than a hint
			_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
			return func() { letGo(f) }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
		}
		if !said {
			a.deps.Events.Note("waiting for the boot-agent that is at work")
			over = a.waits(Wait{For: "the boot-agent that is at work", Until: deadline})
		}
		if err := a.deps.Clock.Sleep(ctx, lockPoll); err != nil {
			return nil, errors.Join(fmt.Errorf("waiting for another boot-agent: %w", err), f.Close())
		}
		if a.deps.Clock.Now().After(deadline) {
			return nil, errors.Join(fault.Newf(fault.Timeout, "see what it does: boot-agent status", "waiting for another boot-agent: still at work after %s", lockWait), f.Close())
		}
	}
}

// endHolder tells the boot-agent that holds the lock to end, as SIGTERM does
// anywhere: its journal is taken up later, or never. A number that was left by
// another run may be any process's by now, so the program is compared.
func (a *Agent) endHolder(ctx context.Context) {
	path := a.path(agentconf.StateDir, "lock")
	b, err := os.ReadFile(path)
	pid, perr := strconv.Atoi(string(b))
	if err != nil || perr != nil || !locked(path) {
		return
	}
	ours, err := os.Readlink("/proc/self/exe")
	theirs, terr := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil || terr != nil || ours != theirs {
		return
	}
	a.deps.Events.Note(fmt.Sprintf("ending the boot-agent that is at work (process %d)", pid))
	if err := a.deps.Runner.Run(ctx, Command{Path: "kill", Args: []string{"-TERM", strconv.Itoa(pid)}}); err != nil {
		a.deps.Events.Note(fmt.Sprintf("ending process %d: %v", pid, err))
	}
}

// letGo gives the lock up by name: closing alone would leave it held for as
// long as a child that is just being forked has the descriptor too.
func letGo(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	_ = f.Close()
}

// locked says whether a run is at work. It never waits.
func locked(path string) bool {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return listed(path)
	}
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// listed is locked for those who may not open the file: /proc/locks shows who
// holds what, by device and inode, to everybody (proc_locks(5)).
func listed(path string) bool {
	var st unix.Stat_t
	locks, err := os.ReadFile("/proc/locks")
	if err != nil || unix.Stat(path, &st) != nil {
		return false
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(locks)) {
		if f := strings.Fields(line); len(f) > 5 && f[1] == "FLOCK" && f[3] == "WRITE" && f[5] == file {
			return true
		}
	}
	return false
}
