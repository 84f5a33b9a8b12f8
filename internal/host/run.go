package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// ExitError is a command that ended with a code other than 0.
type ExitError struct {
	Code   int    // exit code; 128+n when signal n ended it
	Signal string // name without SIG when a signal ended it
	Stderr string // the last 4 KiB of it
}

// Error names the code and the last line of standard error.
func (e *ExitError) Error() string {
	text := fmt.Sprintf("exit code %d", e.Code)
	if e.Signal != "" {
		text = "killed by SIG" + e.Signal
	}
	lines := strings.Split(strings.TrimSpace(e.Stderr), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		text += ": " + last
	}
	return text
}

// Bounds on ending a command whose context is over.
const (
	killTimeout = 3 * time.Second
	tailSize    = 4 << 10
	outputMax   = 16 << 20
)

// groupMark begins the first line of standard error, which Run takes out: the
// process group of the command, so that it can be killed as a whole. Closing
// the session would leave everything running, and sshd may not signal what
// sudo started.
const groupMark = "bakehouse-pgid:"

// Run runs c and waits for it. A non-zero exit is *ExitError; a connection
// that breaks is ErrLost; when ctx ends, the command and its children are
// killed on the machine and the context's cause is returned.
func (s *SSH) Run(ctx context.Context, c Command) error {
	line, err := c.line()
	if err != nil {
		return err
	}
	session, err := s.client.NewSession()
	if err != nil {
		return fmt.Errorf("running a command on %s: %w: %w", s.addr, ErrLost, err)
	}
	defer session.Close()
	stderr := &markReader{next: c.Stderr, known: make(chan struct{})}
	session.Stdin, session.Stdout, session.Stderr = c.Stdin, c.Stdout, stderr
	if err := session.Start(line); err != nil {
		return fmt.Errorf("running a command on %s: %w: %w", s.addr, ErrLost, err)
	}
	done := make(chan error, 1)
	go func() { done <- session.Wait() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		s.end(session, stderr, c.Sudo, done)
		return fmt.Errorf("running a command on %s: %w", s.addr, context.Cause(ctx))
	}
	if err != nil {
		return s.failure(err, stderr.tail())
	}
	return nil
}

func (s *SSH) failure(err error, stderr string) error {
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case errors.As(err, &exit):
		return &ExitError{Code: exit.ExitStatus(), Signal: exit.Signal(), Stderr: stderr}
	case errors.As(err, &missing), errors.Is(err, io.EOF):
		return fmt.Errorf("running a command on %s: %w", s.addr, ErrLost)
	}
	return fmt.Errorf("running a command on %s: passing its data: %w", s.addr, err)
}

// line renders the command for the login shell.
func (c Command) line() (string, error) {
	var b strings.Builder
	if c.Sudo {
		b.WriteString("sudo -n -- ")
	}
	if len(c.Env) > 0 {
		b.WriteString("env ")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Env)) {
		if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) {
			return "", fmt.Errorf("running a command: %q is not the name of an environment variable", name)
		}
		b.WriteString(Quote(name+"="+c.Env[name]) + " ")
	}
	// Field 5 of /proc/PID/stat is the process group.
	mark := "read -r p n s q g r </proc/$$/stat && echo " + groupMark + "$g >&2; unset p n s q g r\n"
	b.WriteString("sh -c " + Quote(mark+c.Script))
	return b.String(), nil
}

// Quote makes s one word of a POSIX shell.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// end kills a command whose context is over and waits for it, so that the
// caller has its writers to itself again; both within s.limit, as the
// machine may be gone and the caller has to clean up elsewhere.
func (s *SSH) end(session *ssh.Session, stderr *markReader, sudo bool, done <-chan error) {
	deadline, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	killed := make(chan struct{})
	go func() { // on a dead connection it ends with the connection
		defer close(killed)
		s.kill(stderr.group(), sudo)
	}()
	select {
	case <-killed:
	case <-deadline.Done():
	}
	_ = session.Signal(ssh.SIGKILL)
	_ = session.Close()
	select {
	case <-done:
	case <-deadline.Done():
	}
}

// kill ends a process group, politely at first, then for good.
func (s *SSH) kill(group string, sudo bool) {
	if group == "" {
		return
	}
	c := Command{Sudo: sudo, Script: `g=` + group + `; kill -s TERM -- -$g; n=0
while [ $n -lt ` + strconv.Itoa(s.grace) + ` ] && kill -s 0 -- -$g 2>/dev/null; do sleep 0.1; n=$((n+1)); done
kill -s KILL -- -$g 2>/dev/null; true`}
	line, err := c.line()
	if err != nil {
		return
	}
	killer, err := s.client.NewSession()
	if err != nil {
		return
	}
	defer killer.Close()
	_ = killer.Run(line)
}

// Output runs c and returns what it wrote to standard output, at most 16 MiB.
// c.Stdout must be nil.
func (s *SSH) Output(ctx context.Context, c Command) ([]byte, error) { return output(ctx, c, s.Run) }

func output(ctx context.Context, c Command, run func(context.Context, Command) error) ([]byte, error) {
	if c.Stdout != nil {
		return nil, errors.New("running a command: Output with a Stdout of its own")
	}
	out := &capped{}
	c.Stdout = out
	err := run(ctx, c)
	return out.buf.Bytes(), err
}

// capped is a buffer with an end.
type capped struct{ buf bytes.Buffer }

func (w *capped) Write(p []byte) (int, error) {
	if w.buf.Len()+len(p) > outputMax {
		return 0, fmt.Errorf("the command wrote more than %d MiB", outputMax>>20)
	}
	return w.buf.Write(p)
}

// markReader takes the group mark out of standard error, keeps the tail of the
// rest and passes it on.
type markReader struct {
	next io.Writer

	mu      sync.Mutex
	pending []byte // bytes that may yet turn out to be the mark
	pgid    string
	settled bool
	known   chan struct{} // closed when settled
	last    []byte
}

func (m *markReader) Write(p []byte) (int, error) {
	m.mu.Lock()
	rest := m.strip(p)
	m.last = append(m.last, rest...)
	m.last = m.last[max(0, len(m.last)-tailSize):]
	m.mu.Unlock()
	if m.next == nil || len(rest) == 0 {
		return len(p), nil
	}
	if _, err := m.next.Write(rest); err != nil {
		return 0, err
	}
	return len(p), nil
}

// strip returns what of p, and of what was held back, is not the mark's line.
func (m *markReader) strip(p []byte) []byte {
	if m.settled {
		return p
	}
	m.pending = append(m.pending, p...)
	head, rest, whole := bytes.Cut(m.pending, []byte("\n"))
	prefix := min(len(head), len(groupMark))
	if string(head[:prefix]) != groupMark[:prefix] {
		m.settle() // not ours: sudo's complaint, or a login shell's
		return m.pending
	}
	if !whole {
		return nil
	}
	defer m.settle()
	if g := strings.TrimPrefix(string(head), groupMark); regexp.MustCompile(`^[1-9][0-9]*$`).MatchString(g) && g != "1" {
		m.pgid = g
	}
	return rest
}

func (m *markReader) settle() {
	m.settled = true
	close(m.known)
}

// group returns the process group. It may have to wait for it: a command may
// be cancelled right after its start, and standard error may come later than
// standard output that was written after it.
func (m *markReader) group() string {
	select {
	case <-m.known:
	case <-time.After(time.Second):
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pgid
}

func (m *markReader) tail() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return string(m.last)
}
