package reap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// Chef is what the reaper asks of the Chef server. Deleting what is not there
// is success; every call is retried inside.
type Chef interface {
	NodeNames(ctx context.Context) ([]string, error)
	ClientNames(ctx context.Context) ([]string, error)
	NodeAttributes(ctx context.Context, names []string, keys map[string][]string, add func(string, map[string]any)) (chefapi.Coverage, error)
	RawNode(ctx context.Context, name string) (json.RawMessage, error)
	RawClient(ctx context.Context, name string) (json.RawMessage, error)
	DeleteClient(ctx context.Context, name string) error
	DeleteNode(ctx context.Context, name string) error
}

// workers is how many removals run in parallel.
const workers = 8

// finishWithin bounds what a removal that has begun takes after a signal; it is
// less than systemd's TimeoutStopSec, and more than the grace of a container,
// whose next run finishes what is half done.
const finishWithin = 60 * time.Second

// Removal is how the removal of one node or client ended.
type Removal struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"`
	Result Result `json:"result"`
	Error  string `json:"error,omitempty"`

	err error
}

// Result is the end of a removal.
type Result string

// The results.
const (
	Removed Result = "removed" // client and node are gone
	Changed Result = "changed" // it is not what was judged any more: left alone
	Failed  Result = "failed"  // the next run finishes it
)

// removal is one run of Apply.
type removal struct {
	chef  Chef
	saves Store
	run   string
	hold  func(context.Context) error // nil error: the lease is still ours
	now   func() time.Time
}

// apply removes what the plan says, several at once. It stops at the first
// error that would meet every other removal, too: a lost lease, a store that
// takes no saves, a right that is missing.
func (r removal) apply(ctx context.Context, p Plan) ([]Removal, error) {
	todo := p.Of(Reap)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	jobs, done := make(chan Decision), make([]Removal, 0, len(todo))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(workers, len(todo)) {
		wg.Go(func() {
			for d := range jobs {
				out := r.remove(ctx, d)
				mu.Lock()
				done = append(done, out)
				mu.Unlock()
				if hopeless(out.err) {
					stop(out.err)
				}
			}
		})
	}
	for _, d := range todo {
		select {
		case jobs <- d:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(jobs)
	wg.Wait()
	return done, context.Cause(ctx)
}

// everybody is an error that every removal would meet.
type everybody struct{ error }

func (e everybody) Unwrap() error { return e.error }

func hopeless(err error) bool { return errors.As(err, new(everybody)) }

// remove removes one node with its client, or one client. The order makes
// every half of it harmless: saved first, then the client, which ends the
// instance's access, then the node, by which the next run finds the rest.
func (r removal) remove(ctx context.Context, d Decision) Removal {
	out := Removal{Name: d.Name, Kind: d.Kind, Result: Removed}
	same, err := r.saveIfSame(ctx, d)
	switch {
	case err == nil && !same:
		out.Result = Changed
		return out
	case err == nil:
		err = r.delete(ctx, d)
	}
	if err != nil {
		out.Result, out.Error, out.err = Failed, err.Error(), err
	}
	return out
}

// delete runs to its end once it has begun, so that a signal leaves no half:
// it stops the run after the deletes that are under way.
func (r removal) delete(ctx context.Context, d Decision) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer cancel()
	if err := r.hold(ctx); err != nil {
		return everybody{err}
	}
	if err := r.chef.DeleteClient(ctx, d.Name); err != nil {
		return missingRight(err, "client")
	}
	if d.Kind == KindClient {
		return nil
	}
	return missingRight(r.chef.DeleteNode(ctx, d.Name), "node")
}

// missingRight says which right a refused delete lacked.
func missingRight(err error, kind string) error {
	if !errors.Is(err, chefapi.ErrForbidden) {
		return err
	}
	return everybody{fault.New(fault.Chef, fmt.Sprintf("give the reaper's Chef user the DELETE right on %ss (for example: knife acl bulk add group reapers %ss '.*' delete)", kind, kind), err)}
}

// saveIfSame reads node and client once more and saves them. same is false
// when the node is not the one that was judged, or is gone with its client.
func (r removal) saveIfSame(ctx context.Context, d Decision) (same bool, err error) {
	s := Save{Run: r.run, At: r.now().UTC(), Name: d.Name, Decision: d}
	s.Node, err = optional(r.chef.RawNode(ctx, d.Name))
	if err != nil {
		return false, err
	}
	if d.Kind == KindClient && s.Node != nil {
		return false, nil // a node came by: the instance registers
	}
	if d.Kind == KindNode && s.Node != nil {
		now, err := parseNode(d.Name, s.Node)
		if err != nil || now != d.node {
			return false, err
		}
	}
	if s.Client, err = optional(r.chef.RawClient(ctx, d.Name)); err != nil {
		return false, missingRead(err)
	}
	if s.Node == nil && s.Client == nil {
		return true, nil // somebody else was faster; the deletes will agree
	}
	if s.privileged() {
		return false, nil
	}
	if err := s.write(ctx, r.saves); err != nil {
		return false, everybody{err}
	}
	return true, nil
}

func missingRead(err error) error {
	if !errors.Is(err, chefapi.ErrForbidden) {
		return err
	}
	return everybody{fault.New(fault.Chef, "give the reaper's Chef user the READ and DELETE rights on clients: a client is saved before it is deleted", err)}
}

// optional turns "not found" into nothing.
func optional(raw json.RawMessage, err error) (json.RawMessage, error) {
	if errors.Is(err, chefapi.ErrNotFound) {
		return nil, nil
	}
	return raw, err
}
