// Package host reaches a machine over SSH with a pinned host key: it runs
// commands with streamed output, ends them with the context, and copies files
// into place whole or not at all.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"bakehouse/internal/fault"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrHostKey = errors.New("the machine shows another host key than the one pinned")
	ErrAuth    = errors.New("the machine refuses the user's key")
	ErrLost    = errors.New("the connection was lost") // also what a reboot looks like
)

// Target is a machine to reach. All fields but Via are required; of Signer and
// Signers, and of HostKey and Trust, one each is enough.
type Target struct {
	Addr    string        // host:port
	User    string        // login name
	Signer  ssh.Signer    // the user's key
	HostKey ssh.PublicKey // the only host key that is accepted
	Via     *Bastion      // nil: straight

	Signers []ssh.Signer // more keys of the user, tried in turn
	Trust   *Trust       // host keys that are accepted when HostKey is nil
}

// Command is one command on the machine.
type Command struct {
	Script string            // run by sh -c
	Stdin  io.Reader         // nil: empty
	Stdout io.Writer         // nil: dropped
	Stderr io.Writer         // nil: dropped (the tail is kept for ExitError)
	Sudo   bool              // run by root through sudo -n
	Env    map[string]string // set for the script; visible in the process list, so no secrets
}

// CopySpec is one file to put on the machine.
type CopySpec struct {
	Path    string      // absolute; missing folders above it are made
	Mode    os.FileMode // permission bits
	Owner   string      // "user", "user:group", or empty for who writes
	Sudo    bool        // write as root
	Size    int64       // bytes that Content must give; fewer or more is an error
	Content io.Reader
}

// Bounds on noticing a dead connection.
const (
	keepAlive   = 15 * time.Second // between two keep-alive questions
	keepSilence = 45 * time.Second // without an answer to one, the connection is closed
	dialTimeout = 15 * time.Second // of one attempt of Wait
	badTries    = 5                // wrong host keys or refused keys before Wait gives up
)

// SSH is a live connection. It is safe for concurrent use.
type SSH struct {
	addr   string
	client *ssh.Client
	gone   chan struct{} // closed when the connection ends
	close  func() error
	grace  int           // tenths of a second between SIGTERM and SIGKILL of a cancelled command
	limit  time.Duration // for all that Run does after its context has ended
}

// Dial makes one attempt; ctx bounds connect and handshake, not what follows.
// errors.Is tells ErrHostKey and ErrAuth from a machine that is not up yet.
func Dial(ctx context.Context, t Target) (*SSH, error) {
	return dial(ctx, t, keepAlive, keepSilence)
}

func dial(ctx context.Context, t Target, every, silence time.Duration) (*SSH, error) {
	if t.Addr == "" || t.User == "" || t.Signer == nil && len(t.Signers) == 0 || t.HostKey == nil && t.Trust == nil {
		return nil, errors.New("connecting over SSH: address, user, key and host key are required")
	}
	conn, err := t.connect(ctx)
	if errors.Is(err, errBastion) {
		return nil, err
	}
	if err != nil {
		return nil, fault.New(fault.Check, "check the machine's address, security group and route", ended(ctx, fmt.Errorf("connecting over SSH: %w", err)))
	}
	// The handshake knows no context: closing the connection ends it.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	config, pinned := t.config()
	c, chans, reqs, err := ssh.NewClientConn(conn, t.Addr, config)
	if !stop() && err == nil {
		c.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, ended(ctx, fmt.Errorf("connecting over SSH to %s@%s: %w", t.User, t.Addr, classify(err, *pinned)))
	}
	s := &SSH{addr: t.Addr, client: ssh.NewClient(c, chans, reqs), gone: make(chan struct{}), grace: 10, limit: killTimeout}
	s.close = sync.OnceValue(s.client.Close)
	go func() {
		_ = s.client.Wait()
		close(s.gone)
	}()
	go s.ask(every, silence)
	return s, nil
}

// verdict is what the handshake showed of the host key.
type verdict int

const (
	unseen verdict = iota
	matching
	foreign
)

