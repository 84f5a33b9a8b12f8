package doclines

import (
	"bytes"
	"strings"
	"testing"

	"bakehouse/internal/cliapp"
)

// Check fails t for each line of a tool that does not parse, and when the docs
// below root show hardly any.
func Check(t *testing.T, root, tool string, run func(args []string) (code int, out string)) {
	t.Helper()
	lines, err := Of(root, tool)
	if err != nil || len(lines) < 2 {
		t.Fatalf("the docs show %d command lines (%v)", len(lines), err)
	}
	for _, l := range lines {
		if wrong := Wrong(l, run); wrong != "" {
			t.Error(wrong)
		}
	}
}

// App has a tool run in this process, for Check.
func App(run func(cliapp.Process) int) func(args []string) (code int, out string) {
	return func(args []string) (int, string) {
		var out bytes.Buffer
		code := run(cliapp.Process{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }})
		return code, out.String()
	}
}
