package reap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// Save is what a removal took away, as undo puts it back.
type Save struct {
	Run      string          `json:"run"`
	At       time.Time       `json:"at"`
	Name     string          `json:"name"`
	Decision Decision        `json:"decision"`
	Node     json.RawMessage `json:"node,omitempty"`
	Client   json.RawMessage `json:"client,omitempty"` // with its public key; nobody has its private one
}

// savesDir is where saves lie in their store: saves/RUN/NAME.json.
const savesDir = "saves/"

func (s Save) key() string { return savesDir + s.Run + "/" + s.Name + ".json" }

// privileged says that the client is more than an instance's.
func (s Save) privileged() bool {
	var c struct {
		Validator bool `json:"validator"`
		Admin     bool `json:"admin"`
	}
	return s.Client != nil && (json.Unmarshal(s.Client, &c) != nil || c.Validator || c.Admin)
}

func (s Save) write(ctx context.Context, to Store) error {
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("saving %s: %w", s.Name, err)
	}
	_, err = to.Write(ctx, s.key(), "", b)
	if err != nil {
		return fmt.Errorf("saving %s before its removal: %w", s.Name, err)
	}
	return nil
}

// Runs lists the runs that removed something, oldest first, with the names.
func Runs(ctx context.Context, saves Store) (runs []string, names map[string][]string, err error) {
	keys, err := saves.List(ctx, savesDir)
	if err != nil {
		return nil, nil, err
	}
	names = map[string][]string{}
	for _, k := range keys {
		run, file, ok := strings.Cut(strings.TrimPrefix(k, savesDir), "/")
		name, isSave := strings.CutSuffix(file, ".json")
		if !ok || !isSave {
			continue
		}
		if names[run] == nil {
			runs = append(runs, run)
		}
		names[run] = append(names[run], name)
	}
	return runs, names, nil
}

// Restorer is what undo asks of the Chef server.
type Restorer interface {
	RestoreNode(ctx context.Context, raw json.RawMessage) error
	RestoreClient(ctx context.Context, raw json.RawMessage) error
	GrantNode(ctx context.Context, name string) error
}

// Undo says what to put back.
type Undo struct {
	Run   string
	Names []string      // none: all that the run removed
	Hold  time.Duration // how long no run removes it again
}

// Undone is what became of one name.
type Undone struct {
	Name   string `json:"name"`
	Node   string `json:"node"`   // restored, exists or none
	Client string `json:"client"` // the same
}

// Undo puts back what a run removed and holds it, so that the next run, which
// would judge as the last one did, leaves it alone. What exists stays as it is.
// It has the lease meanwhile: a run under way would remove what comes back.
func (r *Reaper) Undo(ctx context.Context, chef Restorer, u Undo) (done []Undone, err error) {
	held, giveBack, err := r.lease(ctx, "undo of "+u.Run)
	if err != nil {
		return nil, fmt.Errorf("undoing run %s: %w", u.Run, err)
	}
	defer giveBack(&err)
	_, names, err := Runs(ctx, r.Saves)
	if err != nil {
		return nil, fmt.Errorf("undoing run %s: %w", u.Run, err)
	}
	all, known := names[u.Run]
	if !known {
		return nil, fault.Newf(fault.Usage, "run chef-reaper undo without a run for the list", "undoing run %s: nothing in %s was removed by it", u.Run, r.Saves)
	}
	if len(u.Names) == 0 {
		u.Names = all
	}
	for _, n := range u.Names {
		if !slices.Contains(all, n) {
			return nil, fault.Newf(fault.Usage, "", "undoing run %s: it did not remove %s", u.Run, n)
		}
	}
	if err := r.holdNames(ctx, u); err != nil {
		return nil, fmt.Errorf("undoing run %s: %w", u.Run, err)
	}
	for _, name := range u.Names {
		if err := held.hold(ctx); err != nil {
			return done, fmt.Errorf("undoing run %s: %w", u.Run, err)
		}
		one, err := r.restore(ctx, chef, Save{Run: u.Run, Name: name}.key())
		if err != nil {
			return done, fmt.Errorf("undoing run %s: restoring %s: %w", u.Run, name, err)
		}
		done = append(done, one)
	}
	return done, nil
}

// holdNames notes in the ledger what is to stay, before it is there again.
func (r *Reaper) holdNames(ctx context.Context, u Undo) error {
	l, version, err := r.readLedger(ctx)
	if err != nil {
		return err
	}
	if l.Held == nil {
		l.Held = map[string]time.Time{}
	}
	for _, n := range u.Names {
		l.Held[n] = r.Now().Add(u.Hold).UTC()
		delete(l.Tombstones, n)
	}
	l.Version = ledgerVersion
	return r.writeLedger(ctx, l, version)
}

func (r *Reaper) restore(ctx context.Context, chef Restorer, key string) (Undone, error) {
	doc, err := r.Saves.Read(ctx, key)
	if err != nil {
		return Undone{}, err
	}
	var s Save
	if err := json.Unmarshal(doc.Body, &s); err != nil {
		return Undone{}, fault.Newf(fault.Check, "", "reading %s%s: %w", r.Saves, key, err)
	}
	out := Undone{Name: s.Name}
	if out.Client, err = restored(s.Client, func() error { return chef.RestoreClient(ctx, s.Client) }); err != nil {
		return out, err
	}
	if out.Node, err = restored(s.Node, func() error { return chef.RestoreNode(ctx, s.Node) }); err != nil {
		return out, err
	}
	if s.Node != nil && s.Client != nil {
		err = chef.GrantNode(ctx, s.Name)
	}
	return out, err
}

func restored(raw json.RawMessage, create func() error) (string, error) {
	if raw == nil {
		return "none", nil
	}
	err := create()
	if errors.Is(err, chefapi.ErrExists) {
		return "exists", nil
	}
	return "restored", err
}
