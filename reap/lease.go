package reap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"bakehouse/internal/fault"
)

const (
	leaseName = "lease.json"
	leaseTerm = 6 * time.Minute // a reaper that dies keeps others out no longer than that
)

// leaseDoc is the lease as it is stored.
type leaseDoc struct {
	Holder string    `json:"holder"` // RUN of USER@HOST
	Until  time.Time `json:"until"`
}

// lease is the right to be the one reaper. It is safe for concurrent use.
type lease struct {
	store  Store
	holder string
	now    func() time.Time

	mu      sync.Mutex
	version string
	until   time.Time
}

// takeLease takes the lease, or returns a fault.Check that names who has it.
func takeLease(ctx context.Context, store Store, holder string, now func() time.Time) (*lease, error) {
	doc, err := store.Read(ctx, leaseName)
	if err != nil {
		return nil, fmt.Errorf("taking the lease: %w", err)
	}
	var held leaseDoc
	if doc.Version != "" {
		if err := json.Unmarshal(doc.Body, &held); err != nil {
			return nil, fault.Newf(fault.Check, "delete it when no reaper runs", "taking the lease: reading %s%s: %w", store, leaseName, err)
		}
	}
	if held.Holder != "" && held.Until.After(now()) {
		return nil, fault.Newf(fault.Check, "wait for it, or stop the other reaper", "taking the lease: %s has it until %s", held.Holder, held.Until.Format(time.RFC3339))
	}
	l := &lease{store: store, holder: holder, now: now, version: doc.Version}
	return l, l.write(ctx, leaseTerm)
}

// hold returns an error unless the lease is ours for a while to come; it
// renews it when a third of its term is over. To be called before each delete.
func (l *lease) hold(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until.Sub(l.now()) > 2*leaseTerm/3 {
		return nil
	}
	return l.write(ctx, leaseTerm)
}

// release gives the lease back. One that another reaper has by now is theirs.
func (l *lease) release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.write(ctx, 0); err != nil && !errors.Is(err, ErrTaken) {
		return err
	}
	return nil
}

// write stores the lease for a term; 0 gives it back.
func (l *lease) write(ctx context.Context, term time.Duration) error {
	doc := leaseDoc{Holder: l.holder, Until: l.now().Add(term).UTC()}
	if term == 0 {
		doc.Holder = ""
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("rendering the lease: %w", err)
	}
	version, err := l.store.Write(ctx, leaseName, l.version, body)
	if errors.Is(err, ErrTaken) {
		return fault.New(fault.Check, "let one reaper run at a time", fmt.Errorf("holding the lease: %w", err))
	}
	if err != nil {
		return fmt.Errorf("holding the lease: %w", err)
	}
	l.version, l.until = version, doc.Until
	return nil
}