// config pins the host key, and asks for no other kind of key: a server that
// has several would show its favourite.
func (t Target) config() (*ssh.ClientConfig, *verdict) {
	seen := unseen
	signers := t.Signers
	if t.Signer != nil {
		signers = append([]ssh.Signer{t.Signer}, signers...)
	}
	trust := t.Trust
	if t.HostKey != nil {
		trust = pinned(t.HostKey)
	}
	return &ssh.ClientConfig{
		User:              t.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(signers...)},
		HostKeyAlgorithms: trust.kinds(t.Addr),
		HostKeyCallback: func(name string, addr net.Addr, key ssh.PublicKey) error {
			seen = matching
			err := trust.check(name, addr, key)
			if err != nil {
				seen = foreign
			}
			return err
		},
	}, &seen
}

// pinned trusts one key.
func pinned(key ssh.PublicKey) *Trust {
	fixed := ssh.FixedHostKey(key)
	return &Trust{
		kinds: func(string) []string { return algorithms(key) },
		check: func(name string, addr net.Addr, shown ssh.PublicKey) error {
			if fixed(name, addr, shown) != nil {
				return fmt.Errorf("%s instead of %s", ssh.FingerprintSHA256(shown), ssh.FingerprintSHA256(key))
			}
			return nil
		},
	}
}

func algorithms(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}

// classify finds what a failed handshake means. x/crypto/ssh has no error
// value for a refused key; what fails after a good host key, and not for the
// network's sake, is that.
func classify(err error, pinned verdict) error {
	var negotiation *ssh.AlgorithmNegotiationError
	var network net.Error
	switch {
	case pinned == foreign:
		return fault.New(fault.Check, "do not trust that address: another machine answers there, or the image ignored its user-data", fmt.Errorf("%w: %w", ErrHostKey, err))
	case errors.As(err, &negotiation) && pinned == unseen:
		return fault.New(fault.Check, "", fmt.Errorf("%w: %w", ErrHostKey, err))
	case errors.Is(err, io.EOF), errors.As(err, &network), errors.Is(err, net.ErrClosed):
		return err
	case pinned == matching:
		return fault.New(fault.Check, "check the login name of the base image", fmt.Errorf("%w: %w", ErrAuth, err))
	}
	return err
}

// ended puts the context's cause into an error that its end brought about.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)) {
		return fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
	return err
}

// Wait dials until it succeeds or ctx ends, with a pause of every between two
// attempts. Refused, unreachable and unfinished connections are what a booting
// machine shows; a foreign host key or a refused user key ends Wait at the
// fifth time, as sshd may start before cloud-init has placed the keys.
func Wait(ctx context.Context, t Target, every time.Duration) (*SSH, error) {
	return wait(ctx, every, func(ctx context.Context) (*SSH, error) { return Dial(ctx, t) })
}

func wait(ctx context.Context, every time.Duration, dial func(context.Context) (*SSH, error)) (*SSH, error) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	var last error
	for bad := 0; ; pause.Reset(every) {
		select {
		case <-ctx.Done():
			if last == nil {
				last = errors.New("no attempt was made")
			}
			return nil, fmt.Errorf("waiting for SSH: %w (last: %v)", context.Cause(ctx), last)
		case <-pause.C:
		}
		one, cancel := context.WithTimeout(ctx, dialTimeout)
		s, err := dial(one)
		cancel()
		if err == nil {
			return s, nil
		}
		if errors.Is(err, ErrHostKey) || errors.Is(err, ErrAuth) {
			bad++
		}
		if bad >= badTries || (errors.Is(err, errBastion) && ctx.Err() == nil) {
			return nil, fmt.Errorf("waiting for SSH: %w", err)
		}
		if ctx.Err() == nil { // else it only says that the time is over
			last = err
		}
	}
}

// ask keeps firewalls from forgetting the connection, and closes it when the
// machine has stopped answering, so that a Run never hangs on a dead one.
func (s *SSH) ask(every, silence time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.gone:
			return
		case <-tick.C:
		}
		dead := time.AfterFunc(silence, func() { _ = s.Close() })
		_, _, err := s.client.SendRequest("keepalive@openssh.com", true, nil)
		dead.Stop()
		if err != nil {
			return
		}
	}
}

// Close ends the connection and with it every command on it. It may be called
// more than once.
func (s *SSH) Close() error {
	if err := s.close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("closing the connection to %s: %w", s.addr, err)
	}
	return nil
}
