package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"bakehouse/internal/agentconf"
)

// Wait is what a boot-agent waits for; boot-agent status shows it.
type Wait struct {
	For     string    `json:"for"` // what has to happen
	Since   time.Time `json:"since"`
	Next    time.Time `json:"next,omitzero"`     // when it is tried again
	Until   time.Time `json:"until,omitzero"`    // when it is given up
	Attempt int       `json:"attempt,omitempty"` // the one that is tried next
	Error   string    `json:"error,omitempty"`   // why the last attempt did not do
}

// String says it in one line.
func (w Wait) String() string {
	const clock = "15:04:05Z"
	var b strings.Builder
	fmt.Fprintf(&b, "waiting for %s since %s", w.For, w.Since.UTC().Format(clock))
	if w.Attempt > 0 {
		fmt.Fprintf(&b, ", attempt %d at %s", w.Attempt, w.Next.UTC().Format(clock))
	}
	if !w.Until.IsZero() {
		fmt.Fprintf(&b, ", at most until %s", w.Until.UTC().Format(clock))
	}
	if w.Error != "" {
		b.WriteString("; " + w.Error)
	}
	return b.String()
}

// waitFiles names the notes of all runs: the one that holds the lock may wait,
// and so may others for it.
const waitFiles = "wait-*.json"

// waits notes what this run waits for until over is called. A note is as good
// as its lock, which the kernel drops with the process; it is no state, and
// nothing fails for the lack of it.
func (a *Agent) waits(w Wait) (over func()) {
	dir := a.path(agentconf.StateDir)
	dropOldWaits(dir)
	w.Since = a.deps.Clock.Now()
	body, err := json.Marshal(w)
	if err != nil || mkdirAll(dir) != nil {
		return func() {}
	}
	f, err := os.CreateTemp(dir, waitFiles)
	if err != nil {
		return func() {}
	}
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	_ = f.Chmod(0o644)
	_, _ = f.Write(body)
	return func() { _ = os.Remove(f.Name()); letGo(f) }
}

// readWaits reads what the runs at work wait for, the longest wait first.
func readWaits(dir string) []Wait {
	var all []Wait
	files, _ := filepath.Glob(filepath.Join(dir, waitFiles)) // the pattern is good
	for _, path := range files {
		if !locked(path) {
			continue // its run was killed
		}
		f, err := os.Open(path)
		if err != nil {
			continue // it is over
		}
		var w Wait
		if b, err := io.ReadAll(io.LimitReader(f, 64<<10)); err == nil && json.Unmarshal(b, &w) == nil {
			all = append(all, w)
		}
		_ = f.Close()
	}
	slices.SortFunc(all, func(x, y Wait) int { return x.Since.Compare(y.Since) })
	return all
}

// dropOldWaits removes the notes of runs that were killed.
func dropOldWaits(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, waitFiles))
	for _, path := range files {
		if !locked(path) {
			_ = os.Remove(path)
		}
	}
}
