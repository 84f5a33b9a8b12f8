package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bakehouse/internal/fault"
)

// clock is a clock that stands still until it is told otherwise.
type clock struct{ t time.Time }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time       { return c.t }
func (c *clock) pass(d time.Duration) { c.t = c.t.Add(d) }

// story drives a Reporter through everything that can happen; peek is called
// after each change a person would see.
func story(r *Reporter, c *clock, peek func(title string)) {
	r.Info("baking role web")
	r.StepStarted("launch builder")
	peek("one step runs")
	c.pass(1200 * time.Millisecond)
	r.StepProgress("launch builder", "i-0abc: pending")
	r.StepProgress("launch builder", "i-0abc: pending") // said already
	r.redraw()
	peek("it tells where it is")
	c.pass(3 * time.Second)
	r.StepProgress("launch builder", "i-0abc: running")
	r.StepDone("launch builder", 4200*time.Millisecond, nil)
	peek("it is done")
	r.StepStarted("converge role[web]")
	r.StepStarted("watch console")
	for i := range 25 {
		r.StepLog("converge role[web]", fmt.Sprintf("\x1b[32mline %d\x1b[0m of chef-client\r\n", i))
	}
	c.pass(75 * time.Second)
	r.StepLog("converge role[web]", "  * package[nginx-light] action install, and this line is far longer than a terminal is wide")
	r.redraw()
	peek("two steps at once")
	r.Info("chef-client asks for a reboot")
	r.StepDone("converge role[web]", 75*time.Second, errors.New("exit code 1:\nno space left on device"))
	peek("one failed")
	c.pass(time.Hour)
	r.StepProgress("watch console", "quiet")
	r.Close()
	r.Close()
	r.StepStarted("undo")
	r.StepDone("undo", 62*time.Minute, nil)
	peek("closed")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; if that is meant, run go test ./internal/ui -update (-want +got):\n%s", path, diff)
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the golden files")
	flag.Parse()
	os.Exit(m.Run())
}

func TestPlainAndJSON(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"plain.golden": {Mode: Plain, Terminal: true},
		"pipe.golden":  {Mode: Auto, Terminal: false},
		"json.golden":  {Mode: JSON, Terminal: true},
	} {
		var out bytes.Buffer
		c := newClock()
		o.Out, o.Now = &out, c.now
		r := newReporter(o)
		story(r, c, func(string) {})
		if strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s holds terminal codes", name)
		}
		golden(t, name, out.String())
	}
}

func TestEveryJSONLineIsAnObject(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := newReporter(Options{Out: &out, Mode: JSON, Now: c.now})
	story(r, c, func(string) {})
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var e event
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Event == "" || e.Time.IsZero() {
			t.Errorf("line %q: %v", line, err)
		}
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	var screens, raw bytes.Buffer
	s := &screen{}
	c := newClock()
	r := newReporter(Options{Out: io.MultiWriter(s, &raw), Terminal: true, NoColor: true, Width: func() int { return 60 }, Now: c.now})
	story(r, c, func(title string) { fmt.Fprintf(&screens, "--- %s\n%s", title, s) })
	golden(t, "terminal.golden", screens.String())
	if strings.Contains(raw.String(), "m") && strings.Contains(raw.String(), "\x1b[3") {
		t.Error("colours in spite of NoColor")
	}
	if s.widest > 59 {
		t.Errorf("a live line is %d columns wide on a terminal of 60", s.widest)
	}
}

func TestTerminalColours(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := newClock()
	r := newReporter(Options{Out: &out, Terminal: true, Now: c.now})
	r.StepStarted("a")
	r.StepDone("a", time.Second, nil)
	r.StepDone("never started", time.Second, errors.New("no"))
	for _, want := range []string{"\x1b[32m✓\x1b[0m a", "\x1b[31m✗\x1b[0m never started", "\x1b[31mno\x1b[0m"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output %q lacks %q", out.String(), want)
		}
	}
}

// A terminal too narrow for the name still gets one line a step.
func TestNarrowTerminal(t *testing.T) {
	t.Parallel()
	for width := range 40 {
		s := &screen{}
		c := newClock()
		r := newReporter(Options{Out: s, Terminal: true, NoColor: true, Width: func() int { return width }, Now: c.now})
		r.StepStarted("a step with a name that is long")
		r.StepProgress("a step with a name that is long", "and a detail")
		if width > 4 && s.widest >= width {
			t.Errorf("width %d: a live line of %d columns", width, s.widest)
		}
	}
}

func TestTheLiveLinesMoveByThemselves(t *testing.T) {
	t.Parallel()
	frames := make(chan string, 1000)
	r := newReporter(Options{Out: writerFunc(func(p []byte) { frames <- string(p) }), Terminal: true})
	r.stop = r.animate(time.Millisecond)
	r.StepStarted("wait")
	first, second := <-frames, <-frames
	if first == second || !strings.Contains(second, "wait") {
		t.Errorf("two frames: %q and %q", first, second)
	}
	r.Close()
	if n := New(Options{Out: io.Discard, Terminal: true}); n != nil {
		n.Close()
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Terminal: true}, {Mode: Plain}, {Mode: JSON}} {
		var out bytes.Buffer
		o.Out = &out
		r := newReporter(o)
		r.stop = r.animate(time.Millisecond)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				name := fmt.Sprintf("step %d", i)
				r.StepStarted(name)
				for range 50 {
					r.StepLog(name, "line")
					r.StepProgress(name, "detail")
					r.Info("info")
				}
				r.StepDone(name, time.Second, nil)
			})
		}
		wg.Wait()
		r.Close()
	}
}

func TestUntrustedTextCannotDriveTheTerminal(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"\x1b[31mred\x1b[0m":         "red",
		"\x1b]0;title\x07text":       "text",
		"\x1b]8;;http://x\x1b\\link": "link",
		"a\rb\tc\x00d\n":             "a b c d",
		"\x1b":                       "",
		"\x1bcreset":                 "reset",
		"bad \xff byte":              "bad ? byte",
		"\x9b31mC1":                  "?31mC1",
		"\u009b31mC1":                " 31mC1",
	}
	for in, want := range cases {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestPrintErrorIsShort(t *testing.T) {
	t.Parallel()
	many := errors.New("3 errors occurred:\n\t* a\n\t* b\n\t* c\n\t* d\n\t* e\n\n")
	cases := []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("opening x: no such file"), "tool: error: opening x: no such file\n"},
		{fault.Newf(fault.Usage, "create it", "opening x"), "tool: error: opening x\n  next: create it\n"},
		{errors.New("a\nb"), "tool: error: a\n  b\n"},
		{many, "tool: error: 3 errors occurred:\n  * a\n  * b\n  * c\n  … and 2 more lines\n"},
		{fault.New(fault.Check, "run sweep", many), "tool: error: 3 errors occurred:\n  * a\n  * b\n  … and 3 more lines\n  next: run sweep\n"},
		{fault.New(fault.Leftover, "run sweep", many), "tool: error: 3 errors occurred:\n  * a\n  * b\n  * c\n  * d\n  * e\n  next: run sweep\n"},
	}
	for _, c := range cases {
		var out bytes.Buffer
		PrintError(&out, "tool", c.err)
		if out.String() != c.want {
			t.Errorf("%v printed as\n%swant\n%s", c.err, out.String(), c.want)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0.0s", 8249 * time.Millisecond: "8.2s", 42 * time.Second: "42.0s", 62 * time.Second: "1m02s", 59*time.Minute + 59*time.Second: "59m59s", 62 * time.Minute: "1h02m",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}
