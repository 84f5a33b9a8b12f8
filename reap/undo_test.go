package reap

import (
	"context"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

func TestAnUndoWithoutALedgerDoesNotStandForTheFirstLook(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 3)
	f.end(all[0])
	if _, err := r.Run(context.Background(), "one"); err != nil {
		t.Fatal(err)
	}
	delete(f.store, ledgerName)
	if _, err := r.Undo(context.Background(), f, Undo{Run: "one", Hold: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	f.end(all[1])
	f.now = f.now.Add(time.Hour)
	rep, err := r.Run(context.Background(), "two")
	if err != nil || !rep.Plan.LookOnly || len(rep.Removals) > 0 {
		t.Errorf("the first run after a lost ledger: look only %v, removed %v, %v", rep.Plan.LookOnly, rep.Removals, err)
	}
	if rep, err = r.Run(context.Background(), "three"); err != nil || rep.Count(Removed) != 1 {
		t.Errorf("the one after it removed %v, %v", rep.Removals, err)
	}
	if _, there := f.nodes[all[0].id]; !there {
		t.Error("what undo holds was removed again")
	}
}

// listing is the Chef server while a run reads it.
type listing struct {
	*fakeWorld
	then func()
}

func (l listing) ClientNames(ctx context.Context) ([]string, error) {
	names, err := l.fakeWorld.ClientNames(ctx)
	l.then()
	return names, err
}

func TestUndoWaitsForNoReaperButIsTold(t *testing.T) {
	t.Parallel()
	f, r, all := started(t, 3)
	f.end(all[0])
	if _, err := r.Run(context.Background(), "one"); err != nil {
		t.Fatal(err)
	}
	var during error
	r.Chef = listing{f, func() { _, during = r.Undo(context.Background(), f, Undo{Run: "one", Hold: time.Hour}) }}
	if _, err := r.Run(context.Background(), "two"); err != nil {
		t.Error(err)
	}
	r.Chef = f
	if fault.KindOf(during) != fault.Check || !strings.Contains(during.Error(), "two of me@here has it until") {
		t.Errorf("an undo during a run: %v", during)
	}
	if _, there := f.nodes[all[0].id]; there {
		t.Error("the refused undo put something back")
	}
	if done, err := r.Undo(context.Background(), f, Undo{Run: "one", Hold: time.Hour}); err != nil || done[0].Node != "restored" {
		t.Errorf("afterwards: %v, %v", done, err)
	}
	if _, err := r.Run(context.Background(), "three"); err != nil {
		t.Errorf("the lease was not given back: %v", err)
	}
}
