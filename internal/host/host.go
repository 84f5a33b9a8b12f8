// Package host reaches a machine over SSH with a pinned host key: it runs
// commands with streamed output and copies files into place.
package host

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
)

// Target is a machine to reach. All fields are required.
type Target struct {
	Addr    string        // host:port
	User    string        // login name
	Signer  ssh.Signer    // the user's key
	HostKey ssh.PublicKey // the only host key that is accepted
}

// Command is one command on the machine.
type Command struct {
	Script string            // run by sh -c
	Stdin  io.Reader         // nil: empty
	Stdout io.Writer         // nil: dropped
	Stderr io.Writer         // nil: dropped (the tail is kept for ExitError)
	Sudo   bool              // run by root through sudo -n
	Env    map[string]string // set in front of the script; visible in the process list, so no secrets
}

// CopySpec is one file to put on the machine.
type CopySpec struct {
	Path    string      // absolute
	Mode    os.FileMode // permission bits
	Owner   string      // "user", "user:group" or empty for who writes
	Sudo    bool        // write as root
	Size    int64       // bytes that Content must give; fewer or more is an error
	Content io.Reader
}

// ExitError is a command that ended with a code other than 0.
type ExitError struct {
	Code   int    // exit code; 128+n when signal n ended it
	Signal string // name without SIG when a signal ended it
	Stderr string // the last 4 KiB of it
}

// Error names the code and the last line of standard error.
func (e *ExitError) Error() string { return "" }

// SSH is a live connection. It is safe for concurrent use.
type SSH struct{}

// Dial makes one attempt; ctx bounds connect and handshake.
func Dial(ctx context.Context, t Target) (*SSH, error) { return nil, errors.ErrUnsupported }

// Wait dials until it succeeds or ctx ends.
func Wait(ctx context.Context, t Target, every time.Duration) (*SSH, error) {
	return nil, errors.ErrUnsupported
}

// Run runs c and waits for it. A non-zero exit is *ExitError.
func (s *SSH) Run(ctx context.Context, c Command) error { return errors.ErrUnsupported }

// Output runs c and returns what it wrote to standard output.
func (s *SSH) Output(ctx context.Context, c Command) ([]byte, error) {
	return nil, errors.ErrUnsupported
}

// Copy writes a file: beside its place, fsynced, then renamed over it.
func (s *SSH) Copy(ctx context.Context, c CopySpec) error { return errors.ErrUnsupported }

// Close ends the connection.
func (s *SSH) Close() error { return nil }
