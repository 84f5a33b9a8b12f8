package reap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

func here() Place { return Place{account, region} }

// reaperOf is a reaper of that world, which reads one place.
func reaperOf(f *fakeWorld, p Policy) *Reaper {
	return &Reaper{Chef: f, Sources: []Source{{here(), view{f, here()}}}, Policy: p, State: f, Saves: f, Holder: "me@here", Now: f.clock}
}

// started is a world with live instances and a ledger.
func started(t *testing.T, live int) (*fakeWorld, *Reaper, []*machine) {
	t.Helper()
	f := newWorld(DefaultGrace)
	p := policy()
	p.MinLive = 1
	r := reaperOf(f, p)
	var all []*machine
	for range live {
		all = append(all, f.launch(here(), 0, true))
	}
	f.now = f.now.Add(time.Hour)
	if rep, err := r.Run(context.Background(), "first"); err != nil || !rep.Plan.LookOnly {
		t.Fatalf("the first run: %v, look only: %v", err, rep.Plan.LookOnly)
	}
	f.now = f.now.Add(5 * time.Minute)
	return f, r, all
}

func (f *fakeWorld) end(m *machine) { m.state, m.ended = terminated, f.now }

func TestRunRemovesTheDeadAndLeavesTheLiving(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 5)
	f.end(all[0])
	f.end(all[3])
	all[1].state = "stopped"
	rep, err := r.Run(context.Background(), "one")
	if err != nil || rep.Count(Removed) != 2 {
		t.Fatalf("removed %d, %v; want 2", rep.Count(Removed), err)
	}
	for n, m := range all {
		_, node := f.nodes[m.id]
		_, client := f.clients[m.id]
		if want := n != 0 && n != 3; node != want || client != want {
			t.Errorf("instance %d: node %v, client %v, want both %v", n, node, client, want)
		}
	}
}

func TestUndoRestoresAndHolds(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 3)
	node, client := string(f.nodes[all[0].id].raw), string(f.clients[all[0].id].raw)
	f.end(all[0])
	if _, err := r.Run(context.Background(), "one"); err != nil {
		t.Fatal(err)
	}
	done, err := r.Undo(context.Background(), f, Undo{Run: "one", Hold: time.Hour})
	if err != nil || len(done) != 1 || done[0] != (Undone{all[0].id, "restored", "restored"}) {
		t.Fatalf("undone %v, %v", done, err)
	}
	if string(f.nodes[all[0].id].raw) != node || !strings.Contains(string(f.clients[all[0].id].raw), `"public_key":"K"`) {
		t.Errorf("restored %s and %s, want %s and %s", f.nodes[all[0].id].raw, f.clients[all[0].id].raw, node, client)
	}
	if rep, err := r.Run(context.Background(), "two"); err != nil || len(rep.Removals) != 0 {
		t.Errorf("the next run removed it again: %v, %v", rep.Removals, err)
	}
	f.now = f.now.Add(2 * time.Hour)
	again, err := r.Undo(context.Background(), f, Undo{Run: "one", Hold: time.Minute})
	if err != nil || again[0].Node != "exists" {
		t.Errorf("undoing twice gives %v, %v", again, err)
	}
	if _, err := r.Undo(context.Background(), f, Undo{Run: "three"}); fault.KindOf(err) != fault.Usage {
		t.Errorf("undoing an unknown run gives %v", err)
	}
}

func TestNothingIsDeletedWhenAListingFails(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*fakeWorld){
		"EC2":  func(f *fakeWorld) { f.failEC2 = true },
		"Chef": func(f *fakeWorld) { f.failChef = true },
		"an empty EC2": func(f *fakeWorld) {
			for _, m := range f.machines {
				m.hidden = f.now.Add(time.Hour)
			}
		},
		"a list of nodes that are not there": func(f *fakeWorld) {
			for n := range 100 {
				f.nodes[fmt.Sprint("ghost", n)] = object{}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, all := started(t, 5)
			f.end(all[0])
			spoil(f)
			rep, err := r.Run(context.Background(), "one")
			if err == nil || f.deleted > 0 || len(rep.Removals) > 0 {
				t.Errorf("deleted %d and ended with %v", f.deleted, err)
			}
		})
	}
}

