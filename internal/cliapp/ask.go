package cliapp

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/fault"
)

// YesFlag is --yes, which every command has that asks before it removes or
// changes something.
func YesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}
}

// Interactive reports whether a person can be asked: standard input and
// standard error are terminals.
func (p Process) Interactive() bool {
	in, ok := p.Stdin.(*os.File)
	return ok && IsTerminal(in) && IsTerminal(p.Stderr)
}

// Ask demands a yes from a person. Without one, or without a terminal, it is a
// usage error, and nothing was changed.
func (p Process) Ask(interactive bool, question string) error {
	if !interactive {
		return Usagef("there is no terminal to ask on: look at the plan and give --yes")
	}
	fmt.Fprintf(p.Stderr, "%s [y/N] ", question)
	answer, err := bufio.NewReader(io.LimitReader(p.Stdin, 100)).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		if err != nil { // no answer is a no; the prompt's line is still open
			fmt.Fprintln(p.Stderr)
		}
		return fault.Newf(fault.Usage, "answer y, or give --yes", "nothing was changed: the answer was not yes")
	}
	return nil
}
