package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNothingIsSignedBeforeTheClockIsSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.unset = 12
	began := w.now
	w.secretHook = func() {
		if waited := w.Now().Sub(began); waited < 12*clockPoll {
			t.Errorf("the first signed call came after %s, want it after the clock was set (%s)", waited, 12*clockPoll)
		}
	}
	w.boot()
	if !slices.Contains(w.notes, "waiting for the clock to be set") {
		t.Errorf("nobody was told of the wait:\n%s", strings.Join(w.notes, "\n"))
	}
}

func TestAClockThatIsNeverSetIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.unset = 1 << 30
	began := w.now
	w.boot()
	if waited := w.now.Sub(began); waited < clockWait || waited > clockWait+time.Minute {
		t.Errorf("first boot took %s without a set clock, want about %s", waited, clockWait)
	}
	if !strings.Contains(strings.Join(w.notes, "\n"), "timedatectl") {
		t.Error("nobody was told that the clock is not set")
	}
}

func TestAClockThatJumpsWhileItIsSetDoesNotEndTheWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.unset, w.jump = 20, 3*time.Hour
	w.boot()
	if strings.Contains(strings.Join(w.notes, "\n"), "timedatectl") {
		t.Error("a jump of three hours was taken for a wait of three hours")
	}
}

// The time for the launch is counted from the first run, by a clock that may be
// hours slow by then.
func TestAClockThatIsSetUsesUpNoLaunchTime(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{3 * time.Hour, -3 * time.Hour} {
		w := inGroup(t, "InService")
		w.unset, w.jump = 20, jump
		began := w.now
		w.boot()
		if r := w.journal().record(Identify); !slices.Equal(w.groups.told, []string{saidReady}) || !r.Started.Equal(began.Add(jump)) || r.Ended.Before(r.Started) {
			t.Errorf("set by %s: told %q, begun at %s, want %s", jump, w.groups.told, r.Started, began.Add(jump))
		}
	}
}

func TestStoppedWhileWaitingForTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.unset = 1 << 30
	ctx, cancel := context.WithCancel(context.Background())
	w.trace = func(p Point) error {
		if p == KeyRecorded {
			cancel()
		}
		return nil
	}
	if err := w.agent().FirstBoot(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the stop", err)
	}
	if f := w.journal().Failure(); f != nil {
		t.Errorf("a stop was written down as a failure: %+v", f)
	}
}
