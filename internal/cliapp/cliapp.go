// Package cliapp holds what every operator's tool of the house does alike on
// top of urfave/cli: one way to end (exit codes from internal/fault), one way
// to say what is wrong (a usage error is never longer than five lines), one
// way to take signals, and flags that may stand before or after arguments.
//
// A tool's main is
//
//	func main() { os.Exit(cliapp.Main(newApp)) }
//	func newApp(p cliapp.Process) *cli.App { … }
//
// Flags must not be marked Required: urfave/cli answers those with the whole
// help. Check values in the action and return Usagef instead.
package cliapp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/fault"
	"bakehouse/internal/ui"
)

// Process is what a tool sees of the process it runs in; tests hand in their own.
type Process struct {
	Args   []string // Args[0] is the tool
	Stdin  io.Reader
	Stdout io.Writer // results
	Stderr io.Writer // progress and errors
	Getenv func(string) string
}

// NoColor reports whether the user asked for plain output by NO_COLOR
// (https://no-color.org: any non-empty value).
func (p Process) NoColor() bool { return p.Getenv("NO_COLOR") != "" }

// Reporter prints progress on stderr; the caller closes it.
func (p Process) Reporter(o Output, now func() time.Time) *ui.Reporter {
	mode := map[Output]ui.Mode{Plain: ui.Plain, JSON: ui.JSON}[o]
	return ui.New(ui.Options{Out: p.Stderr, Mode: mode, Terminal: IsTerminal(p.Stderr) && p.Getenv("TERM") != "dumb", NoColor: p.NoColor(), Now: now,
		Width: func() int { return Columns(p.Stderr) }})
}

// IsTerminal reports whether w is a file that is a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Columns returns how wide the terminal w is; 0 when it is none.
func Columns(w io.Writer) int {
	columns, _ := Size(w)
	return columns
}

// Size returns how wide and how high the terminal w is; 0, 0 when it is none.
func Size(w io.Writer) (columns, rows int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	columns, rows, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return columns, rows
}

// Main runs the tool in the real process and returns its exit code.
//
// SIGINT, SIGTERM and SIGHUP (unless ignored, as under nohup) end the action's
// context; see Run. A broken pipe on stdout fails the write instead of killing
// the process: with `tool | tee log`, Ctrl-C takes tee first, and the tool
// still has to undo what it did.
func Main(newApp func(Process) *cli.App) int {
	p := Process{Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	// Caught, not ignored: an ignored signal would be inherited by children.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return Run(context.Background(), p, newApp(p), signals)
}

// Run runs app with p.Args and returns the exit code. The first signal ends
// the context given to the action, with a *Signal as its cause; see Watch for
// later ones. An action that fails after a signal ends with 130 or 143, unless
// it says that something was left behind (fault.Leftover, fault.Unpublished);
// one that succeeds all the same ends with 0.
func Run(ctx context.Context, p Process, app *cli.App, signals <-chan os.Signal) int {
	ctx, stop := watch(ctx, p.Stderr, app, signals)
	defer stop()
	asJSON := new(bool)
	prepare(app, p, asJSON)
	err := app.RunContext(ctx, permute(app, p.Args))
	if err == nil {
		return 0
	}
	err = afterSignal(ctx, err)
	if *asJSON {
		printJSON(p.Stderr, err)
	} else {
		ui.PrintError(p.Stderr, app.Name, err)
	}
	return fault.ExitCode(err)
}

// afterSignal gives err the kind of the signal that ended ctx, if one did.
func afterSignal(ctx context.Context, err error) error {
	var sig *Signal
	if !errors.As(context.Cause(ctx), &sig) {
		return err
	}
	switch fault.KindOf(err) {
	case fault.Leftover, fault.Unpublished:
		return err
	}
	if errors.Is(err, sig) {
		return fault.New(sig.Kind(), fault.NextOf(err), err)
	}
	return fault.New(sig.Kind(), fault.NextOf(err), fmt.Errorf("%w: %w", sig, err))
}

// version is set by the linker (-X bakehouse/internal/cliapp.version=…, as the
// Makefile does); else the build info is asked.
var version string

// Version returns the version of the running binary: the one it was given when
// it was built, the module's, the commit it was built from ("+" when the tree
// was changed), or "unknown".
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return versionOf(version, *info)
}

func versionOf(given string, info debug.BuildInfo) string {
	if given != "" {
		return given
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, changed := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	if revision == "" {
		return "unknown"
	}
	return revision[:min(12, len(revision))] + changed
}
