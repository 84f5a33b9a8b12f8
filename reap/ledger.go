package reap

import (
	"encoding/json"
	"maps"
	"time"

	"bakehouse/internal/fault"
)

// Ledger is what a run remembers for the next: instances that EC2 showed, and
// names whose instance was absent. It may be lost at any time; then absent
// instances have to be absent for a whole grace again.
type Ledger struct {
	Version    int                  `json:"version"`
	SavedAt    time.Time            `json:"saved_at"`
	Instances  map[string]Seen      `json:"instances"`
	Tombstones map[string]Tombstone `json:"tombstones"` // by node or client name
	Held       map[string]time.Time `json:"held"`       // restored by undo: name → until when it stays
}

// Seen is an instance that EC2 showed.
type Seen struct {
	Account string    `json:"a"`
	Region  string    `json:"r"`
	Alive   bool      `json:"l,omitempty"`
	BakeID  string    `json:"b,omitempty"`
	At      time.Time `json:"t"` // when it was shown last
}

// Tombstone says since when a node's or client's instance is absent. It holds
// for that instance alone.
type Tombstone struct {
	Instance string    `json:"i"` // instance id, or ULID of a bake
	Since    time.Time `json:"since"`
}

const (
	ledgerVersion = 1
	forget        = 30 * 24 * time.Hour // an instance neither shown nor referenced for that long is dropped
)

// parseLedger reads a ledger.
func parseLedger(b []byte) (Ledger, error) {
	var l Ledger
	err := json.Unmarshal(b, &l)
	if err == nil && l.Version != ledgerVersion {
		return Ledger{}, fault.Newf(fault.Check, "update chef-reaper, or delete the ledger: a lost one is safe", "reading the ledger: version %d, want %d", l.Version, ledgerVersion)
	}
	if err != nil {
		return Ledger{}, fault.Newf(fault.Check, "delete it: a lost ledger is safe, and costs one grace", "reading the ledger: %w", err)
	}
	return l, nil
}

// next is the ledger after a run that read w and decided p.
func (l Ledger) next(w World, p Plan) Ledger {
	n := Ledger{Version: ledgerVersion, SavedAt: w.Now.UTC(), Instances: map[string]Seen{}, Tombstones: map[string]Tombstone{}, Held: map[string]time.Time{}}
	for id, i := range w.Fleet.ByID {
		n.Instances[id] = Seen{Account: i.Place.Account, Region: i.Place.Region, Alive: i.alive(), BakeID: i.BakeID, At: w.Now.UTC()}
	}
	referenced := map[string]bool{}
	for _, d := range p.Decisions {
		referenced[d.InstanceID] = true
		referenced[d.BakeID] = true
		if d.AbsentSince != nil {
			n.Tombstones[d.Name] = Tombstone{Instance: d.subject(), Since: *d.AbsentSince}
		}
	}
	for id, s := range l.Instances {
		_, shown := n.Instances[id]
		if !shown && (referenced[id] || s.BakeID != "" && referenced[s.BakeID] || w.Now.Sub(s.At) < forget) {
			n.Instances[id] = s
		}
	}
	for name, until := range l.Held {
		if until.After(w.Now) {
			n.Held[name] = until
		}
	}
	return n
}

// cleared is the ledger after a run whose breaker tripped: what it saw is not
// trusted, but that an instance is there, which ends its tombstone.
func (l Ledger) cleared(p Plan) Ledger {
	absent := map[string]bool{}
	for _, d := range p.Decisions {
		absent[d.Name] = d.AbsentSince != nil
	}
	l.Tombstones = maps.Clone(l.Tombstones)
	maps.DeleteFunc(l.Tombstones, func(name string, _ Tombstone) bool { return !absent[name] })
	return l
}

// bakes maps the ULIDs of bakes to where their builders were seen.
func (l Ledger) bakes() map[string]Seen {
	out := map[string]Seen{}
	for _, s := range l.Instances {
		if s.BakeID != "" {
			out[s.BakeID] = s
		}
	}
	return out
}
