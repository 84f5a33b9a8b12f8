// Command chef-reaper removes the Chef nodes and clients of EC2 instances that
// are gone, and nothing else.
package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
)

func main() {
	os.Exit(cliapp.Main(func(p cliapp.Process) *cli.App { return newApp(realDeps(p)) }))
}
