// Command tally reads `go test -json` on stdin and prints what a person wants
// of it: one line a package, the output of what failed, every skip with its
// reason, and a closing count. It fails when a test failed, when nothing ran,
// and, with -strict, when anything was skipped.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
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
	broken                  []string // packages that failed without a failing test: build errors, panics
	failedIn                map[string]bool
}

func main() {
	strict := flag.Bool("strict", false, "fail when a test was skipped")
	verbose := flag.Bool("v", false, "print a line for every test that passed")
	flag.Parse()
	t := &tally{out: os.Stdout, verbose: *verbose, output: map[string][]string{}, failedIn: map[string]bool{}}
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
		t.failed++
		t.failedIn[e.Package] = true
		fmt.Fprintf(t.out, "FAIL  %s %s (%.2fs)\n", e.Package, e.Test, e.Elapsed)
		t.dump(key)
	case "skip":
		t.skipped++
		t.skips = append(t.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(t.output[key])))
	}
}

// endPackage books the end of a package.
func (t *tally) endPackage(e event) {
	if e.Action == "fail" {
		if !t.failedIn[e.Package] {
			t.broken = append(t.broken, e.Package)
			t.dump(e.Package + " ")
		}
		fmt.Fprintf(t.out, "FAIL  %s (%.1fs)\n", e.Package, e.Elapsed)
		return
	}
	if e.Action == "pass" {
		fmt.Fprintf(t.out, "ok    %s (%.1fs)\n", e.Package, e.Elapsed)
	}
}

// dump prints the kept output of a test, indented.
func (t *tally) dump(key string) {
	for _, line := range t.output[key] {
		fmt.Fprintf(t.out, "      %s", line)
	}
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
	fmt.Fprintf(t.out, "%d passed, %d failed, %d skipped\n", t.passed, t.failed, t.skipped)
	switch {
	case t.failed > 0 || len(t.broken) > 0:
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
