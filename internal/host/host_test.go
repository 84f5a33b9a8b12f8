package host

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"bakehouse/internal/fault"
)

func connect(t *testing.T, m *machine) *SSH {
	t.Helper()
	s, err := Dial(t.Context(), m.target())
	if err != nil {
		t.Fatal(err)
	}
	s.grace = 1
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestDialTrustsThePinnedKeyAlone(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	other, rsaKey := newKey(t), newRSAKey(t)
	for name, pinned := range map[string]ssh.PublicKey{"another key": other.PublicKey(), "another kind": rsaKey.PublicKey()} {
		target := m.target()
		target.HostKey = pinned
		if _, err := Dial(t.Context(), target); !errors.Is(err, ErrHostKey) || fault.KindOf(err) != fault.Check {
			t.Errorf("%s: %v, want ErrHostKey", name, err)
		}
	}
	target := m.target()
	target.HostKey = other.PublicKey()
	_, err := Dial(t.Context(), target)
	if want := ssh.FingerprintSHA256(m.hostKey.PublicKey()) + " instead of " + ssh.FingerprintSHA256(other.PublicKey()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want it to hold %q", err, want)
	}
	if n := m.sessions.Load(); n != 0 {
		t.Errorf("%d commands ran on a machine that was not trusted", n)
	}
}

func TestDialAsksForThePinnedKindOfHostKey(t *testing.T) {
	t.Parallel()
	ours, rsaKey := newKey(t), newRSAKey(t)
	for _, pinned := range []ssh.Signer{ours, rsaKey} {
		m := startMachine(t, rsaKey, ours)
		target := m.target()
		target.HostKey = pinned.PublicKey()
		s, err := Dial(t.Context(), target)
		if err != nil {
			t.Errorf("server with two keys, %s pinned: %v", pinned.PublicKey().Type(), err)
			continue
		}
		s.Close()
	}
}

func TestDialRefusals(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	target := m.target()
	target.Signer = newKey(t)
	if _, err := Dial(t.Context(), target); !errors.Is(err, ErrAuth) || !strings.Contains(fault.NextOf(err), "login name") {
		t.Errorf("foreign user key: %v, want ErrAuth", err)
	}
	target.HostKey = nil
	if _, err := Dial(t.Context(), target); err == nil {
		t.Error("connected without a pinned host key")
	}
	refused := m.target()
	refused.Addr = closedPort(t)
	if _, err := Dial(t.Context(), refused); !errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ErrAuth) || fault.NextOf(err) == "" {
		t.Errorf("closed port: %v", err)
	}
}

