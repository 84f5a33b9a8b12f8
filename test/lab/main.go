//go:build linux

// Command lab is a company in a box: it brings up, sealed from every outside
// network, what the tools talk to in production (AWS, a Chef server, machines
// that boot), runs commands among it, and takes it down without a trace.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"bakehouse/internal/fault"
)

// command is one subcommand; run returns the process's exit code.
type command struct {
	name, args, help string
	run              func(p place, args []string) (int, error)
}

// commands in the order of the help text. Those without help are the lab's own
// steps into the seal.
func commands() []command {
	return []command{
		{"up", "[--foreground]", "bring the lab up; returns when it is ready", up},
		{"down", "", "take it down; returns when nothing is left", down},
		{"status", "[--json]", "what runs where", status},
		{"run", "-- COMMAND [ARG...]", "run a command inside, with the lab's environment", runInside},
		{"env", "", "print that environment", env},
		{"ssh", "INSTANCE [ARG...]", "log in with SSH as ubuntu (key pair " + keyName + ", or -i KEY)", sshInto},
		{"exec", "INSTANCE -- COMMAND [ARG...]", "run a command in an instance as root, past SSH", execIn},
		{"logs", "[NAME | INSTANCE]", "list logs, or print one: a service's, or an instance's console", logs},
		{"calls", "[--since SEQ]", "the recorded AWS calls, one JSON object a line", calls},
		{"fault", "add JSON | list | clear", "inject faults into AWS calls by rule", faults},
		{"spot-interrupt", "INSTANCE [--action terminate|stop] [--after 10s]", "serve a spot interruption notice, then act", spotInterrupt},
		{"lifecycle", "", "the instances of Auto Scaling groups: where each is sent, and what it told its hooks", lifecycle},
		{"power-cut", "INSTANCE", "kill the machine as a power cut would, and boot it again on its disk", powerCut},
		{"deps", "", "print the Debian packages the lab needs", deps},
		{name: initCommand, run: sealInit},
		{name: companyCommand, run: sealCompany},
	}
}

func main() {
	code, err := dispatch(os.Args[1:])
	if err != nil {
		printError(os.Stderr, err)
	}
	os.Exit(code)
}

// dispatch finds the command and runs it; an error without a code of its own
// gets the house's.
func dispatch(args []string) (int, error) {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, args[0]) {
		help(os.Stdout)
		return 0, nil
	}
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if i < 0 {
		return 2, usage("no command %q; `lab help` lists them", args[0])
	}
	if len(args) > 1 && (args[1] == "-h" || args[1] == "--help") && all[i].help != "" {
		fmt.Printf("lab %s %s\n  %s\n", all[i].name, all[i].args, all[i].help)
		return 0, nil
	}
	p, err := findPlace(os.Getenv)
	if err != nil {
		return fault.ExitCode(err), err
	}
	code, err := all[i].run(p, args[1:])
	if err != nil && code == 0 {
		code = fault.ExitCode(err)
	}
	return code, err
}

func help(w io.Writer) {
	fmt.Fprint(w, "usage: lab COMMAND\n\nA company in a box: AWS, a Chef server and machines that boot, sealed from every network.\n\n")
	for _, c := range commands() {
		if c.help != "" {
			fmt.Fprintf(w, "  %-28s %s\n", strings.TrimSpace(c.name+" "+c.args), c.help)
		}
	}
	fmt.Fprintf(w, "\nCache: $BAKEHOUSE_LAB_CACHE, else bakehouse-lab under the user's cache directory.\n\nExit codes (run, exec and ssh return the command's own):\n%s", fault.Help())
}

// usage is a mistake in the command line.
func usage(format string, args ...any) error {
	return fault.Newf(fault.Usage, "see `lab help`", "reading the command line: "+format, args...)
}

// printError prints one clear line and what to do.
func printError(w io.Writer, err error) {
	fmt.Fprintln(w, "lab: error:", err)
	if next := fault.NextOf(err); next != "" {
		fmt.Fprintln(w, "  next:", next)
	}
}

// errNotUp is what every command but up says without a lab. A record without a
// process means that the lab did not go by `lab down`.
func errNotUp(p place) error {
	if _, err := os.Stat(p.recordPath()); err == nil {
		return fault.Newf(fault.Usage, "bring it up again with `lab up`", "finding the lab: it died; its last words are in %s", p.logPath())
	}
	return fault.New(fault.Usage, "bring it up with `lab up`", errors.New("finding the lab: it is not up"))
}
