// Command autoscalectl makes Auto Scaling groups match one file.
package main

import (
	"os"
	_ "time/tzdata" // scheduled actions have zones, and a container may have none

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
)

func main() {
	os.Args = withDefault(os.Args)
	os.Exit(cliapp.Main(func(p cliapp.Process) *cli.App { return newApp(realDeps(p)) }))
}
