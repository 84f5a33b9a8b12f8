package main

import (
	"bytes"
	"testing"

	"bakehouse/test/doclines"
)

func TestTheCommandLinesOfTheDocsParse(t *testing.T) {
	t.Parallel()
	doclines.Check(t, "../..", "boot-agent", func(args []string) (int, string) {
		var out bytes.Buffer
		code := run(args[1:], &out, &out)
		return code, out.String()
	})
}