func TestHalvesAreFinishedByTheNextRun(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 3)
	f.end(all[0])
	f.lostDeletes = 1 // of the client: it is gone, and the run does not know
	if _, err := r.Run(context.Background(), "one"); fault.KindOf(err) != fault.Leftover {
		t.Fatalf("a lost reply gives %v", err)
	}
	if _, there := f.nodes[all[0].id]; !there {
		t.Fatal("the node went although its client's delete was not confirmed")
	}
	if _, err := r.Run(context.Background(), "two"); err != nil {
		t.Fatal(err)
	}
	if _, there := f.nodes[all[0].id]; there {
		t.Error("the second run left the node")
	}
}

func TestMissingRightIsNamed(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 3)
	f.end(all[0])
	f.noRights = true
	_, err := r.Run(context.Background(), "one")
	if fault.KindOf(err) != fault.Chef || !strings.Contains(fault.NextOf(err), "DELETE right on clients") || !errors.Is(err, chefapi.ErrForbidden) {
		t.Errorf("gives %v, next: %s", err, fault.NextOf(err))
	}
}

func TestNodeThatChangedSinceIsLeftAlone(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 3)
	f.end(all[0])
	f.between = func() { f.converge(all[0]) }
	rep, err := r.Run(context.Background(), "one")
	if err != nil || rep.Count(Changed) != 1 || f.deleted != 0 {
		t.Errorf("a node that converged after it was listed: %v, %v, %d deleted", rep.Removals, err, f.deleted)
	}
}

func TestOneReaperAtATime(t *testing.T) {
	t.Parallel()
	f, r, _ := started(t, 3)
	other, err := takeLease(context.Background(), f, "other", f.clock)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Run(context.Background(), "one"); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "other") {
		t.Errorf("a second reaper is let in: %v", err)
	}
	f.now = f.now.Add(leaseTerm + time.Second) // the other one died
	if _, err := r.Run(context.Background(), "two"); err != nil {
		t.Errorf("a dead reaper's lease keeps others out: %v", err)
	}
	if err := other.hold(context.Background()); !errors.Is(err, ErrTaken) {
		t.Errorf("the other one may go on: %v", err)
	}
}

// signalled is a Chef server during whose first delete the signal comes; a
// call whose context is over does nothing, as one over HTTP.
type signalled struct {
	*fakeWorld
	signal func()
}

func (s signalled) DeleteClient(ctx context.Context, name string) error {
	s.signal()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.fakeWorld.DeleteClient(ctx, name)
}

func (s signalled) DeleteNode(ctx context.Context, name string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.fakeWorld.DeleteNode(ctx, name)
}

func TestASignalStopsAfterTheDeletesUnderWay(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 60)
	r.Policy.MaxPercent = 100
	for _, m := range all[:50] {
		f.end(m)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("SIGTERM")
	r.Chef = signalled{f, func() { cancel(stop) }}
	rep, err := r.Run(ctx, "one")
	if !errors.Is(err, stop) || rep.Count(Removed) < 1 || rep.Count(Removed) > workers {
		t.Errorf("removed %d, %v; want from 1 to %d, and the signal", rep.Count(Removed), err, workers)
	}
	for _, m := range all {
		_, node := f.nodes[m.id]
		_, client := f.clients[m.id]
		if node != client {
			t.Errorf("%s is half removed: node %v, client %v", m.id, node, client)
		}
	}
	r.Chef = f
	if _, err := r.Run(context.Background(), "two"); err != nil || len(f.nodes) != 10 {
		t.Errorf("the next run: %v, %d nodes left of 10", err, len(f.nodes))
	}
}

func TestClientOfAValidatorIsNeverRemoved(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 3)
	f.end(all[0])
	f.clients[all[0].id] = object{all[0].id, []byte(`{"name":"x","validator":true}`)}
	rep, err := r.Run(context.Background(), "one")
	if err != nil || f.deleted != 0 || rep.Count(Changed) != 1 {
		t.Errorf("%v, %v, %d deleted", rep.Removals, err, f.deleted)
	}
}

// TestNoScheduleDeletesALiveNode plays random histories: launches, ends,
// converges, lagging indexes, omissions, failures, lost ledgers.
func TestNoScheduleDeletesALiveNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newWorld(DefaultGrace)
		p := policy()
		p.MaxPercent, p.MinLive = 100, rapid.IntRange(0, 1).Draw(t, "floor")
		r := reaperOf(f, p)
		for n := range rapid.IntRange(5, 80).Draw(t, "steps") {
			step(t, f, r, n)
			if len(f.wrong) > 0 {
				t.Fatal(strings.Join(f.wrong, "\n"))
			}
		}
		settle(t, f, r)
	})
}

