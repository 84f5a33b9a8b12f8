package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

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
	f, err := os.OpenFile(a.path(agentconf.StateDir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", onDisk(err))
	}
	deadline, over := a.deps.Clock.Now().Add(lockWait), func() {}
	defer func() { over() }()
	for said := false; ; said = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
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

// letGo gives the lock up by name: closing alone would leave it held for as
// long as a child that is just being forked has the descriptor too.
func letGo(f *os.File) {
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	_ = f.Close()
}

// locked says whether a run is at work. It never waits.
func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}
