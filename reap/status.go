package reap

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bakehouse/internal/fault"
)

// Status is the last run's outcome, for monitoring: alarm on ended_at that is
// old, and on outcome that is not ok.
type Status struct {
	Run       string    `json:"run"`
	Outcome   string    `json:"outcome"` // ok, looked (first run), tripped, failed, incomplete
	ExitCode  int       `json:"exit_code"`
	Error     string    `json:"error,omitempty"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	Counts    Counts    `json:"counts"`
	Removed   int       `json:"removed"`
	Changed   int       `json:"changed"` // left alone, because it changed during the run
	Failed    int       `json:"failed"`
	Reading   Reading   `json:"reading"`
}

// StatusOf sums up a run and its error.
func StatusOf(r Report, err error) Status {
	s := Status{Run: r.Run, Outcome: "ok", ExitCode: fault.ExitCode(err), StartedAt: r.Started, EndedAt: r.Ended, Counts: r.Plan.Counts,
		Removed: r.Count(Removed), Changed: r.Count(Changed), Failed: r.Count(Failed), Reading: r.Reading}
	switch {
	case len(r.Plan.Tripped) > 0 && err != nil:
		s.Outcome = "tripped"
	case err != nil && len(r.Removals) > 0:
		s.Outcome = "incomplete"
	case err != nil:
		s.Outcome = "failed"
	case r.Plan.LookOnly:
		s.Outcome = "looked"
	}
	if err != nil {
		s.Error = err.Error()
	}
	return s
}

// WriteFile replaces the status file; a reader never sees half of one.
func (s Status) WriteFile(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = replace(path, append(b, '\n'))
	}
	if err == nil {
		err = os.Chmod(path, 0o644) // monitoring runs as somebody else
	}
	if err != nil {
		return fault.New(fault.Usage, "correct reaper.status_file", fmt.Errorf("writing the status file: %w", err))
	}
	return nil
}

// Metrics renders the status as one line of CloudWatch's embedded metric
// format: a log line that CloudWatch Logs turns into metrics of the namespace
// Bakehouse/Reaper.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
func (s Status) Metrics() ([]byte, error) {
	values := map[string]float64{
		"Live": float64(s.Counts.Live), "Orphaned": float64(s.Counts.Orphaned), "Reaped": float64(s.Removed), "Failed": float64(s.Failed),
		"Seconds": s.EndedAt.Sub(s.StartedAt).Seconds(), "ExitCode": float64(s.ExitCode),
	}
	for reason, n := range s.Counts.ByReason {
		if reason != Terminated && reason != AbsentConfirmed && reason != Alive {
			values["Skipped_"+string(reason)] = float64(n)
		}
	}
	type metric struct{ Name, Unit string }
	var metrics []metric
	doc := map[string]any{"outcome": s.Outcome, "run": s.Run}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		unit := "Count"
		switch name {
		case "Seconds":
			unit = "Seconds"
		case "ExitCode":
			unit = "None"
		}
		metrics = append(metrics, metric{name, unit})
		doc[name] = values[name]
	}
	doc["_aws"] = map[string]any{"Timestamp": s.EndedAt.UnixMilli(),
		"CloudWatchMetrics": []any{map[string]any{"Namespace": "Bakehouse/Reaper", "Dimensions": [][]string{{}}, "Metrics": metrics}}}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("rendering the metrics: %w", err)
	}
	return append(b, '\n'), nil
}
