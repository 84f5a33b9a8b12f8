// Command bake-ami turns a Chef role and a base image into a new AMI.
package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
)

func main() {
	os.Exit(cliapp.Main(func(p cliapp.Process) *cli.App { return newApp(realDeps(p)) }))
}
