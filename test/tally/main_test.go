package main

import (
	"strings"
	"testing"
)

func run(t *testing.T, strict bool, lines ...string) (int, string) {
	t.Helper()
	var out strings.Builder
	ta := newTally(&out, false)
	if err := ta.read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	return ta.close(strict), out.String()
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	pass := `{"Action":"pass","Package":"p","Test":"A"}`
	said := `{"Action":"output","Package":"p","Test":"B","Output":"    b_test.go:3: needs root\n"}`
	skip := `{"Action":"skip","Package":"p","Test":"B"}`
	fail := `{"Action":"fail","Package":"p","Test":"C"}`
	broken := `{"Action":"fail","Package":"q"}`
	cases := []struct {
		name   string
		strict bool
		lines  []string
		code   int
		want   string
	}{
		{"all pass", true, []string{pass}, 0, "1 passed, 0 failed, 0 skipped"},
		{"a skip is told and allowed", false, []string{pass, said, skip}, 0, "SKIP  p B: b_test.go:3: needs root"},
		{"a skip is forbidden when strict", true, []string{pass, said, skip}, 1, "-strict forbids"},
		{"a failure fails", false, []string{pass, fail}, 1, "1 passed, 1 failed"},
		{"a package that does not build fails", false, []string{pass, broken}, 1, "FAIL  q"},
		{"nothing ran", false, nil, 1, "no test ran"},
		{"a package that never ends fails", false, []string{pass, `{"Action":"start","Package":"r"}`}, 1, "failed: r: it did not end"},
		{"a parent is not told again beside its subtest", false, []string{strings.Replace(fail, `"C"`, `"C/x"`, 1), fail}, 1, "failed: p C/x\n0 passed, 2 failed"},
		{"a failure is told again at the end", false, []string{pass, said, fail, strings.Replace(said, `"B"`, `"D"`, 1), strings.Replace(fail, `"C"`, `"D"`, 1)}, 1, "failed: p D: b_test.go:3: needs root\n1 passed, 2 failed"},
		{"noise is passed on", false, []string{"hello", pass}, 0, "hello"},
	}
	for _, c := range cases {
		code, out := run(t, c.strict, c.lines...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: code %d, want %d, output lacks %q:\n%s", c.name, code, c.code, c.want, out)
		}
	}
}

// A time-out ends a package in the middle of its tests, with a long dump.
func TestATestThatHangsIsToldByThePanicThatEndsIt(t *testing.T) {
	t.Parallel()
	line := func(text string) string {
		return `{"Action":"output","Package":"p","Test":"Hangs","Output":"` + text + `\n"}`
	}
	lines := []string{`{"Action":"start","Package":"p"}`, line("=== RUN   Hangs"), line("    a_test.go:1: begun")}
	for range 100 {
		lines = append(lines, line("more"))
	}
	lines = append(lines, line("panic: test timed out after 45m0s"), line("running tests:"), line("\\tHangs (40m)"))
	for range 5000 {
		lines = append(lines, line("goroutine"))
	}
	code, out := run(t, false, append(lines, line(strings.Repeat("x", 10_000)), `{"Action":"fail","Package":"p"}`)...)
	for _, want := range []string{"FAIL  p Hangs (did not end)\n          a_test.go:1: begun\n", "panic: test timed out after 45m0s\n      running tests:\n", "lines left out", "failed: p Hangs: a_test.go:1: begun\n0 passed, 1 failed"} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("code %d, output lacks %q:\n%s", code, want, out)
		}
	}
	if n := strings.Count(out, "\n"); n > 60 || len(out) > 4000 {
		t.Errorf("%d lines, %d bytes for one test", n, len(out))
	}
}
