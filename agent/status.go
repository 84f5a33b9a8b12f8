package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"bakehouse/internal/agentconf"
)

// Status is where the instance stands; boot-agent status prints it.
type Status struct {
	State      string        `json:"state"` // complete, running, interrupted, failed, not started
	InstanceID string        `json:"instance_id,omitempty"`
	Node       string        `json:"node,omitempty"`
	Region     string        `json:"region,omitempty"`
	Group      string        `json:"group,omitempty"`
	Current    string        `json:"current,omitempty"`   // build id that ROOT/current points at
	LastGood   string        `json:"last_good,omitempty"` // build id that was healthy last
	Refused    []Refusal     `json:"refused,omitempty"`   // builds that gave way to another one here
	Reboots    int           `json:"reboots,omitempty"`
	PeakRSSKiB int64         `json:"peak_rss_kib,omitempty"` // of the agent's own process
	Stages     []StageStatus `json:"stages"`
	Deploy     *Record       `json:"deploy,omitempty"`
	Leave      *Record       `json:"leave,omitempty"`
	Waits      []Wait        `json:"waits,omitempty"`
	Why        string        `json:"why,omitempty"`  // what it waits for, or the error of the stage that failed
	Next       string        `json:"next,omitempty"` // what to do about it
	Log        []string      `json:"log,omitempty"`  // last lines of a failed Chef run, for root alone
}

// StageStatus is a stage's record with its duration.
type StageStatus struct {
	Record
	Seconds float64 `json:"seconds"` // from first start to end; until now while it runs
}

// The values of Status.State.
const (
	Complete    = "complete"
	AtWork      = "running"
	Interrupted = "interrupted" // begun, and no agent is at work: the next boot or restart resumes
	Broken      = "failed"
	NotStarted  = "not started"
	Waiting     = "warm" // prepared; the app is started when the group takes the instance out of its warm pool
)

// ReadStatus reads the journal below root at time now. It asks nobody else, so
// it works without network and, the journal being public, without root.
func ReadStatus(root string, conf agentconf.Config, now time.Time) (Status, error) {
	st := Status{State: NotStarted}
	if conf.App != nil {
		st.Current = string(Layout{Root: filepath.Join(root, conf.App.Root)}.Live())
	}
	j, err := readJournal(filepath.Join(root, agentconf.StateDir, "journal.json"))
	atWork := locked(filepath.Join(root, agentconf.StateDir, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		j = newJournal("")
	} else if err != nil {
		return Status{}, err
	} else {
		st.State = stateOf(j, atWork)
	}
	st.InstanceID, st.Node, st.Reboots, st.Deploy = j.InstanceID, j.Node, j.Reboots, j.Deploy
	if r := j.record(Converge); r.State == Failed || strings.HasPrefix(r.Detail, wentOn) {
		st.Log = lastRun(filepath.Join(root, convergeLog))
	}
	st.LastGood, st.Refused = j.LastGood, j.Refused
	st.PeakRSSKiB = j.PeakRSSKiB
	st.Leave = j.Leave
	st.Region, st.Group = j.Identity.Region, j.Identity.Group()
	for _, r := range j.Stages {
		st.Stages = append(st.Stages, StageStatus{Record: r, Seconds: seconds(r, now)})
	}
	st.Waits = readWaits(filepath.Join(root, agentconf.StateDir))
	st.Why, st.Next = st.why(j, atWork)
	return st, nil
}

// why says what keeps the instance where it is, and what to do about it. A wait
// is nearer than the failure that an earlier attempt left.
func (st Status) why(j *Journal, atWork bool) (why, next string) {
	if len(st.Waits) > 0 {
		var all []string
		for _, w := range st.Waits {
			all = append(all, w.String())
		}
		return strings.Join(all, "; "), ""
	}
	if f := j.Failure(); f != nil {
		return f.Error, f.Next
	}
	const resume = "systemctl restart bakehouse-first-boot, or reboot"
	switch st.State {
	case Interrupted:
		return "no boot-agent is at work, and first boot is not finished", resume
	case Waiting:
		return "prepared, and waiting for group " + st.Group + " to take it into service", ""
	case NotStarted:
		return "no boot-agent has run on this instance", resume
	}
	if j.halfDeployed() && !atWork && j.Leave == nil {
		return "a deploy was interrupted, and no boot-agent is at work: what runs may not be the current release", "boot-agent deploy, or reboot"
	}
	return "", ""
}

func stateOf(j *Journal, atWork bool) string {
	switch {
	case j.Complete():
		return Complete
	case j.Warm:
		return Waiting
	case atWork:
		return AtWork
	case j.Failure() != nil:
		return Broken
	}
	return Interrupted
}

func seconds(r Record, now time.Time) float64 {
	switch {
	case r.Started.IsZero():
		return 0
	case r.Ended.IsZero():
		return now.Sub(r.Started).Seconds()
	}
	return r.Ended.Sub(r.Started).Seconds()
}

// Text writes the status for people.
func (st Status) Text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "first boot\t%s\n", st.State)
	for _, f := range []struct{ name, value string }{
		{"instance", st.InstanceID}, {"node", st.Node}, {"group", st.Group}, {"release", st.Current}, {"last good", st.LastGood},
	} {
		if f.value != "" {
			fmt.Fprintf(w, "%s\t%s\n", f.name, f.value)
		}
	}
	for _, r := range st.Refused {
		fmt.Fprintf(w, "refused\t%s at %s\n", r.Build, r.At.UTC().Format("2006-01-02 15:04:05Z"))
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "STAGE\tSTATE\tSTARTED\tSECONDS\tRUNS\tDETAIL")
	for _, s := range st.Stages {
		fmt.Fprintln(w, s.row(string(s.Stage)))
	}
	if st.Deploy != nil {
		fmt.Fprintln(w, StageStatus{*st.Deploy, seconds(*st.Deploy, st.Deploy.Ended)}.row("deploy ("+string(st.Deploy.Stage)+")"))
	}
	if st.Leave != nil {
		fmt.Fprintln(w, StageStatus{*st.Leave, seconds(*st.Leave, st.Leave.Ended)}.row(string(Leave)))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return st.reason(out)
}

// row is one line of the stage table, cells parted by tabs.
func (s StageStatus) row(name string) string {
	if s.Started.IsZero() {
		return name + "\t" + string(s.State) + "\t-\t-\t-\t" + s.Detail
	}
	return fmt.Sprintf("%s\t%s\t%s\t%.1f\t%d\t%s", name, s.State, s.Started.UTC().Format("2006-01-02 15:04:05Z"), s.Seconds, max(s.Runs, 1), s.Detail)
}

// reason writes why the chain failed, what to do, and the Chef run's last lines.
func (st Status) reason(out io.Writer) error {
	why, next := st.Why, st.Next
	if why == "" && st.Deploy != nil {
		why, next = st.Deploy.Error, st.Deploy.Next
	}
	if why == "" {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nwhy:  %s\n", why)
	if next != "" {
		fmt.Fprintf(&b, "next: %s\n", next)
	}
	if len(st.Log) > 0 {
		b.WriteString("\nlast lines of the Chef run:\n")
		for _, line := range st.Log {
			b.WriteString("  " + line + "\n")
		}
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}
