// Command chef-broker makes Chef clients for EC2 instances that prove who they
// are, so that no Chef secret ever reaches one. It runs as a server or as a
// Lambda function behind a function URL.
package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
)

func main() {
	os.Exit(cliapp.Main(func(p cliapp.Process) *cli.App { return newApp(realDeps(p)) }))
}
