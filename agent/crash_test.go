package agent

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"bakehouse/internal/fault"
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

// TestAnyKillsInADeployEndInTheSameState kills deploys of a good and of a sick
// build anywhere, and whatever goes on with them: another deploy, or a boot.
func TestAnyKillsInADeployEndInTheSameState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t)
		w.renders()
		lay, running := Layout{Root: filepath.Join(w.root, "srv/web")}, ""
		w.systemctl = func(args []string, _ io.Writer) error {
			if args[0] == "restart" { // the process keeps what was current then
				running = string(lay.Live())
			}
			return nil
		}
		w.boot()
		want := w.journal().Build
		sick := rapid.Bool().Draw(r, "sick")
		if sick {
			w.sick("sick build")
		} else {
			want = string(w.push("second build"))
		}
		runs := []func() error{
			func() error { return w.agent().Deploy(context.Background()) },
			func() error { return w.agent().FirstBoot(context.Background()) },
		}
		said := ""
		for _, after := range rapid.SliceOfN(rapid.IntRange(1, 9), 1, 6).Draw(r, "kills") {
			steps, kind := 0, rapid.IntRange(0, 1).Draw(r, "run")
			w.trace = func(p Point) error {
				if steps++; steps == after {
					said += string(p) + "; "
					return errKilled
				}
				return nil
			}
			if err := runs[kind](); err != nil && !errors.Is(err, errKilled) && !(sick && fault.KindOf(err) == fault.Check) {
				r.Fatalf("killed after %s: a run ended with %v", said, err)
			}
		}
		w.trace = nil
		if err := w.agent().Deploy(context.Background()); (err != nil) != sick {
			r.Fatalf("killed after %s: the last deploy ended with %v", said, err)
		}
		if err := w.agent().FirstBoot(context.Background()); err != nil {
			r.Fatalf("killed after %s: the next boot ended with %v", said, err)
		}
		j, live := w.journal(), lay.Live()
		if string(live) != want || running != want || j.Build != want || j.LastGood != want || j.halfDeployed() || len(j.Refused) > 0 != sick || len(w.endState().Temps) > 0 {
			r.Fatalf("killed after %s: live %s, journal %s, last good %s, deploy %s, refused %v; want %s", said, live.Short(), j.Build, j.LastGood, j.Deploy.State, j.Refused, want)
		}
	})
}
