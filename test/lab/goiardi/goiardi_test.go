package goiardi

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"bakehouse/internal/fault"
)

// fake writes a shell script to run in goiardi's place. No process may be
// forked meanwhile: it would have the file open too, and the kernel refuses to
// run a file that is open for writing.
func fake(t *testing.T, script string) string {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	path := filepath.Join(t.TempDir(), "goiardi")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestAServerThatEndsAtOnceIsReportedWithItsLog(t *testing.T) {
	t.Parallel()
	_, err := Start(context.Background(), Config{Dir: t.TempDir(), Listen: freePort(t), Program: fake(t, "echo no such flag >&2; exit 2\n")})
	if err == nil || !strings.Contains(err.Error(), "ended at once") || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("Start = %v, want that it ended at once, with its log", err)
	}
}

// onceExists is a context whose time is up when there is a file with a line.
type onceExists struct {
	context.Context
	path string
	over chan struct{}
}

func (o *onceExists) watch() {
	for text := []byte(nil); !bytes.HasSuffix(text, []byte("\n")) && o.Context.Err() == nil; runtime.Gosched() {
		text, _ = os.ReadFile(o.path)
	}
	close(o.over)
}

// Done implements context.Context.
func (o *onceExists) Done() <-chan struct{} { return o.over }

// Err implements context.Context.
func (o *onceExists) Err() error {
	select {
	case <-o.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func TestASilentServerIsKilledWhenTheStartIsOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx := &onceExists{Context: t.Context(), path: filepath.Join(dir, "pid"), over: make(chan struct{})}
	go ctx.watch()
	_, err := Start(ctx, Config{Dir: dir, Listen: freePort(t), Program: fake(t, "echo $$ > pid; exec sleep 60\n")})
	if err == nil || fault.KindOf(err) != fault.Timeout {
		t.Fatalf("Start = %v, want a time-out", err)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(number, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d after a failed start: %v, want that it is gone", number, err)
	}
}

func TestATakenPortIsRefusedBeforeAnythingRuns(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dir := t.TempDir()
	_, err = Start(context.Background(), Config{Dir: dir, Listen: netip.MustParseAddrPort(l.Addr().String()), Program: fake(t, "touch ran\n")})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Start = %v, want that the port is taken", err)
	}
	if _, statErr := os.Stat(filepath.Join(dir, "ran")); statErr == nil {
		t.Error("the server ran though its port was taken")
	}
}
