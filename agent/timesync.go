package agent

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	clockWait = 30 * time.Second // for the machine's clock, at most
	clockPoll = 250 * time.Millisecond
)

// awaitClock waits until the machine's clock is set, because every signed call
// carries the time and a Chef server refuses one that is 15 minutes off with
// the same 401 as a wrong key. A machine without a time service never says that
// its clock is set, so after clockWait the agent goes on and says so.
func (s *session) awaitClock(ctx context.Context) error {
	began, over := s.deps.Clock.Now(), func() {}
	defer func() { over() }()
	for said := false; ; said = true {
		set, err := s.deps.ClockSet()
		if err != nil {
			s.deps.Events.Note("the clock's state is unknown: " + err.Error())
			return nil
		}
		if set {
			return nil
		}
		if !said {
			s.deps.Events.Note("waiting for the clock to be set")
			over = s.waits(Wait{For: "the clock to be set", Until: began.Add(clockWait)})
		}
		if err := s.deps.Clock.Sleep(ctx, clockPoll); err != nil {
			return fmt.Errorf("waiting for the clock to be set: %w", err)
		}
		// A clock that is being set jumps, forwards and backwards.
		if d := s.deps.Clock.Now().Sub(began); d < 0 || d > 2*clockWait {
			began = s.deps.Clock.Now()
		} else if d >= clockWait {
			s.deps.Events.Note(fmt.Sprintf("the clock is not set after %s (timedatectl); going on", clockWait))
			return nil
		}
	}
}

// ClockSet says whether the kernel counts the machine's clock as set, which
// systemd-timesyncd, ntpd and chrony (with rtcsync, as Ubuntu has it) tell it:
// adjtimex(2). A container shares its host's clock and cannot set it, so there
// it counts as set; systemd names the container in /run/systemd/container.
func ClockSet() (bool, error) {
	if _, err := os.Stat("/run/systemd/container"); err == nil {
		return true, nil
	}
	var t unix.Timex
	if _, err := unix.Adjtimex(&t); err != nil {
		return false, fmt.Errorf("asking the kernel for the clock's state: %w", err)
	}
	return t.Status&unix.STA_UNSYNC == 0, nil
}
