// Command deployctl pushes builds to S3 and says which one is live.
package main

import (
	"io"
	"log"
	"os"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
)

func main() {
	log.SetOutput(io.Discard) // an interrupted upload writes there what its error says as well
	os.Exit(cliapp.Main(func(p cliapp.Process) *cli.App { return newApp(realDeps(p)) }))
}
