// Package ui reports the progress of steps: live lines on a terminal, plain
// stamped lines off it, JSON lines on request. It decides how things look and
// nothing else.
package ui

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"
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
	Terminal bool             // Out is a terminal that obeys cursor codes (TERM is not dumb); only Auto asks
	Width    func() int       // terminal columns, asked at each redraw; nil or 0: 80
	NoColor  bool             // the caller saw NO_COLOR or --no-color
	Now      func() time.Time // nil: time.Now
}

// Reporter prints steps. It is safe for concurrent use. Errors of Out are
// dropped: a closed pipe must not stop a bake.
type Reporter struct {
	mu      sync.Mutex
	now     func() time.Time
	out     io.Writer
	form    form
	running []*step // in order of their start
	closed  bool
	stop    func() // ends the redrawing and waits for it
}

// step is a running step.
type step struct {
	name    string
	started time.Time
	detail  string
	tail    []string  // the last log lines
	told    time.Time // when the plain form last printed a detail
	cells   []Cell    // what its many parts are at; see StepCells
	note    []string
}

// form renders events in one of the modes. Each method returns what to write.
type form interface {
	started(s *step, now time.Time) string
	progress(s *step, now time.Time) string
	log(s *step, line string, now time.Time) string
	done(s *step, took time.Duration, err error, now time.Time) string
	info(line string, now time.Time) string
	// frame erases the live lines drawn before, puts text in their place for
	// good, and draws the live lines of the running steps below it.
	frame(text string, running []*step, now time.Time) string
}

// tailLines is how much of a failed step's log a terminal shows.
const tailLines = 20

// New makes a Reporter. On a terminal it redraws ten times a second until Close.
func New(o Options) *Reporter {
	r := newReporter(o)
	if _, live := r.form.(*liveForm); live {
		r.stop = r.animate(100 * time.Millisecond)
	}
	return r
}

func newReporter(o Options) *Reporter {
	r := &Reporter{now: o.Now, out: o.Out, stop: func() {}}
	if r.now == nil {
		r.now = time.Now
	}
	switch {
	case o.Mode == JSON:
		r.form = jsonForm{}
	case o.Mode == Auto && o.Terminal:
		r.form = &liveForm{width: o.Width, color: !o.NoColor}
	default:
		r.form = plainForm{}
	}
	return r
}

func (r *Reporter) animate(every time.Duration) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				r.redraw()
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-ended
	})
}

// redraw shows the passing of time.
func (r *Reporter) redraw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write("")
}

// write puts text and the live lines out in one piece, so that nothing flickers.
func (r *Reporter) write(text string) {
	running := r.running
	if r.closed {
		running = nil
	}
	if s := r.form.frame(text, running, r.now()); s != "" {
		_, _ = io.WriteString(r.out, s)
	}
}

func (r *Reporter) find(name string) *step {
	for _, s := range r.running {
		if s.name == name {
			return s
		}
	}
	return nil
}

// StepStarted opens a step. Names are what the other calls know it by; several
// steps may run at once.
func (r *Reporter) StepStarted(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(name)
	if s == nil {
		s = &step{name: name}
		r.running = append(r.running, s)
	}
	*s = step{name: name, started: r.now()}
	r.write(r.form.started(s, r.now()))
}

// StepProgress replaces the step's detail, one short line.
func (r *Reporter) StepProgress(name, detail string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(name)
	if detail = clean(detail); s == nil || s.detail == detail {
		return
	}
	s.detail = detail
	r.write(r.form.progress(s, r.now()))
}

// StepLog passes one line of the step's output on. A terminal shows the last
// one alone, and the last 20 if the step fails.
func (r *Reporter) StepLog(name, line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line = clean(line)
	s := r.find(name)
	if s == nil {
		s = &step{name: name}
	}
	s.tail = append(s.tail, line)
	s.tail = s.tail[max(0, len(s.tail)-tailLines):]
	r.write(r.form.log(s, line, r.now()))
}

// StepDone closes a step; err nil means success.
func (r *Reporter) StepDone(name string, took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(name)
	if s == nil {
		s = &step{name: name}
	}
	kept := r.running[:0]
	for _, other := range r.running {
		if other != s {
			kept = append(kept, other)
		}
	}
	r.running = kept
	r.write(r.form.done(s, took, err, r.now()))
}

// Info prints one line that belongs to no step.
func (r *Reporter) Info(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(r.form.info(clean(line), r.now()))
}

// Close stops redrawing and leaves the terminal tidy: a step that still runs
// keeps a last line. Later calls print without live lines.
func (r *Reporter) Close() {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	var left strings.Builder
	if live, ok := r.form.(*liveForm); ok {
		for _, s := range r.running {
			left.WriteString(live.unfinished(s, r.now()))
		}
	}
	r.write(left.String())
}

// clean makes text of a machine safe to show: one line without terminal codes.
func clean(s string) string {
	if strings.ContainsRune(s, '\x1b') {
		s = regexp.MustCompile(`\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?`).ReplaceAllString(s, "")
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimRight(s, "\r\n"), "?"))
	return strings.TrimRight(s, " ")
}

// span renders a duration to a tenth of a second below a minute.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
