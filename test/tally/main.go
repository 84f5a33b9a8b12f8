// Command tally reads `go test -json` on stdin and prints what a person wants
// of it: one line a package, the begin and the end of the output of what failed,
// every skip with its reason, every failure once more in a line, and a closing
// count. It fails when a test failed or did not end, when nothing ran, and, with
// -strict, when anything was skipped. Logs of CI are cut: it prints little.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// event is one line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64 // seconds
}

// tally is the state of one reading.
type tally struct {
	out                     io.Writer
	verbose                 bool
	passed, failed, skipped int
	output                  map[string][]string // lines per package/test, until it ends
	skips                   []string
	failures                []string // a line each: tests, and packages that failed without one
	failedIn                map[string]bool
	open                    map[string]bool // packages that have begun and not ended
}

func newTally(out io.Writer, verbose bool) *tally {
	return &tally{out: out, verbose: verbose, output: map[string][]string{}, failedIn: map[string]bool{}, open: map[string]bool{}}
}

func main() {
	strict := flag.Bool("strict", false, "fail when a test was skipped")
	verbose := flag.Bool("v", false, "print a line for every test that passed")
	flag.Parse()
	t := newTally(os.Stdout, *verbose)
	if err := t.read(os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "tally: error: reading test events: %v\n", err)
		os.Exit(1)
	}
	os.Exit(t.close(*strict))
}

// read consumes the stream; a line that is no event is passed on as it is.
func (t *tally) read(in io.Reader) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 1<<20), 1<<24)
	for sc.Scan() {
		var e event
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			fmt.Fprintln(t.out, sc.Text())
			continue
		}
		t.take(e)
	}
	return sc.Err()
}

// take books one event.
func (t *tally) take(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "start":
		t.open[e.Package] = true
	case "output":
		t.output[key] = append(t.output[key], e.Output)
	case "build-output":
		fmt.Fprint(t.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			t.endPackage(e)
		} else {
			t.endTest(e, key)
		}
		delete(t.output, key)
	}
}

// endTest books the end of one test or subtest.
func (t *tally) endTest(e event, key string) {
	switch e.Action {
	case "pass":
		t.passed++
		if t.verbose {
			fmt.Fprintf(t.out, "pass  %s %s (%.2fs)\n", e.Package, e.Test, e.Elapsed)
		}
	case "fail":
		t.fails(e.Package, e.Test, fmt.Sprintf("%.2fs", e.Elapsed))
	case "skip":
		t.skipped++
		t.skips = append(t.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(t.output[key])))
	}
}

// fails books a failed test, or one that did not end, and prints its output.
func (t *tally) fails(pkg, test, took string) {
	t.failed++
	t.failedIn[pkg] = true
	fmt.Fprintf(t.out, "FAIL  %s %s (%s)\n", pkg, test, took)
	t.tell(pkg+" "+test, pkg+" "+test)
}

// endPackage books the end of a package. A test that has not ended by then hung,
// or panicked: its output is in what it said last.
func (t *tally) endPackage(e event) {
	delete(t.open, e.Package)
	if e.Action == "fail" {
		for _, key := range slices.Sorted(maps.Keys(t.output)) {
			if pkg, test, _ := strings.Cut(key, " "); pkg == e.Package && test != "" {
				t.fails(pkg, test, "did not end")
				delete(t.output, key)
			}
		}
		if !t.failedIn[e.Package] {
			t.tell(e.Package, e.Package+" ")
		}
		fmt.Fprintf(t.out, "FAIL  %s (%.1fs)\n", e.Package, e.Elapsed)
		return
	}
	if e.Action == "pass" {
		fmt.Fprintf(t.out, "ok    %s (%.1fs)\n", e.Package, e.Elapsed)
	}
}

// tell prints the kept output of what failed, indented, and books its first line.
func (t *tally) tell(name, key string) {
	lines := said(t.output[key])
	for _, line := range excerpt(lines) {
		fmt.Fprintf(t.out, "      %s\n", line)
	}
	if len(lines) > 0 {
		name += ": " + strings.TrimSpace(lines[0])
	} else if slices.ContainsFunc(t.failures, func(f string) bool { return strings.HasPrefix(f, name+"/") }) {
		return // a subtest of it failed and says why
	}
	t.failures = append(t.failures, cut(name))
}

// said are the lines of a test's own among its output.
func said(output []string) (lines []string) {
	for line := range strings.Lines(strings.Join(output, "")) {
		line = strings.TrimRight(line, "\n")
		if bare := strings.TrimSpace(line); bare != "" && !strings.HasPrefix(bare, "=== ") && !strings.HasPrefix(bare, "--- ") {
			lines = append(lines, cut(line))
		}
	}
	return lines
}

// How much is printed of what failed: the cause comes first, what a panic says
// wherever it does, and the end is where it stood.
const (
	headLines  = 24
	panicLines = 16
	tailLines  = 8
	lineLength = 500 // bytes
)

// excerpt leaves the middle of a long output out, but for a panic's begin.
func excerpt(lines []string) []string {
	if len(lines) <= headLines+tailLines {
		return lines
	}
	show := make([]bool, len(lines))
	mark := func(from, n int) {
		for i := from; i < min(from+n, len(lines)); i++ {
			show[i] = true
		}
	}
	mark(0, headLines)
	mark(len(lines)-tailLines, tailLines)
	if at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "panic: ") || strings.HasPrefix(l, "fatal error: ") }); at >= 0 {
		mark(at, panicLines)
		for _, i := range places(lines, at) {
			mark(i, 1)
		}
	}
	var out []string
	for i, left := 0, 0; i < len(lines); i++ {
		if !show[i] {
			left++
			continue
		}
		if left > 0 {
			out = append(out, fmt.Sprintf("... %d lines left out ...", left))
		}
		out, left = append(out, lines[i]), 0
	}
	return out
}

// places are where a dump of goroutines names code of tests, each once: where the
// tests stood.
func places(lines []string, from int) (at []int) {
	seen := map[string]bool{}
	for i := from; i < len(lines) && len(at) < panicLines; i++ {
		place, _, _ := strings.Cut(strings.TrimSpace(lines[i]), " +0x")
		if strings.Contains(place, "_test.go:") && !seen[place] {
			seen[place] = true
			at = append(at, i)
		}
	}
	return at
}

// cut bounds a line.
func cut(line string) string {
	if len(line) <= lineLength {
		return line
	}
	return strings.ToValidUTF8(line[:lineLength], "") + " ..."
}

// reason finds what a skipped test said.
func reason(lines []string) string {
	for _, l := range slices.Backward(lines) {
		l = strings.TrimSpace(l)
		if l != "" && !strings.HasPrefix(l, "---") && !strings.HasPrefix(l, "===") {
			return l
		}
	}
	return "no reason given"
}

// close prints the skips and the closing count, and returns the exit code.
func (t *tally) close(strict bool) int {
	for _, s := range t.skips {
		fmt.Fprintf(t.out, "SKIP  %s\n", s)
	}
	for _, pkg := range slices.Sorted(maps.Keys(t.open)) {
		t.failures = append(t.failures, pkg+": it did not end")
	}
	for _, f := range t.failures {
		fmt.Fprintf(t.out, "failed: %s\n", f)
	}
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	switch {
	case len(t.failures) > 0:
		return 1
	case t.passed == 0:
		fmt.Fprintln(t.out, "tally: no test ran")
		return 1
	case strict && t.skipped > 0:
		fmt.Fprintln(t.out, "tally: tests were skipped, and -strict forbids it")
		return 1
	}
	return 0
}
