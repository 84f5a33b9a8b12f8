package ui

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// plainForm is one stamped line an event, for logs of build servers.
type plainForm struct{}

// quiet is how long a step's details are held back after one was printed;
// what comes meanwhile on a long wait differs by little.
const quiet = 10 * time.Second

func stamped(now time.Time, format string, args ...any) string {
	return now.Format("15:04:05") + " " + fmt.Sprintf(format, args...) + "\n"
}

func (plainForm) started(s *step, now time.Time) string { return stamped(now, "%s: started", s.name) }

func (plainForm) progress(s *step, now time.Time) string {
	if !s.told.IsZero() && now.Sub(s.told) < quiet {
		return ""
	}
	s.told = now
	return stamped(now, "%s: %s", s.name, s.detail)
}

func (plainForm) log(_ *step, line string, now time.Time) string { return stamped(now, "  | %s", line) }

func (plainForm) done(s *step, took time.Duration, err error, now time.Time) string {
	if err != nil {
		return stamped(now, "%s: FAILED after %s: %s", s.name, span(took), clean(oneLine(err)))
	}
	return stamped(now, "%s: done in %s", s.name, span(took))
}

func (plainForm) info(line string, now time.Time) string { return stamped(now, "%s", line) }

func (plainForm) frame(text string, _ []*step, _ time.Time) string { return text }

// jsonForm is one JSON object a line.
type jsonForm struct{}

// event is a line of jsonForm. Its keys are an interface: scripts read them.
type event struct {
	Time    time.Time `json:"time"`
	Event   string    `json:"event"` // step_started, step_progress, step_log, step_done, info
	Step    string    `json:"step,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Line    string    `json:"line,omitempty"`
	OK      *bool     `json:"ok,omitempty"`      // of step_done
	Seconds *float64  `json:"seconds,omitempty"` // of step_done
	Error   string    `json:"error,omitempty"`   // of step_done
}

func (e event) line(now time.Time) string {
	e.Time = now.UTC()
	b, err := json.Marshal(e)
	if err != nil {
		return ""
	}
	return string(b) + "\n"
}

func (jsonForm) started(s *step, now time.Time) string {
	return event{Event: "step_started", Step: s.name}.line(now)
}

func (jsonForm) progress(s *step, now time.Time) string {
	return event{Event: "step_progress", Step: s.name, Detail: s.detail}.line(now)
}

func (jsonForm) log(s *step, line string, now time.Time) string {
	return event{Event: "step_log", Step: s.name, Line: line}.line(now)
}

func (jsonForm) done(s *step, took time.Duration, err error, now time.Time) string {
	ok, seconds := err == nil, took.Round(time.Millisecond).Seconds()
	e := event{Event: "step_done", Step: s.name, OK: &ok, Seconds: &seconds}
	if err != nil {
		e.Error = err.Error()
	}
	return e.line(now)
}

func (jsonForm) info(line string, now time.Time) string {
	return event{Event: "info", Line: line}.line(now)
}

func (jsonForm) frame(text string, _ []*step, _ time.Time) string { return text }

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
