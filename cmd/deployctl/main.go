// Command deployctl pushes builds to S3 and says which one is live.
package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
)

func main() {
	os.Exit(cliapp.Main(func(p cliapp.Process) *cli.App { return newApp(realDeps(p)) }))
}
