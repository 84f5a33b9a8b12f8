package agent

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// TestAnyKillsEndInTheSameState kills any number of runs in a row, each after
// any number of durable steps: what a machine does that crashes in a loop.
func TestAnyKillsEndInTheSameState(t *testing.T) {
	t.Parallel()
	want := reference(t)
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t)
		kills := rapid.SliceOfN(rapid.IntRange(1, len(Points())), 0, 8).Draw(r, "kills")
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
	})
}
