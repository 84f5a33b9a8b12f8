// Package waves is the noun of a rollout that agents carry out by themselves,
// and the decision whose turn it is. deploy writes the plan and watches, agents
// take their turns; both ask Judge, so that they never differ.
//
// Below APP/pull/CHANNEL/ID/ in the app's bucket, ID being the rollout's:
//
//	plan.json    what is rolled out, signed (release.PlanKind); written once
//	roster.json  who goes when; the plan holds its SHA-256; written once
//	state.json   whether it was stopped (Stop); changed once, by compare-and-swap
//	results/WAVE/INSTANCE.STATE.json  what a host says of itself (Result); each written once
//
// Objects that are written once need no lock, and the names of the results tell
// all that is needed to decide: one list shows a wave. Times are S3's own, of
// the list and of the objects in it, so no host's clock matters.
package waves

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"bakehouse/release"
)

const (
	format = 1
	// MaxRoster bounds a roster: 200,000 hosts.
	MaxRoster = 8 << 20
	maxWaves  = 9999
	// Grace is how long after its time limit a host's result still counts: the
	// limit is the host's to keep, and its last word needs time to arrive.
	Grace = 30 * time.Second
	// Settle is how long before the end of a turn nobody takes it any more: a claim
	// needs its time, and S3's machines may tell times some seconds apart.
	Settle = 5 * time.Second
)

// State is what a result says.
type State string

// The states. A host writes Claimed before it touches anything, and one of Done
// and Failed afterwards; Back or Stuck when the rollout was stopped.
const (
	Claimed State = "claimed"
	Done    State = "done"
	Failed  State = "failed"
	Back    State = "back"
	Stuck   State = "stuck"
)

// Plan says what is rolled out, and by which rule. Counts are absolute.
type Plan struct {
	Format   int        `json:"format"` // 1
	ID       string     `json:"id"`
	App      string     `json:"app"`
	Channel  string     `json:"channel"`
	Serial   int64      `json:"serial"` // of the channel that names this plan
	Build    release.ID `json:"build"`
	Previous release.ID `json:"previous,omitempty"`
	By       string     `json:"by"`
	At       time.Time  `json:"at"` // by the operator's clock; for people

	Roster       string `json:"roster"` // SHA-256 of roster.json
	Hosts        int    `json:"hosts"`
	AtOnce       int    `json:"at_once"`       // hosts of a wave at the same time
	MaxUnhealthy int    `json:"max_unhealthy"` // failed hosts that are borne with
	// Going back: hosts that took the build return to Previous when it stops.
	GoBack bool `json:"go_back"`

	Pause       time.Duration `json:"pause"`        // between two waves
	HostTime    time.Duration `json:"host_time"`    // from a host's claim to its result
	ClaimWithin time.Duration `json:"claim_within"` // from a host's turn to its claim
	Limit       time.Duration `json:"limit"`        // for all, from when the plan was written
}

// Roster is the order in which hosts go.
type Roster struct {
	Waves []Wave `json:"waves"`
}

// Wave is hosts, by instance id, that go before those of the next.
type Wave struct {
	Name   string   `json:"name"`
	Strict bool     `json:"strict,omitempty"` // one failure stops: the canary
	Hosts  []string `json:"hosts"`
}

// Stop is the document state.json.
type Stop struct {
	Format  int       `json:"format"` // 1
	Rollout string    `json:"rollout"`
	Stopped bool      `json:"stopped"`
	GoBack  bool      `json:"go_back"` // the plan's, for hosts that were launched meanwhile
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"` // user@host, or an instance id
	At      time.Time `json:"at,omitzero"`
}

// Result is what a host says of itself.
type Result struct {
	Format   int           `json:"format"` // 1
	Rollout  string        `json:"rollout"`
	Instance string        `json:"instance"`
	State    State         `json:"state"`
	Build    release.ID    `json:"build,omitempty"`  // that runs there
	Health   string        `json:"health,omitempty"` // what its health check said, one line
	Reason   string        `json:"reason,omitempty"` // of Failed and Stuck
	Took     time.Duration `json:"took,omitempty"`
}

// Prefix is what the keys of a rollout begin with.
func Prefix(app, channel, id string) string { return app + "/pull/" + channel + "/" + id + "/" }

// PlanKey is the key of the plan.
func (p Plan) PlanKey() string { return Prefix(p.App, p.Channel, p.ID) + "plan.json" }

// RosterKey is the key of the roster.
func (p Plan) RosterKey() string { return Prefix(p.App, p.Channel, p.ID) + "roster.json" }

// StateKey is the key of the document that says whether rollout id was stopped.
func StateKey(app, channel, id string) string { return Prefix(app, channel, id) + "state.json" }

// WavePrefix is what the keys of the results of wave i (from 0) begin with.
func (p Plan) WavePrefix(i int) string {
	return fmt.Sprintf("%sresults/%04d/", Prefix(p.App, p.Channel, p.ID), i)
}

