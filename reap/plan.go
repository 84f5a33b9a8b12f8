package reap

import (
	"encoding/json"
	"fmt"
	"time"
)

// Verdict is what happens to a node or client.
type Verdict string

// The verdicts.
const (
	Reap    Verdict = "reap"    // its instance is gone for certain
	Wait    Verdict = "wait"    // its instance is absent; the grace is running
	Keep    Verdict = "keep"    // its instance lives, or it is too young to tell
	Unknown Verdict = "unknown" // nothing certain is known: it stays, for a person to look at
	Ignore  Verdict = "ignore"  // it does not claim to be one of our instances
)

// Reason says why, as one word of a closed list: metrics count by it.
type Reason string

// The reasons, with the verdict they lead to.
const (
	Terminated      Reason = "terminated"       // reap
	AbsentConfirmed Reason = "absent-confirmed" // reap
	Absent          Reason = "absent"           // wait
	Alive           Reason = "alive"            // keep
	Young           Reason = "young"            // keep
	Restored        Reason = "restored"         // keep: undo brought it back
	Protected       Reason = "protected"        // keep: the reaper's own client
	OtherPlace      Reason = "other-place"      // unknown: account or region that is not read
	NoPlace         Reason = "no-place"         // unknown: neither node, EC2 nor ledger says where
	Contradiction   Reason = "contradiction"    // unknown: its sources disagree
	BadID           Reason = "bad-id"           // unknown: that is no instance id
	StrangeState    Reason = "strange-state"    // unknown: a state that EC2 does not document
	NotOurs         Reason = "not-ours"         // ignore
)

// Kind says what a decision is about.
type Kind string

// The kinds.
const (
	KindNode   Kind = "node"   // a node, with the client of its name if there is one
	KindClient Kind = "client" // a client without a node
)

// Decision is what happens to one node or client, and why.
type Decision struct {
	Kind        Kind       `json:"kind"`
	Name        string     `json:"name"`
	Verdict     Verdict    `json:"verdict"`
	Reason      Reason     `json:"reason"`
	Detail      string     `json:"detail,omitempty"` // one clause for people
	InstanceID  string     `json:"instance_id,omitempty"`
	BakeID      string     `json:"bake_id,omitempty"`
	Account     string     `json:"account,omitempty"`
	Region      string     `json:"region,omitempty"`
	State       string     `json:"state,omitempty"`        // EC2's word
	AbsentSince *time.Time `json:"absent_since,omitempty"` // when a run first found the instance absent

	node Node // as it was read, to be compared before the delete
}

// subject is what a tombstone is bound to.
func (d Decision) subject() string {
	if d.InstanceID != "" {
		return d.InstanceID
	}
	return d.BakeID
}

// Plan is what one run decided. It is made by Decide and only read.
type Plan struct {
	At        time.Time  `json:"at"`
	Decisions []Decision `json:"decisions"`
	Tripped   []string   `json:"tripped,omitempty"` // why nothing may be deleted, one sentence each
	LookOnly  bool       `json:"look_only"`         // no ledger yet: the first run deletes nothing
	Counts    Counts     `json:"counts"`
}

// Counts sum a plan up.
type Counts struct {
	Nodes    int            `json:"nodes"`     // on the Chef server
	Ours     int            `json:"ours"`      // of them and of clients without a node, those that claim to be our instances
	Live     int            `json:"live"`      // whose instance EC2 shows alive
	Orphaned int            `json:"orphaned"`  // to reap, or waiting for the grace
	Reap     int            `json:"reap"`      // to reap now
	ByReason map[Reason]int `json:"by_reason"` // all decisions
}

// Empty says that there is nothing to reap.
func (p Plan) Empty() bool { return p.Counts.Reap == 0 }

// May says that Apply would delete what the plan holds.
func (p Plan) May() bool { return len(p.Tripped) == 0 && !p.LookOnly }

// Of returns the decisions with that verdict, in the plan's order.
func (p Plan) Of(v Verdict) []Decision {
	var out []Decision
	for _, d := range p.Decisions {
		if d.Verdict == v {
			out = append(out, d)
		}
	}
	return out
}

// Find returns the decision on a name.
func (p Plan) Find(name string) (Decision, bool) {
	for _, d := range p.Decisions {
		if d.Name == name {
			return d, true
		}
	}
	return Decision{}, false
}

// Marshal renders the plan as indented JSON, without what is ignored unless
// all is set.
func (p Plan) Marshal(all bool) ([]byte, error) {
	shown := []Decision{}
	for _, d := range p.Decisions {
		if all || d.Verdict != Ignore && d.Reason != Alive {
			shown = append(shown, d)
		}
	}
	p.Decisions = shown
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering the plan: %w", err)
	}
	return append(b, '\n'), nil
}

// count fills in the counts.
func (p *Plan) count(nodes int) {
	p.Counts = Counts{Nodes: nodes, ByReason: map[Reason]int{}}
	for _, d := range p.Decisions {
		p.Counts.ByReason[d.Reason]++
		if d.Verdict != Ignore {
			p.Counts.Ours++
		}
		switch {
		case d.Verdict == Reap:
			p.Counts.Reap++
			p.Counts.Orphaned++
		case d.Verdict == Wait:
			p.Counts.Orphaned++
		case d.Reason == Alive:
			p.Counts.Live++
		}
	}
}