// step does one random thing.
func step(t *rapid.T, f *fakeWorld, r *Reaper, n int) {
	pick := func() *machine {
		var all []*machine
		for id := 0; id <= f.serial; id++ {
			if m := f.machines[fmt.Sprintf("i-%017x", id)]; m != nil {
				all = append(all, m)
			}
		}
		if len(all) == 0 {
			return &machine{state: terminated}
		}
		return rapid.SampledFrom(all).Draw(t, "machine")
	}
	switch rapid.IntRange(0, 19).Draw(t, "step") {
	case 0, 1, 2:
		place := rapid.SampledFrom([]Place{here(), here(), here(), {"222222222222", region}, {account, "us-east-1"}}).Draw(t, "place")
		lag := time.Duration(rapid.IntRange(0, 9).Draw(t, "lag")) * time.Minute
		f.reindexSome(t, f.launch(place, lag, rapid.Bool().Draw(t, "with node")))
	case 3, 4:
		if m := pick(); m.state != terminated {
			f.end(m)
		}
	case 5:
		if m := pick(); m.state != terminated {
			m.state = rapid.SampledFrom([]string{"running", "stopped", "stopping", "shutting-down"}).Draw(t, "state")
		}
	case 6:
		if m := pick(); m.state == "running" {
			f.converge(m)
			f.reindexSome(t, m)
		}
	case 7:
		pick().hidden = f.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "hidden")) * time.Minute)
	case 8:
		f.failEC2 = rapid.Bool().Draw(t, "EC2 fails")
		f.failChef = rapid.Bool().Draw(t, "Chef fails")
	case 9:
		f.lostDeletes, f.failDeletes = rapid.IntRange(0, 2).Draw(t, "lost"), rapid.IntRange(0, 2).Draw(t, "failed")
	case 10:
		delete(f.store, ledgerName)
	case 11, 12:
		f.now = f.now.Add(time.Duration(rapid.IntRange(1, 45).Draw(t, "minutes")) * time.Minute)
	default:
		if rapid.IntRange(0, 3).Draw(t, "race") == 0 {
			f.between = func() { f.launch(here(), 0, true) }
		}
		_, _ = r.Run(context.Background(), fmt.Sprint("run", n)) // its errors are part of the game
		f.between = nil
	}
}

// reindexSome brings the index up to date for a machine's node, or leaves it
// as it is: an index lags, and may show a node that is gone.
func (f *fakeWorld) reindexSome(t *rapid.T, m *machine) {
	if rapid.Bool().Draw(t, "indexed") {
		f.reindex(m.id)
	}
}

// settle lets everything become healthy, and demands that the orphans go
// within three runs a grace apart (plus one when the ledger was lost), and
// that everything else is still there.
func settle(t *rapid.T, f *fakeWorld, r *Reaper) {
	f.failEC2, f.failChef, f.lostDeletes, f.failDeletes = false, false, 0, 0
	for len(f.nodes) == 0 || !f.anyLive() {
		f.launch(here(), 0, true) // the floor wants one
	}
	for _, m := range f.machines {
		m.hidden = time.Time{}
	}
	var living []string
	for name := range f.nodes {
		if f.machines[name].state != terminated {
			living = append(living, name)
		}
	}
	for n := range 5 {
		f.now = f.now.Add(61 * time.Minute)
		for name := range f.nodes {
			f.reindex(name)
		}
		if _, err := r.Run(context.Background(), fmt.Sprint("healthy", n)); err != nil {
			t.Fatalf("healthy run %d: %v", n, err)
		}
	}
	if len(f.wrong) > 0 {
		t.Fatal(strings.Join(f.wrong, "\n"))
	}
	for name := range f.nodes {
		if m := f.machines[name]; m.state == terminated && m.place == here() {
			t.Errorf("node %s of a terminated instance is still there", name)
		}
	}
	for _, name := range living {
		if _, there := f.nodes[name]; !there {
			t.Errorf("node %s of a living instance is gone", name)
		}
	}
}

func (f *fakeWorld) anyLive() bool {
	for name := range f.nodes {
		if m := f.machines[name]; m.state != terminated && m.place == here() {
			return true
		}
	}
	return false
}
