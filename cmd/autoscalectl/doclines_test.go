package main

import (
	"context"
	"testing"

	"bakehouse/internal/cliapp"
	"bakehouse/test/doclines"
)

func TestTheCommandLinesOfTheDocsParse(t *testing.T) {
	t.Parallel()
	run := doclines.App(func(p cliapp.Process) int {
		return cliapp.Run(context.Background(), p, newApp(realDeps(p)), nil)
	})
	doclines.Check(t, "../..", "autoscalectl", func(args []string) (int, string) { return run(withDefault(args)) })
}
