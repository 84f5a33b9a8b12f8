package hypervisor

import (
	"context"
	"fmt"
)

// PowerCut kills a running guest as a power cut would, without a word to
// anybody in it, and boots it again on the file system as it then was. EC2
// shows the instance as running all the while, as it does when a host fails
// and recovers.
func (h *Hypervisor) PowerCut(ctx context.Context, id string) error {
	m, err := h.occupy(ctx, id)
	if err != nil {
		return fmt.Errorf("cutting the power of %s: %w", id, err)
	}
	defer h.work.Done()
	h.mu.Lock()
	running, guest := m.phase == Running, m.guest
	h.mu.Unlock()
	if !running {
		h.update(func() { h.release(m) })
		return fmt.Errorf("cutting the power of %s: it is %s, not running", id, stateName(m))
	}
	h.logf("%s: power cut", id)
	if err := guest.Kill(); err != nil {
		h.logf("%s: %v", id, err)
	}
	if err := h.revive(context.WithoutCancel(ctx), m, func() error { return nil }); err != nil {
		return fmt.Errorf("cutting the power of %s: %w", id, err)
	}
	return nil
}
