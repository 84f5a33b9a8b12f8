package agent

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestAnyKillsEndInTheSameState kills any number of runs in a row, each after
// any number of durable steps: what a machine does that crashes in a loop. The
// agent renders the unit, and a stack and a group wait for the instance, so that
// every step of a first boot is among them.
func TestAnyKillsEndInTheSameState(t *testing.T) {
	t.Parallel()
	calm := inStack(t, "InService")
	calm.renders()
	every := 0
	calm.trace = func(Point) error { every++; return nil }
	calm.boot()
	want, unit := calm.endState(), calm.read("/etc/systemd/system/web.service")
	if least := len(Points()) + len(GroupPoints()) + 1; every < least { // 1 is UnitWritten
		t.Fatalf("a first boot passes %d steps, want at least %d", every, least)
	}
	rapid.Check(t, func(r *rapid.T) {
		w := inStack(t, "InService")
		w.renders()
		kills := rapid.SliceOfN(rapid.IntRange(1, every), 0, 8).Draw(r, "kills")
		for _, after := range kills {
			steps := 0
			w.trace = func(Point) error {
				if steps++; steps == after {
					return errKilled
				}
				return nil
			}
			if err := w.agent().FirstBoot(context.Background()); err != nil && !errors.Is(err, errKilled) {
				r.Fatalf("kills after %v steps: a run ended with %v", kills, err)
			}
		}
		w.trace = nil
		if err := w.agent().FirstBoot(context.Background()); err != nil {
			r.Fatalf("kills after %v steps: the last run ended with %v", kills, err)
		}
		if got := w.endState(); !reflect.DeepEqual(got, want) {
			r.Fatalf("kills after %v steps: end state is\n%+v\nwant\n%+v", kills, got, want)
		}
		if w.read("/etc/systemd/system/web.service") != unit {
			r.Fatalf("kills after %v steps: the unit differs", kills)
		}
		// A repeated answer is refused by AWS, and no harm.
		if told := slices.Compact(slices.Clone(w.groups.told)); !slices.Equal(told, []string{signalled, saidReady}) {
			r.Fatalf("kills after %v steps: told %q", kills, w.groups.told)
		}
	})
}
