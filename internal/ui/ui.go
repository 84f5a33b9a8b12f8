// Package ui reports the progress of steps: live lines on a terminal, plain
// stamped lines off it, JSON lines on request.
package ui

import (
	"io"
	"time"
)

// Mode chooses the form of the output.
type Mode int

// The modes. Auto is live lines on a terminal and plain lines elsewhere.
const (
	Auto Mode = iota
	Plain
	JSON
)

// Options configure a Reporter.
type Options struct {
	Out      io.Writer
	Mode     Mode
	Terminal bool             // Out is a terminal; only Auto asks
	Width    func() int       // terminal columns; nil or 0: 80
	NoColor  bool             // the caller saw NO_COLOR or --no-color
	Now      func() time.Time // nil: time.Now
}

// Reporter prints steps. It is safe for concurrent use.
type Reporter struct{}

// New makes a Reporter. On a terminal it redraws until Close.
func New(o Options) *Reporter { return &Reporter{} }

// StepStarted opens a step.
func (r *Reporter) StepStarted(name string) {}

// StepProgress replaces the step's detail, one short line.
func (r *Reporter) StepProgress(name, detail string) {}

// StepLog passes one line of the step's output on.
func (r *Reporter) StepLog(name, line string) {}

// StepDone closes a step; err nil means success.
func (r *Reporter) StepDone(name string, took time.Duration, err error) {}

// Info prints one line that belongs to no step.
func (r *Reporter) Info(line string) {}

// Close stops redrawing and leaves the terminal tidy.
func (r *Reporter) Close() {}

// PrintError prints err and its next step as "tool: error: …" in at most five lines.
func PrintError(w io.Writer, tool string, err error) {}
