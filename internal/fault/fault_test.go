package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestExitCodeFollowsTheOutermostKind(t *testing.T) {
	t.Parallel()
	inner := New(AWS, "ask for more", errors.New("launching instance: no capacity"))
	cases := []struct {
		name string
		err  error
		code int
		next string
	}{
		{"success", nil, 0, ""},
		{"unclassified", errors.New("x"), 1, ""},
		{"wrapped kind survives", fmt.Errorf("baking: %w", inner), 5, "ask for more"},
		{"outer kind wins, inner hint remains", New(Leftover, "", fmt.Errorf("undoing: %w", inner)), 7, "ask for more"},
		{"a deadline is a time-out", fmt.Errorf("waiting: %w", context.DeadlineExceeded), 6, ""},
		{"a classified deadline keeps its kind", New(Chef, "", context.DeadlineExceeded), 3, ""},
	}
	for _, c := range cases {
		if got := ExitCode(c.err); got != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, got, c.code)
		}
		if got := NextOf(c.err); got != c.next {
			t.Errorf("%s: next step %q, want %q", c.name, got, c.next)
		}
	}
}

func TestEveryKindHasItsOwnCodeInHelp(t *testing.T) {
	t.Parallel()
	help, seen := Help(), map[int]bool{}
	for _, r := range Table() {
		if seen[r.Code] {
			t.Errorf("code %d stands twice in the table", r.Code)
		}
		seen[r.Code] = true
		if !strings.Contains(help, fmt.Sprintf("  %-4d %s\n", r.Code, r.Meaning)) {
			t.Errorf("help lacks code %d", r.Code)
		}
	}
}
