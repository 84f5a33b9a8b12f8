package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// sharedJump is one connection to a bastion that many machines are reached
// through.
type sharedJump struct {
	mu     sync.Mutex
	client *ssh.Client // nil: none yet, or it broke
}

// get returns the connection, opened by open if there is none.
func (s *sharedJump) get(ctx context.Context, open func(context.Context) (*ssh.Client, error)) (*ssh.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	// Others wait for this attempt, so it must not have all of one host's time.
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	client, err := open(ctx)
	if err != nil {
		return nil, err
	}
	s.client = client
	go func() {
		_ = client.Wait()
		s.drop(client)
	}()
	return client, nil
}

// drop forgets a connection that broke.
func (s *sharedJump) drop(client *ssh.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == client {
		s.client = nil
	}
	client.Close()
}

// through opens a TCP connection to addr over the bastion's shared connection.
func (b *Bastion) through(ctx context.Context, addr string) (net.Conn, error) {
	jump, err := b.shared.get(ctx, b.connect)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBastion, err)
	}
	conn, err := jump.DialContext(ctx, "tcp", addr)
	var refused *ssh.OpenChannelError
	if err != nil && !errors.As(err, &refused) && ctx.Err() == nil {
		b.shared.drop(jump) // the next one dials anew
	}
	if err != nil {
		return nil, fmt.Errorf("through the bastion %s: %w", b.addr, err)
	}
	return conn, nil
}
