package bake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bakehouse/internal/fault"
)

// awaitStep is where resuming begins.
const awaitStep = "wait for image"

// saved is what a bake writes down before it asks for its image: all that the
// steps after that need. There are no keys in it, and no secrets: the parts of
// the builder that the proof looks for are public.
type saved struct {
	Plan   Plan     `json:"plan"`
	Inputs Inputs   `json:"inputs"`
	Owner  Identity `json:"owner"`
	// Inventory is as it is stored once the image is finished.
	Inventory []byte `json:"inventory,omitempty"`
	Builder   struct {
		MachineID string `json:"machine_id"`
		HostKey   string `json:"host_key"`
		UserKey   string `json:"login_key"`
	} `json:"builder"`
}

// savedPath is the file beside a journal that a resume reads.
func savedPath(journal string) string { return strings.TrimSuffix(journal, ".json") + ".plan" }

// save writes down what a resume needs.
func (s *Session) save() error {
	v := saved{Plan: s.plan, Inputs: s.plan.inputs, Owner: s.plan.owner, Inventory: s.inBytes}
	v.Builder.MachineID, v.Builder.HostKey, v.Builder.UserKey = s.machineID, s.hostKey.publicLine, s.userKey.publicLine
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = replaceFile(savedPath(s.journal.path), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing down what resuming needs: %w", err)
	}
	return nil
}

// stillPending says whether a bake that failed ran out of its own time while
// EC2 was still making the image: the image may well be good.
func (s *Session) stillPending(ctx context.Context, err error) bool {
	return s.step == awaitStep && s.image != "" && ctx.Err() == nil && fault.KindOf(err) == fault.Timeout
}

// leavePending leaves a pending image and what a resume needs as they are.
// They carry an expiry, so that a sweep takes them when nobody resumes.
func (s *Session) leavePending(failed error) error {
	defer s.journal.lock.Close()
	err := s.journal.keep()
	return errors.Join(fault.New(fault.Timeout, "wait, then: bake-ami resume "+s.plan.BakeID+" (or remove everything: bake-ami abort "+s.plan.BakeID+")",
		fmt.Errorf("%w; image %s is still pending and was left as it is until %s", failed, s.image, s.plan.ExpiresAt.UTC().Format(time.RFC3339))), err)
}

// Resumable is a bake that ended before its image was finished.
type Resumable struct {
	BakeID string
	Role   string
	Region string
	Image  string // empty: the call that makes it never returned
	Inputs Inputs // as the bake was asked for; only to be read

	saved   saved
	journal journalFile
	dir     string
}

// FindResumable finds the bake with the given id, or the only one there is,
// among the journals of this machine. Errors: fault.Usage.
func FindResumable(stateDir, id string) (Resumable, error) {
	bakes, err := readJournals(stateDir)
	if err != nil {
		return Resumable{}, err
	}
	var ids []string
	for _, one := range slices.Sorted(maps.Keys(bakes)) {
		_, err := os.Stat(savedPath(bakes[one].path))
		if err == nil && !bakes[one].alive && (id == "" || id == one) {
			ids = append(ids, one)
		}
	}
	old, known := bakes[id]
	switch {
	case len(ids) > 1:
		return Resumable{}, fault.Newf(fault.Usage, "name one: bake-ami resume "+ids[0], "resuming: %d bakes can be resumed: %s", len(ids), strings.Join(ids, ", "))
	case len(ids) == 1:
		return readResumable(stateDir, bakes[ids[0]])
	case known && old.alive:
		return Resumable{}, fault.Newf(fault.Usage, "wait for it, or end it: bake-ami abort "+id, "resuming %s: it still runs, as process %d", id, old.PID)
	case known:
		return Resumable{}, fault.Newf(fault.Usage, "remove what it left: bake-ami abort "+id+", then bake again", "resuming %s: it ended before it made an image", id)
	case id != "":
		return Resumable{}, fault.Newf(fault.Usage, "resume on the machine that baked, with its --state-dir", "resuming %s: its journal is not in %s", id, stateDir)
	}
	return Resumable{}, fault.Newf(fault.Usage, "bake again; or give the --state-dir of the bake", "resuming: no bake that can be resumed has its journal in %s", stateDir)
}

func readResumable(dir string, old oldBake) (Resumable, error) {
	r := Resumable{BakeID: old.BakeID, Role: old.Role, Region: old.Region, journal: old.journalFile, dir: dir}
	path := savedPath(old.path)
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &r.saved)
	}
	if err == nil && (r.saved.Plan.BakeID != old.BakeID || r.saved.Plan.Recipe.Digest() != r.saved.Plan.Digest) {
		err = errors.New("it is not what the bake wrote, or of another version of bake-ami")
	}
	if err != nil {
		return r, fault.New(fault.Usage, "remove what the bake left: bake-ami abort "+old.BakeID, fmt.Errorf("reading %s: %w", filepath.Base(path), err))
	}
	r.Inputs = r.saved.Inputs
	for _, res := range old.Resources {
		if res.Kind == KindImage && res.Region == "" {
			r.Image = res.ID
		}
	}
	return r, nil
}