// ResultKey is the key of a result of a host of wave i.
func (p Plan) ResultKey(i int, instance string, s State) string {
	return p.WavePrefix(i) + instance + "." + string(s) + ".json"
}

var instanceName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// ParseResultKey reads the last part of a result's key; false: it is none.
func ParseResultKey(key string) (instance string, s State, ok bool) {
	name, ok := strings.CutSuffix(key[strings.LastIndexByte(key, '/')+1:], ".json")
	instance, state, two := strings.Cut(name, ".")
	switch s = State(state); s {
	case Claimed, Done, Failed, Back, Stuck:
		return instance, s, ok && two && instanceName.MatchString(instance)
	}
	return "", "", false
}

// Seal fills in what the plan says of the roster, and returns the roster's bytes.
func (p *Plan) Seal(r Roster) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("rendering roster: %w", err)
	}
	p.Format, p.Roster, p.Hosts = format, digest(body), 0
	for _, w := range r.Waves {
		p.Hosts += len(w.Hosts)
	}
	return body, r.check()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Open reads the roster that p was sealed with; any other is refused.
func (p Plan) Open(body []byte) (Roster, error) {
	var r Roster
	if got := digest(body); got != p.Roster {
		return r, fmt.Errorf("reading roster: it is not the one of the plan: SHA-256 is %s, want %s", got, p.Roster)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("reading roster: %w", err)
	}
	return r, r.check()
}

// check refuses what keys could not be made of, and a host that goes twice.
func (r Roster) check() error {
	if len(r.Waves) > maxWaves {
		return fmt.Errorf("checking roster: %d waves, want %d or fewer", len(r.Waves), maxWaves)
	}
	seen := map[string]bool{}
	for _, w := range r.Waves {
		for _, h := range w.Hosts {
			if !instanceName.MatchString(h) || seen[h] {
				return fmt.Errorf("checking roster: %q is no instance id, or goes twice", h)
			}
			seen[h] = true
		}
	}
	return nil
}

// WaveOf is the index of the wave that a host is in, and -1 when it is in none.
func (r Roster) WaveOf(instance string) int {
	for i, w := range r.Waves {
		for _, h := range w.Hosts {
			if h == instance {
				return i
			}
		}
	}
	return -1
}

// ParsePlan reads a plan, signed or not, and checks its content; the signature
// is for a Keyring to check.
func ParsePlan(b []byte) (Plan, error) {
	var p Plan
	err := release.ParseSigned(b, &p)
	if err == nil {
		err = p.Check()
	}
	if err != nil {
		return Plan{}, fmt.Errorf("parsing plan: %w", err)
	}
	return p, nil
}

// Marshal renders p for signing.
func (p Plan) Marshal() ([]byte, error) {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering plan: %w", err)
	}
	return append(b, '\n'), nil
}

// Check says what is wrong with p, as the first of its faults.
func (p Plan) Check() error {
	if p.Format != format {
		return fmt.Errorf("format is %d, this version reads %d", p.Format, format)
	}
	if err := errors.Join(release.CheckRollout(p.ID), release.CheckName("app", p.App), release.CheckName("channel", p.Channel)); err != nil {
		return err
	}
	if _, err := release.ParseID(string(p.Build)); err != nil {
		return err
	}
	if p.Previous != "" {
		if _, err := release.ParseID(string(p.Previous)); err != nil {
			return fmt.Errorf("previous: %w", err)
		}
	}
	switch {
	case p.Serial <= 0 || p.AtOnce <= 0 || p.MaxUnhealthy < 0:
		return errors.New("serial and at_once must be more than 0, max_unhealthy 0 or more: they are " +
			strconv.FormatInt(p.Serial, 10) + ", " + strconv.Itoa(p.AtOnce) + ", " + strconv.Itoa(p.MaxUnhealthy))
	case p.Pause < 0 || p.HostTime <= 0 || p.ClaimWithin <= 0 || p.Limit <= 0:
		return fmt.Errorf("times must be more than 0: pause %s, host_time %s, claim_within %s, limit %s", p.Pause, p.HostTime, p.ClaimWithin, p.Limit)
	case p.GoBack && p.Previous == "":
		return errors.New("it goes back, and names no previous build")
	}
	return nil
}

// NewStop is state.json of a rollout that goes on.
func NewStop(p Plan) Stop { return Stop{Format: format, Rollout: p.ID, GoBack: p.GoBack} }

// ParseStop reads state.json of rollout id.
func ParseStop(b []byte, id string) (Stop, error) {
	var s Stop
	err := json.Unmarshal(b, &s)
	if err == nil && (s.Format != format || s.Rollout != id) {
		err = fmt.Errorf("it says that it is of rollout %q, in format %d", s.Rollout, s.Format)
	}
	if err != nil {
		return Stop{}, fmt.Errorf("reading state of rollout %s: %w", id, err)
	}
	return s, nil
}
