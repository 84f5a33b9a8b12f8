package reap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// Reaper is all that a run needs. All fields are required.
type Reaper struct {
	Chef    Chef
	Sources []Source
	Policy  Policy
	State   Store  // ledger and lease
	Saves   Store  // what was removed
	Holder  string // who runs, for the lease: USER@HOST
	Now     func() time.Time
}

const ledgerName = "ledger.json"

// Reading says what a run read, and at what cost.
type Reading struct {
	Chef     chefapi.Coverage `json:"-"`
	EC2Pages int              `json:"ec2_pages"`
	Searches int              `json:"chef_searches"`
	Fetched  int              `json:"chef_fetched"` // nodes that the search did not show
}

// Report is what a run did.
type Report struct {
	Run      string    `json:"run"`
	Plan     Plan      `json:"-"`
	Reading  Reading   `json:"reading"`
	Removals []Removal `json:"removals"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended"`
}

// Count returns how many removals ended so.
func (r Report) Count(result Result) int {
	n := 0
	for _, d := range r.Removals {
		if d.Result == result {
			n++
		}
	}
	return n
}

// Plan reads the world and decides. It changes nothing, the ledger included,
// and needs no lease. Any error of reading is an error of the whole.
func (r *Reaper) Plan(ctx context.Context) (Plan, Reading, error) {
	l, _, err := r.readLedger(ctx)
	if err != nil {
		return Plan{}, Reading{}, err
	}
	w, reading, err := r.observe(ctx, l)
	if err != nil {
		return Plan{}, reading, err
	}
	return Decide(r.Policy, w), reading, nil
}

// Run is one whole run: lease, read, decide, remove, remember. The report is
// filled in as far as the run came. A tripped breaker is a fault.Check;
// removals that failed are a fault.Leftover, or fault.Chef for a missing right.
func (r *Reaper) Run(ctx context.Context, id string) (rep Report, err error) {
	rep = Report{Run: id, Started: r.Now().UTC()}
	defer func() { rep.Ended = r.Now().UTC() }()
	hold, giveBack, err := r.lease(ctx, id)
	if err != nil {
		return rep, err
	}
	defer giveBack(&err)
	l, version, err := r.readLedger(ctx)
	if err != nil {
		return rep, err
	}
	w, reading, err := r.observe(ctx, l)
	rep.Reading = reading
	if err != nil {
		return rep, err
	}
	rep.Plan = Decide(r.Policy, w)
	if len(rep.Plan.Tripped) > 0 && !rep.Plan.LookOnly { // a first look deletes nothing anyway
		if err := r.writeLedger(ctx, l.cleared(rep.Plan), version); err != nil {
			return rep, err
		}
		return rep, tripped(rep.Plan)
	}
	if err := r.writeLedger(ctx, l.next(w, rep.Plan), version); err != nil {
		return rep, err
	}
	if rep.Plan.LookOnly {
		return rep, nil
	}
	work := removal{chef: r.Chef, saves: r.Saves, run: id, hold: hold.hold, now: r.Now}
	rep.Removals, err = work.apply(ctx, rep.Plan)
	return rep, rep.outcome(err)
}

// lease takes the lease for what id names. giveBack ends it; its failure becomes
// the error, where there is none yet.
func (r *Reaper) lease(ctx context.Context, id string) (held *lease, giveBack func(*error), err error) {
	held, err = takeLease(ctx, r.State, id+" of "+r.Holder, r.Now)
	return held, func(failed *error) {
		// The context may be over; giving back needs its own time.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := held.release(end); err != nil && *failed == nil {
			*failed = fmt.Errorf("giving the lease back: %w", err)
		}
	}, err
}

// tripped is the breaker's error.
func tripped(p Plan) error {
	return fault.New(fault.Check, "look at it with chef-reaper plan; if all of it is right, raise the limit for one run (--max-deletions, --max-percent, --min-live)",
		fmt.Errorf("reaping: the breaker tripped and nothing was deleted: %s", strings.Join(p.Tripped, "; ")))
}

// outcome is the run's error, given what stopped it early.
func (r Report) outcome(stopped error) error {
	failed := r.Count(Failed)
	rest := r.Plan.Counts.Reap - len(r.Removals)
	switch {
	case stopped != nil && hopeless(stopped):
		return fmt.Errorf("reaping: %d removed, %d not: %w", r.Count(Removed), failed+rest, stopped)
	case stopped != nil:
		return fmt.Errorf("reaping: stopped with %d removed and %d to go: %w", r.Count(Removed), failed+rest, stopped)
	case failed == 0:
		return nil
	}
	var lines []string
	for _, d := range r.Removals {
		if d.Result == Failed && len(lines) < 20 {
			lines = append(lines, "  "+d.Error)
		}
	}
	return fault.Newf(fault.Leftover, "run again: it finishes what is half done", "reaping: %d removed, %d not:\n%s", r.Count(Removed), failed, strings.Join(lines, "\n"))
}

// observe reads Chef first and EC2 last. A ledger that no run has saved, but an
// undo, is none.
func (r *Reaper) observe(ctx context.Context, l Ledger) (World, Reading, error) {
	w, reading := World{Ledger: l, First: l.SavedAt.IsZero()}, Reading{}
	names, err := r.Chef.NodeNames(ctx)
	if err != nil {
		return w, reading, err
	}
	w.Nodes = make([]Node, 0, len(names))
	cover, err := r.Chef.NodeAttributes(ctx, names, nodeKeys(), func(name string, v map[string]any) {
		w.Nodes = append(w.Nodes, nodeOf(name, v))
	})
	reading.Chef, reading.Searches, reading.Fetched = cover, cover.Pages, cover.Fetched
	if err != nil {
		return w, reading, err
	}
	if err := compare(cover, len(w.Nodes)); err != nil {
		return w, reading, err
	}
	if w.Clients, err = r.Chef.ClientNames(ctx); err != nil {
		return w, reading, err
	}
	w.Now = r.Now()
	w.Fleet, err = readFleet(ctx, r.Sources)
	reading.EC2Pages = w.Fleet.Pages
	return w, reading, err
}

// compare holds what was read against what was listed. A few nodes may go
// while the run reads; many mean that the list was not the truth.
func compare(c chefapi.Coverage, read int) error {
	if c.Searched+c.Fetched != read || read+c.Gone != c.Names {
		return fault.Newf(fault.Check, "run again", "reading the nodes: the counts do not match (%s, %d read): nothing was deleted", c, read)
	}
	if c.Gone > 20 && c.Gone*100 > c.Names {
		return fault.Newf(fault.Check, "run again; if it stays, look at the Chef server", "reading the nodes: the Chef server lists nodes that it does not have (%s): nothing was deleted", c)
	}
	return nil
}

// readLedger reads the ledger; version is "" when there is none.
func (r *Reaper) readLedger(ctx context.Context) (Ledger, string, error) {
	doc, err := r.State.Read(ctx, ledgerName)
	if err != nil || doc.Version == "" {
		return Ledger{}, "", err
	}
	l, err := parseLedger(doc.Body)
	if err != nil {
		return Ledger{}, "", fmt.Errorf("%s%s: %w", r.State, ledgerName, err)
	}
	return l, doc.Version, nil
}

func (r *Reaper) writeLedger(ctx context.Context, l Ledger, version string) error {
	b, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("rendering the ledger: %w", err)
	}
	_, err = r.State.Write(ctx, ledgerName, version, b)
	if errors.Is(err, ErrTaken) {
		return fault.New(fault.Check, "run again", fmt.Errorf("remembering the run: %w", err))
	}
	return err
}
