//go:build linux

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"bakehouse/internal/fault"
	"bakehouse/test/lab/company"
	"bakehouse/test/lab/control"
	"bakehouse/test/lab/moto"
	"bakehouse/test/lab/rootfs"
	"bakehouse/test/lab/seal"
)

// packageList names what guests can install inside the seal.
//
//go:embed packages.txt
var packageList string

// stopPatience is how long a lab may take to end before it is killed.
const stopPatience = time.Minute

// up brings the lab up and, unless --foreground, leaves it up.
func up(p place, args []string) (int, error) {
	foreground := len(args) == 1 && args[0] == "--foreground"
	if len(args) > 0 && !foreground {
		return 2, usage("lab up takes --foreground or nothing")
	}
	if p.inside() {
		return 2, usage("this is the inside of the lab, and it is up")
	}
	if err := checkHost(); err != nil {
		return 0, err
	}
	unlock, err := p.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	say := stamped(os.Stdout, time.Now)
	if up, err := p.answers(); err != nil || up {
		if up {
			say("the lab is up already")
		}
		return 0, err
	}
	ctx, stop := untilSignal()
	defer stop()
	u := starter{place: p, say: say, unlock: unlock, foreground: foreground}
	err = u.bringUp(ctx)
	if cause := context.Cause(ctx); cause != nil && fault.KindOf(err) != fault.Leftover {
		switch {
		case err != nil:
			return 0, cause
		case foreground: // it was up, and was asked to end
			return fault.ExitCode(cause), nil
		}
	}
	return 0, err
}

// untilSignal returns a context that SIGINT or SIGTERM ends; its cause has the
// signal's exit code.
func untilSignal() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		kind := fault.Interrupt
		if sig, ok := <-signals; !ok {
			return
		} else if sig == syscall.SIGTERM {
			kind = fault.Terminated
		}
		cancel(fault.Newf(kind, "", "bringing the lab up: interrupted; nothing is left"))
	}()
	return ctx, func() { signal.Stop(signals); close(signals) }
}

// answers tells whether a lab is up and well. One that lives and does not answer
// is dying (its first process waits for all the others), or hangs: it is ended,
// since nobody else can be starting it while we hold the lock.
func (p place) answers() (bool, error) {
	r, alive, err := p.running()
	if err != nil || !alive {
		return false, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	if _, err := p.client().Status(ctx); err == nil {
		return true, nil
	}
	return false, p.stop(r)
}

// stamped prints lines with the time of day and the seconds since the start.
func stamped(w io.Writer, now func() time.Time) func(format string, args ...any) {
	start := now()
	return func(format string, args ...any) {
		t := now()
		fmt.Fprintf(w, "%s %5.1fs  %s\n", t.Format("15:04:05"), t.Sub(start).Seconds(), fmt.Sprintf(format, args...))
	}
}

// starter is one `lab up`.
type starter struct {
	place
	say        func(format string, args ...any)
	unlock     func() // `lab down` may come once the lab is ready
	foreground bool
}

func (u starter) bringUp(ctx context.Context) error {
	removed, err := u.sweep()
	if err != nil {
		return err
	}
	if len(removed) > 0 {
		u.say("swept what a killed lab left: %d cgroups and files", len(removed))
	}
	base, err := u.prepare(ctx)
	if err != nil {
		return err
	}
	defer base.Close() // the company holds it by itself by then
	process, channel, err := u.launch()
	if err != nil {
		return err
	}
	defer channel.Close()
	return u.follow(ctx, process, channel)
}

// prepare does all that needs a network, and notes it for the inside.
func (u starter) prepare(ctx context.Context) (rootfs.Base, error) {
	cfg := company.Config{RunDir: u.run, CacheDir: u.cache, Packages: rootfs.ParsePackages(packageList),
		Cgroup: "/sys/fs/cgroup/" + u.cgroup()}
	var base rootfs.Base
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		base, err = rootfs.Ensure(ctx, rootfs.Options{Cache: u.cache, Packages: cfg.Packages, Log: lineWriter(u.say)})
		return err
	})
	group.Go(func() (err error) {
		cfg.MotoCommand, err = moto.Find(ctx, u.cache)
		return err
	})
	if err := group.Wait(); err != nil {
		return base, err
	}
	b, err := json.MarshalIndent(cfg, "", "  ")
	if err == nil {
		err = os.WriteFile(u.configPath(), b, 0o600)
	}
	if err != nil {
		return base, fmt.Errorf("noting the lab's configuration: %w", err)
	}
	return base, nil
}

// lineWriter says each whole line it is given.
type lineWriter func(string, ...any)

func (w lineWriter) Write(b []byte) (int, error) {
	start := 0
	for i, c := range b {
		if c == '\n' {
			w("%s", b[start:i])
			start = i + 1
		}
	}
	return len(b), nil
}

// launch starts the seal and notes its first process.
func (u starter) launch() (*seal.Process, *os.File, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	defer theirs.Close()
	log, err := os.Create(u.logPath())
	if err != nil {
		return nil, nil, fmt.Errorf("opening the lab's log: %w", err)
	}
	defer log.Close()
	env := mergeEnv(os.Environ(), []string{"BAKEHOUSE_LAB_CACHE=" + u.cache})
	process, err := seal.Launch{Args: []string{initCommand}, Env: env, Channel: theirs, Log: log, Foreground: u.foreground}.Start()
	if err != nil {
		return nil, nil, err
	}
	ticks, err := seal.StartTime(process.PID())
	if err == nil {
		err = u.writeRecord(record{process.PID(), ticks})
	}
	if err != nil {
		return nil, nil, errors.Join(err, u.end(process))
	}
	return process, ours, nil
}

// socketPair is the line between launcher and lab; either sees the other's end.
func socketPair() (ours, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a line to the lab: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "lab"), os.NewFile(uintptr(fds[1]), "launcher"), nil
}

// follow prints the lab's progress until it is ready (or, in the foreground, has
// ended), and takes it down when ctx ends first.
func (u starter) follow(ctx context.Context, process *seal.Process, channel *os.File) error {
	ready, failed := make(chan struct{}), make(chan error, 1)
	go func() { failed <- u.read(channel, ready) }()
	select {
	case <-ready:
	case err := <-failed:
		return errors.Join(err, u.end(process))
	case <-ctx.Done():
		return errors.Join(ctx.Err(), u.end(process))
	}
	u.say("the lab is up: `lab status`, `lab run -- COMMAND`, `lab down`")
	u.unlock()
	if !u.foreground {
		return nil
	}
	select {
	case <-ctx.Done():
		u.say("taking the lab down")
	case <-process.Exited():
	}
	return u.end(process)
}

// read passes progress on; it closes ready, or returns why the lab is not.
func (u starter) read(channel io.Reader, ready chan<- struct{}) error {
	dec := json.NewDecoder(channel)
	for {
		var p control.Progress
		if err := dec.Decode(&p); err != nil {
			return errEnded(u.place)
		}
		switch {
		case p.Error != "":
			return asError(p)
		case p.Ready:
			close(ready)
		default:
			u.say("%s", p.Step)
		}
	}
}

// end asks the seal to end, kills it when it does not, and sweeps.
func (u starter) end(process *seal.Process) error {
	_ = process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-process.Exited():
	case <-time.After(stopPatience):
		_ = process.Signal(syscall.SIGKILL)
		<-process.Exited()
	}
	if _, err := u.sweep(); err != nil {
		return fault.New(fault.Leftover, "", err)
	}
	return nil
}
