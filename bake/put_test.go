package bake

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	cloudinit "bakehouse/cloud-init"
	"bakehouse/internal/host"
)

// crowd is a machine that counts how many copies are under way at once. Each
// waits until want of them are, or its context ends.
type crowd struct {
	fakeMachine
	want int
	full chan struct{}

	now, most int
	fails     string // path of a copy that fails
}

func newCrowd(want int) *crowd {
	return &crowd{fakeMachine: fakeMachine{files: map[string]string{}}, want: want, full: make(chan struct{})}
}

// Copy arrives, waits for the others, and writes.
func (m *crowd) Copy(ctx context.Context, c host.CopySpec) error {
	m.mu.Lock()
	m.now++
	if m.most = max(m.most, m.now); m.now == m.want {
		select {
		case <-m.full:
		default:
			close(m.full)
		}
	}
	m.mu.Unlock()
	defer func() { m.mu.Lock(); m.now--; m.mu.Unlock() }()
	select {
	case <-m.full:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.Path == m.fails {
		return errors.New("no space left")
	}
	return m.fakeMachine.Copy(ctx, c)
}

// eight are files and a link.
func eight() (out []cloudinit.File) {
	for i := range 8 {
		out = append(out, cloudinit.File{Path: fmt.Sprintf("/etc/f%d", i), Mode: 0o644, Content: []byte("x")})
	}
	return append(out, cloudinit.File{Path: "/etc/l", Mode: fs.ModeSymlink, Link: "/etc/f0"})
}

func TestSmallFilesTravelSomeAtATime(t *testing.T) {
	t.Parallel()
	for transport, want := range map[string]int{TransportSSH: filesAtOnce, TransportSSM: 1} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // only a wrong limit waits for it
		defer cancel()
		m := newCrowd(want)
		s := &Session{machine: m}
		s.plan.Launch.Transport = transport
		if err := s.putAll(ctx, eight()); err != nil || m.most != want || len(m.files) != 8 {
			t.Errorf("%s: %d at once, want %d; %d written, %v", transport, m.most, want, len(m.files), err)
		}
		if len(m.scripts) != 1 || !strings.Contains(m.scripts[0], "ln -sfn /etc/f0 /etc/l") {
			t.Errorf("%s: run were %q", transport, m.scripts)
		}
	}
}

func TestTheFileThatCannotBeWrittenIsTold(t *testing.T) {
	t.Parallel()
	m := newCrowd(1)
	m.fails = "/etc/f5"
	s := &Session{machine: m}
	s.plan.Launch.Transport = TransportSSH
	if err := s.putAll(t.Context(), eight()); err == nil || !strings.Contains(err.Error(), "writing /etc/f5") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("it says %v", err)
	}
}
