package main

import (
	"strings"
	"testing"
)

func run(t *testing.T, strict bool, lines ...string) (int, string) {
	t.Helper()
	var out strings.Builder
	ta := &tally{out: &out, output: map[string][]string{}, failedIn: map[string]bool{}}
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
		{"noise is passed on", false, []string{"hello", pass}, 0, "hello"},
	}
	for _, c := range cases {
		code, out := run(t, c.strict, c.lines...)
		if code != c.code || !strings.Contains(out, c.want) {
			t.Errorf("%s: code %d, want %d, output lacks %q:\n%s", c.name, code, c.code, c.want, out)
		}
	}
}
