package cliapp

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/fault"
)

// Signal is the cause (context.Cause) of an action's context that a signal ended.
type Signal struct{ Sig os.Signal }

// Error names the signal.
func (s *Signal) Error() string { return "interrupted by " + s.name() }

// Kind is Interrupt for SIGINT and Terminated for everything else.
func (s *Signal) Kind() fault.Kind {
	if s.Sig == os.Interrupt {
		return fault.Interrupt
	}
	return fault.Terminated
}

func (s *Signal) name() string {
	switch s.Sig {
	case os.Interrupt:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGHUP:
		return "SIGHUP"
	}
	return s.Sig.String()
}

// repeatGrace is how long repeated signals are swallowed after the first. One
// Ctrl-C often arrives twice (the terminal signals the whole process group and
// make or a CI agent passes it on), and that must not abandon the clean-up.
const repeatGrace = 2 * time.Second

// SignalText is the key of App.Metadata for what a tool says that it does on
// the first signal, when that is not cleaning up.
const SignalText = "signal"

func onSignal(app *cli.App) string {
	if text, ok := app.Metadata[SignalText].(string); ok {
		return text
	}
	return "cleaning up (again to abandon that)"
}

// watch ends the returned context on the first signal. After repeatGrace the
// signals get their default action back: whoever insists kills the process.
// stop ends the watching.
func watch(parent context.Context, out io.Writer, app *cli.App, signals <-chan os.Signal) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
			return
		case s := <-signals:
			sig := &Signal{Sig: s}
			fmt.Fprintf(out, "%s: %s: %s\n", app.Name, sig, onSignal(app))
			cancel(sig)
		}
		select {
		case <-done:
		case <-time.After(repeatGrace):
			signal.Reset(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		}
	}()
	return ctx, func() {
		close(done)
		<-ended
		cancel(nil)
	}
}