func TestDialEndsWithItsContextDuringTheHandshake(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	go func() {
		conn, err := l.Accept() // and never a word
		if err == nil {
			cancel(stop)
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	target := startMachine(t).target()
	target.Addr = l.Addr().String()
	if _, err := Dial(ctx, target); !errors.Is(err, stop) {
		t.Errorf("error %v, want the context's cause", err)
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestWaitOutlastsABootingMachine(t *testing.T) {
	t.Parallel()
	m, tries := startMachine(t), 0
	closed := closedPort(t)
	s, err := wait(t.Context(), time.Millisecond, func(ctx context.Context) (*SSH, error) {
		target := m.target()
		if tries++; tries < 8 { // more than the wrong keys that Wait puts up with
			target.Addr = closed
		}
		return Dial(ctx, target)
	})
	if err != nil || tries != 8 {
		t.Fatalf("after %d tries: %v", tries, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestWaitGivesUpOnAForeignMachine(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	foreign, noAuth := m.target(), m.target()
	foreign.HostKey, noAuth.Signer = newKey(t).PublicKey(), newKey(t)
	for want, target := range map[error]Target{ErrHostKey: foreign, ErrAuth: noAuth} {
		tries := 0
		_, err := wait(t.Context(), time.Microsecond, func(ctx context.Context) (*SSH, error) {
			tries++
			return Dial(ctx, target)
		})
		if !errors.Is(err, want) || tries != badTries {
			t.Errorf("after %d tries: %v, want %v after %d", tries, err, want, badTries)
		}
	}
}

func TestWaitEndsWithItsContextAndSaysWhatItSaw(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	target := startMachine(t).target()
	target.Addr = closedPort(t)
	tries := 0
	_, err := wait(ctx, time.Microsecond, func(ctx context.Context) (*SSH, error) {
		if tries++; tries == 3 {
			cancel(context.DeadlineExceeded)
		}
		return Dial(ctx, target)
	})
	if fault.KindOf(err) != fault.Timeout || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v of kind %v, want a time-out that names the refusal", err, fault.KindOf(err))
	}
	if _, err := Wait(ctx, target, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context over before: %v", err)
	}
}

func TestRunStreamsAndSeparates(t *testing.T) {
	t.Parallel()
	s := connect(t, startMachine(t))
	var out, errs bytes.Buffer
	err := s.Run(t.Context(), Command{
		Script: `cat; echo "$GREETING it's" >&2; printf tail >&2`,
		Stdin:  strings.NewReader("streamed\n"), Stdout: &out, Stderr: &errs,
		Env: map[string]string{"GREETING": "he said 'hi' $HOME `x`"},
	})
	if err != nil || out.String() != "streamed\n" || errs.String() != "he said 'hi' $HOME `x` it's\ntail" {
		t.Errorf("stdout %q, stderr %q, %v", out.String(), errs.String(), err)
	}
	got, err := s.Output(t.Context(), Command{Script: "echo $SUDO", Sudo: true})
	if err != nil || string(got) != "yes\n" {
		t.Errorf("with sudo: %q, %v", got, err)
	}
	if _, err := s.Output(t.Context(), Command{Script: "true", Env: map[string]string{"A=B;x": ""}}); err == nil {
		t.Error("a broken variable name was accepted")
	}
	if _, err := s.Output(t.Context(), Command{Script: "true", Stdout: io.Discard}); err == nil {
		t.Error("Output dropped a Stdout in silence")
	}
}

func TestRunWithAnEndlessStdinReturnsWithTheCommand(t *testing.T) {
	t.Parallel()
	s := connect(t, startMachine(t))
	r, w := io.Pipe()
	defer w.Close()
	if err := s.Run(t.Context(), Command{Script: "exit 0", Stdin: r}); err != nil {
		t.Error(err)
	}
}

func TestRunReportsExitCodes(t *testing.T) {
	t.Parallel()
	s := connect(t, startMachine(t))
	cases := []struct {
		script string
		want   ExitError
		text   string
	}{
		{"echo first >&2; echo 'no space left' >&2; exit 37", ExitError{Code: 37, Stderr: "first\nno space left\n"}, "exit code 37: no space left"},
		{"exit 1", ExitError{Code: 1}, "exit code 1"},
		{"kill -9 $$", ExitError{Code: 128 + 9, Stderr: "Killed\n"}, "exit code 137: Killed"}, // told by the login shell
		{"kill -9 $PPID", ExitError{Code: 128 + 9, Signal: "KILL"}, "killed by SIGKILL"},
	}
	for _, c := range cases {
		err := s.Run(t.Context(), Command{Script: c.script})
		var exit *ExitError
		if !errors.As(err, &exit) || *exit != c.want || err.Error() != c.text {
			t.Errorf("%s: %#v (%v), want %#v", c.script, exit, err, c.want)
		}
	}
	err := s.Run(t.Context(), Command{Script: "i=0; while [ $i -lt 900 ]; do echo 'long line' >&2; i=$((i+1)); done; echo end >&2; exit 2"})
	var exit *ExitError
	if !errors.As(err, &exit) || len(exit.Stderr) != tailSize || !strings.HasSuffix(exit.Stderr, "\nend\n") {
		t.Errorf("tail of a long stderr: %v", err)
	}
}

func TestRunSaysThatTheConnectionIsLost(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	s := connect(t, m)
	m.drop.Store(true)
	for range 2 { // while starting, and on a connection known to be dead
		if err := s.Run(t.Context(), Command{Script: "true"}); !errors.Is(err, ErrLost) {
			t.Errorf("error %v, want ErrLost", err)
		}
	}
	_ = s.Close()
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestAMachineThatStopsAnsweringIsNoticed(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	m.deaf.Store(true)
	s, err := dial(t.Context(), m.target(), time.Millisecond, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context(), Command{Script: "sleep 60 & wait"}); !errors.Is(err, ErrLost) {
		t.Errorf("error %v, want ErrLost", err)
	}
}

// notify tells when a command has written its first line.
type notify struct{ line chan string }

func (n notify) Write(p []byte) (int, error) {
	n.line <- strings.TrimSpace(string(p))
	return len(p), nil
}

// fifo makes one that a command holds open for as long as it lives.
func fifo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gone")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// held says whether somebody has a fifo open: there is ENXIO for it otherwise.
func held(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	_ = f.Close()
	return !errors.Is(err, syscall.ENXIO)
}

func TestCancelKillsTheCommandAndItsChildren(t *testing.T) {
	t.Parallel()
	for _, sudo := range []bool{false, true} {
		s := connect(t, startMachine(t))
		s.limit = time.Hour // it waits for the end, however slow this machine is
		gone := fifo(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		stop, started := errors.New("SIGTERM"), notify{make(chan string, 9)}
		go func() {
			<-started.line
			cancel(stop)
		}()
		// The child holds the fifo open for as long as it lives.
		err := s.Run(ctx, Command{Script: "sleep 300 <>" + Quote(gone) + " & echo up; wait", Stdout: started, Sudo: sudo})
		if !errors.Is(err, stop) {
			t.Errorf("sudo %v: %v, want the context's cause", sudo, err)
		}
		if held(gone) {
			t.Errorf("sudo %v: the child lives on", sudo)
		}
		if out, err := s.Output(t.Context(), Command{Script: "echo alive"}); err != nil || string(out) != "alive\n" {
			t.Errorf("sudo %v: the connection is not usable after a cancel: %q, %v", sudo, out, err)
		}
	}
}

// A caller that is told to stop must get on with it although the machine has
// stopped answering altogether.
func TestCancelDoesNotWaitForADeadMachine(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	s := connect(t, m)
	s.limit = 50 * time.Millisecond
	stdin, feed := io.Pipe() // keeps the command waiting until the test is over
	t.Cleanup(func() { feed.Close() })
	ctx, cancel := context.WithCancelCause(t.Context())
	started := notify{make(chan string, 9)}
	go func() {
		<-started.line
		m.mute.Store(true)
		cancel(context.Canceled)
	}()
	err := s.Run(ctx, Command{Script: "echo up; read -r x", Stdin: stdin, Stdout: started})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestCancelKillsWhatIgnoresSIGTERM(t *testing.T) {
	t.Parallel()
	s, gone := connect(t, startMachine(t)), fifo(t)
	s.limit = time.Hour
	ctx, cancel := context.WithCancelCause(t.Context())
	started := notify{make(chan string, 9)}
	go func() {
		<-started.line
		cancel(context.Canceled)
	}()
	err := s.Run(ctx, Command{Script: "exec 9<>" + Quote(gone) + "; trap '' TERM; echo up; while :; do sleep 300; done", Stdout: started})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for n := 0; held(gone); n++ { // a kill takes a moment
		if n == 12_000 {
			t.Fatal("the command lives on")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
