package main

import (
	"bytes"
	"testing"

	"bakehouse/test/doclines"
)

func TestTheCommandLinesOfTheDocsParse(t *testing.T) {
	t.Parallel()
	lines, err := doclines.Of("../..", "boot-agent")
	if err != nil || len(lines) < 2 {
		t.Fatalf("the docs show %d command lines (%v)", len(lines), err)
	}
	for _, l := range lines {
		wrong := doclines.Wrong(l, func(args []string) (int, string) {
			var out bytes.Buffer
			code := run(args[1:], &out, &out)
			return code, out.String()
		})
		if wrong != "" {
			t.Error(wrong)
		}
	}
}
