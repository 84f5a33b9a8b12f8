package bake

import (
	"encoding/json"
	"fmt"
	"time"

	"bakehouse/bake/cost"
	"bakehouse/bake/distribute"
	"bakehouse/bake/inventory"
	"bakehouse/bake/publish"
)

// Report is what a bake has to say when it ends, well or not.
type Report struct {
	BakeID    string   `json:"bake_id"`
	Result    string   `json:"result"` // done, reused, unpublished, failed, refused
	Reused    bool     `json:"reused"` // the image is an earlier bake's, of the same inputs
	Role      string   `json:"role"`
	Region    string   `json:"region"`
	Account   string   `json:"account"`
	ImageID   string   `json:"image_id,omitempty"`
	ImageName string   `json:"image_name,omitempty"`
	Snapshots []string `json:"snapshots,omitempty"`
	// Copies are in the order of the wishes, Shared the home region first.
	Copies []distribute.Copy  `json:"copies,omitempty"`
	Shared []distribute.Share `json:"shared,omitempty"`
	// Published says what was changed so that others find the image, with the
	// values before.
	Published *publish.Plan `json:"published,omitempty"`
	Proof     *Proof        `json:"proof,omitempty"`
	Unproven  string        `json:"unproven_image,omitempty"` // an image that failed its proof and was kept
	Digest    string        `json:"inputs_digest"`
	Inputs    Recipe        `json:"inputs"`
	Launch    Launch        `json:"launch"`
	Tried     []Attempt     `json:"tried,omitempty"` // placements that AWS had no capacity for
	Tags      TagSet        `json:"tags,omitempty"`
	StartedAt time.Time     `json:"started_at"`
	EndedAt   time.Time     `json:"ended_at"`
	Seconds   float64       `json:"seconds"`
	// Steps are in the order in which they ran, the clean-up last.
	Steps    []StepTime `json:"steps"`
	Error    string     `json:"error,omitempty"`
	Next     string     `json:"next,omitempty"`
	Leftover []Leftover `json:"leftover,omitempty"`
	// Inventory is what the image holds; nil: nobody could say.
	Inventory *inventory.Inventory `json:"inventory,omitempty"`
	// Changes are against the role's image before; nil: see ChangesNote.
	Changes     *inventory.Diff `json:"changes,omitempty"`
	ChangesNote string          `json:"changes_note,omitempty"` // why there are none to show
	Cost        *cost.Estimate  `json:"cost,omitempty"`
	// Of a bake that failed: the converge's last lines and the builder's console.
	ConvergeTail []string `json:"converge_tail,omitempty"`
	Console      []string `json:"console,omitempty"`
}

// StepTime is how long one step took.
type StepTime struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started_at"`
	Seconds float64   `json:"seconds"`
	Error   string    `json:"error,omitempty"`
}

// Leftover is a resource that could not be removed, and how to remove it.
type Leftover struct {
	Resource
	Command string `json:"command"`
}

// JSON renders the report, indented, with a final newline.
func (r Report) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering the report: %w", err)
	}
	return append(b, '\n'), nil
}

func stepTime(name string, start time.Time, took time.Duration, err error) StepTime {
	s := StepTime{Name: name, Started: start.UTC(), Seconds: took.Seconds()}
	if err != nil {
		s.Error = err.Error()
	}
	return s
}
