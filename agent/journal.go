package agent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// Stage is one link of the first-boot chain.
type Stage string

// The stages, in the order in which they run.
const (
	Identify Stage = "identify"
	Register Stage = "register"
	Converge Stage = "converge"
	Pull     Stage = "pull"
	Start    Stage = "start"

	// Leave is no link of the chain; it has a record of its own.
	Leave Stage = "leave"
)

// Stages lists all stages in order.
func Stages() []Stage { return []Stage{Identify, Register, Converge, Pull, Start} }

// State is how far a stage has come.
type State string

// The states of a stage. Running also stands in the journal of an agent that
// was killed there; whether one is at work is told by the lock.
const (
	Pending State = "pending"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"
	Skipped State = "skipped"
)

// Record is what the journal keeps of one stage, or of the last deploy.
type Record struct {
	Stage   Stage     `json:"stage"`
	State   State     `json:"state"`
	Started time.Time `json:"started,omitzero"` // of the first run
	Ended   time.Time `json:"ended,omitzero"`
	Runs    int       `json:"runs,omitempty"`   // how often it was begun: more than 1 means it was resumed
	Detail  string    `json:"detail,omitempty"` // what came of it, one line
	Error   string    `json:"error,omitempty"`
	Next    string    `json:"next,omitempty"` // what the reader can do about Error
}

// begin marks another run of the stage.
func (r *Record) begin(now time.Time) {
	if r.Started.IsZero() {
		r.Started = now
	}
	r.State, r.Ended, r.Error, r.Next = Running, time.Time{}, "", ""
	r.Runs++
}

// end marks the stage done, or failed with err.
func (r *Record) end(now time.Time, err error) {
	r.State, r.Ended = Done, now
	if err != nil {
		r.State, r.Error, r.Next = Failed, strings.ReplaceAll(err.Error(), "\n", "; "), fault.NextOf(err) // of several errors each has a line
	}
}

// journalVersion is written into every journal; another one is refused.
const journalVersion = 1

// Journal is the agent's memory: journal.json in agentconf.StateDir. It holds
// no secret and may be read by everybody.
type Journal struct {
	Version        int       `json:"version"`
	InstanceID     string    `json:"instance_id"`
	Node           string    `json:"node,omitempty"`
	Identity       Identity  `json:"identity,omitzero"`
	KeyFingerprint string    `json:"key_fingerprint,omitempty"` // SHA-256 of the public key that this instance announces
	Reboots        int       `json:"reboots,omitempty"`         // asked for by Chef runs
	Build          string    `json:"build,omitempty"`           // the build that pull put in place
	LastGood       string    `json:"last_good,omitempty"`       // the build that was healthy last
	Refused        []Refusal `json:"refused,omitempty"`         // builds that were not, and what they gave way to
	// Serials remembers the newest channel seen, by APP/CHANNEL, so that an
	// older one, though well signed, is known for a replay.
	Serials    map[string]Seen `json:"serials,omitempty"`
	PeakRSSKiB int64           `json:"peak_rss_kib,omitempty"` // largest resident set of an agent's process, without the Chef client's
	Stages     []Record        `json:"stages"`
	Deploy     *Record         `json:"deploy,omitempty"`   // the last deploy after first boot
	Leave      *Record         `json:"leave,omitempty"`    // the way off the Chef server; Detail says why
	Hook       *Answer         `json:"hook,omitempty"`     // what the group was told of the launch
	Signal     *Signal         `json:"signal,omitempty"`   // what the stack was told of it
	Warm       bool            `json:"warm,omitempty"`     // prepared, and waiting in a warm pool
	Reported   bool            `json:"reported,omitempty"` // the node was told of the completed first boot, or could not be
	Told       *Told           `json:"told,omitempty"`     // what the node was told runs here
}

// Told is what the node says of the builds on this instance.
type Told struct {
	Release  string `json:"release,omitempty"`
	LastGood string `json:"last_good,omitempty"`
}

// nodeTold says that the node knows what runs here.
func (j *Journal) nodeTold() bool { return j.Told != nil && *j.Told == Told{j.Build, j.LastGood} }

// Seen is a channel as it was read last.
type Seen struct {
	Serial int64      `json:"serial"`
	Build  release.ID `json:"build"`
}

// newJournal is the journal of an instance that has done nothing yet.
func newJournal(instanceID string) *Journal {
	j := &Journal{Version: journalVersion, InstanceID: instanceID}
	for _, s := range Stages() {
		j.Stages = append(j.Stages, Record{Stage: s, State: Pending})
	}
	return j
}

// record returns the record of s, which every journal has.
func (j *Journal) record(s Stage) *Record {
	for i := range j.Stages {
		if j.Stages[i].Stage == s {
			return &j.Stages[i]
		}
	}
	j.Stages = append(j.Stages, Record{Stage: s, State: Pending})
	return &j.Stages[len(j.Stages)-1]
}

// finished says that s needs no run any more.
func (j *Journal) finished(s Stage) bool {
	st := j.record(s).State
	return st == Done || st == Skipped
}

// Complete says that every stage is finished.
func (j *Journal) Complete() bool {
	for _, s := range Stages() {
		if !j.finished(s) {
			return false
		}
	}
	return true
}

// halfDeployed says that a deploy was begun and has not ended. Under the lock
// nobody can be at it, so that whoever was, was killed: current may be another
// build than the one that runs, and neither is known to be healthy.
func (j *Journal) halfDeployed() bool { return j.Deploy != nil && j.Deploy.State == Running }

// Failure returns the stage that failed, or nil.
func (j *Journal) Failure() *Record {
	for i := range j.Stages {
		if j.Stages[i].State == Failed {
			return &j.Stages[i]
		}
	}
	return nil
}

// openJournal reads the journal of instanceID. One that belongs to another
// instance came with the image: first boot is per instance id, so it is
// replaced by an empty one (on disk with the first save).
func (a *Agent) openJournal(instanceID string) (*Journal, error) {
	j, err := readJournal(a.path(agentconf.StateDir, "journal.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return newJournal(instanceID), nil
	}
	if err != nil {
		return nil, err
	}
	if j.InstanceID != instanceID {
		a.deps.Events.Note("discarding the journal of " + j.InstanceID + " that came with the image")
		return newJournal(instanceID), nil
	}
	return j, nil
}

// readJournal reads and checks the journal at path.
func readJournal(path string) (*Journal, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	var j Journal
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, fault.New(fault.Check, "move "+path+" away and run boot-agent first-boot again", fmt.Errorf("reading the journal %s: %w", path, err))
	}
	if j.Version != journalVersion {
		return nil, fault.Newf(fault.Check, "use the boot-agent that wrote it", "reading the journal %s: version %d, want %d", path, j.Version, journalVersion)
	}
	return &j, nil
}

// save stores the journal so that it survives a power cut.
func (s *session) save() error {
	s.j.PeakRSSKiB = max(s.j.PeakRSSKiB, peakRSS())
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s.j); err != nil {
		return fmt.Errorf("rendering the journal: %w", err)
	}
	if err := writeFile(s.path(agentconf.StateDir, "journal.json"), b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing the journal: %w", onDisk(err))
	}
	return nil
}
