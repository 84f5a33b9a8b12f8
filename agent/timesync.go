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
	leastJump = time.Minute // less than that is no matter, or a machine that is slow to wake us
)

// awaitClock waits until the machine's clock is set, because every signed call
// carries the time and a Chef server refuses one that is 15 minutes off with
// the same 401 as a wrong key. A machine without a time service never says that
// its clock is set, so after clockWait the agent goes on and says so.
func (s *session) awaitClock(ctx context.Context) error {
	began, over := s.deps.Clock.Now().Round(0), func() {} // Round: what the wall says, which jumps
	defer func() { over() }()
	for waited := time.Duration(0); waited < clockWait; waited += clockPoll {
		set, err := s.deps.ClockSet()
		if err != nil {
			s.deps.Events.Note("the clock's state is unknown: " + err.Error())
			return nil
		}
		if set {
			return s.clockJumped(s.deps.Clock.Now().Round(0).Sub(began) - waited)
		}
		if waited == 0 {
			s.deps.Events.Note("waiting for the clock to be set")
			over = s.waits(Wait{For: "the clock to be set", Until: began.Add(clockWait)})
		}
		if err := s.deps.Clock.Sleep(ctx, clockPoll); err != nil {
			return fmt.Errorf("waiting for the clock to be set: %w", err)
		}
	}
	s.deps.Events.Note(fmt.Sprintf("the clock is not set after %s (timedatectl); going on", clockWait))
	return nil
}

// clockJumped corrects what was written down by the clock as it was before: the
// time for the launch is counted from there, and a clock that was an hour slow
// would have used it up.
func (s *session) clockJumped(by time.Duration) error {
	if by.Abs() < leastJump {
		return nil
	}
	s.deps.Events.Note(fmt.Sprintf("the clock was set by %s", by.Round(time.Second)))
	for i := range s.j.Stages {
		r := &s.j.Stages[i]
		for _, t := range []*time.Time{&r.Started, &r.Ended} {
			if !t.IsZero() {
				*t = t.Add(by)
			}
		}
	}
	return s.save()
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
