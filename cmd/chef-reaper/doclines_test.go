package main

import (
	"context"
	"testing"

	"bakehouse/internal/cliapp"
	"bakehouse/test/doclines"
)

func TestTheCommandLinesOfTheDocsParse(t *testing.T) {
	t.Parallel()
	doclines.Check(t, "../..", "chef-reaper", doclines.App(func(p cliapp.Process) int {
		return cliapp.Run(context.Background(), p, newApp(realDeps(p)), nil)
	}))
}
