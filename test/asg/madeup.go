package asg

import (
	"context"
	"fmt"
	"sync"
)

// EC2 states that a group looks at; gone is what no describe knows any more.
const (
	ec2Pending      = "pending"
	ec2Running      = "running"
	ec2Stopping     = "stopping"
	ec2Stopped      = "stopped"
	ec2ShuttingDown = "shutting-down"
	ec2Terminated   = "terminated"
	gone            = "gone"
)

// madeUp are machines that are there at once and never fail.
type madeUp struct {
	mu     sync.Mutex
	serial int
	states map[string]string
}

func (m *madeUp) Launch(_ context.Context, _ Launch) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	id := fmt.Sprintf("i-%017x", m.serial)
	m.states[id] = ec2Running
	return id, nil
}

func (m *madeUp) put(ids []string, state string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.states[id] = state
	}
	return nil
}

func (m *madeUp) Terminate(_ context.Context, ids []string) error { return m.put(ids, ec2Terminated) }
func (m *madeUp) Stop(_ context.Context, ids []string) error      { return m.put(ids, ec2Stopped) }
func (m *madeUp) Start(_ context.Context, ids []string) error     { return m.put(ids, ec2Running) }

func (m *madeUp) States(_ context.Context, ids []string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]string{}
	for _, id := range ids {
		if state := m.states[id]; state != "" && state != ec2Terminated {
			out[id] = state
		}
	}
	return out, nil
}
