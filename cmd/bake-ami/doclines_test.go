package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"bakehouse/internal/cliapp"
	"bakehouse/test/doclines"
)

func TestTheCommandLinesOfTheDocsParse(t *testing.T) {
	t.Parallel()
	lines, err := doclines.Of("../..", "bake-ami")
	if err != nil || len(lines) < 2 {
		t.Fatalf("the docs show %d command lines (%v)", len(lines), err)
	}
	for _, l := range lines {
		wrong := doclines.Wrong(l, func(args []string) (int, string) {
			var out bytes.Buffer
			p := cliapp.Process{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}
			code := cliapp.Run(context.Background(), p, newApp(realDeps(p)), nil)
			return code, out.String()
		})
		if wrong != "" {
			t.Error(wrong)
		}
	}
}
