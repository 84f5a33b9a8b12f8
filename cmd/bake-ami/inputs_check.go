package main

import (
	"os"
	"slices"
	"strings"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/release"

	"github.com/urfave/cli/v2"
)

// noArguments refuses an argument. Without a command it is a role or a command,
// misplaced or misspelt.
func noArguments(c *cli.Context) error {
	stray := c.Args().First()
	if stray == "" || slices.Contains(c.App.Commands, c.Command) {
		_, err := cliapp.Arguments(c)
		return err
	}
	var names []string
	for _, cmd := range c.App.Commands {
		names = append(names, cmd.Name)
	}
	return fault.Newf(fault.Usage, "name a role by --role "+stray+", or give a command: "+strings.Join(names, ", "), "unexpected argument %q: it is no command", stray)
}

// checkFiles refuses what this machine alone shows to be wrong: a program or
// folder that is not there, and keys that are none.
func checkFiles(c *cli.Context, in bake.Inputs) error {
	if info, err := os.Stat(in.AgentBinary); in.AgentBinary != "" && (err != nil || !info.Mode().IsRegular()) {
		return cliapp.Usagef("--agent-binary %s (bake.agent_binary): there is no such file", in.AgentBinary)
	}
	if in.ChefMode == bake.ChefLocalMode && in.ChefRepo != "" && !isDir(in.ChefRepo) {
		return cliapp.Usagef("--chef-repo %s (bake.chef_repo): there is no such folder", in.ChefRepo)
	}
	for _, key := range c.StringSlice("public-key") {
		if _, err := release.ParsePublicKey(key); err != nil {
			return cliapp.Usagef("--public-key %q is not what deployctl keygen prints: %v", key[:min(len(key), 20)], err)
		}
	}
	return nil
}
