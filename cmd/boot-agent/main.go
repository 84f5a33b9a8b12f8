// Command boot-agent runs on an instance: it takes a fresh machine through its
// first boot (identify, register, converge, pull, start), deploys the app again
// when asked, and tells where the machine stands.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"bakehouse/internal/fault"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its world as arguments; it returns the exit code.
func run(args []string, out, errOut io.Writer) int {
	ctx, stop := withSignals(context.Background())
	defer stop()
	err := dispatch(ctx, args, out, errOut)
	var sig *signalError
	if errors.As(context.Cause(ctx), &sig) && err != nil {
		if !errors.Is(err, sig) {
			err = fmt.Errorf("%w: %w", sig, err)
		}
		err = fault.New(sig.kind(), "nothing is lost: the next start resumes where this one stopped", err)
	}
	printError(errOut, err)
	return fault.ExitCode(err)
}

// signalError is why a context ended.
type signalError struct{ sig os.Signal }

func (e *signalError) Error() string { return "stopped by signal " + e.sig.String() }

func (e *signalError) kind() fault.Kind {
	if e.sig == os.Interrupt {
		return fault.Interrupt
	}
	return fault.Terminated
}

// withSignals returns a context that the first SIGINT or SIGTERM ends. The
// second one kills the process, which the journal survives.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case sig := <-signals:
			signal.Stop(signals)
			cancel(&signalError{sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// printError writes an error as one line, and the next step as another.
func printError(w io.Writer, err error) {
	if err == nil || errors.Is(err, errNotComplete) {
		return
	}
	fmt.Fprintf(w, "boot-agent: error: %s\n", oneLine(err.Error()))
	if next := fault.NextOf(err); next != "" {
		fmt.Fprintf(w, "  next: %s\n", oneLine(next))
	}
}
