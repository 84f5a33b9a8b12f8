package hypervisor

import (
	"context"
	"fmt"
	"time"
)

// Notice announces a spot interruption, see "Spot Instance interruption
// notices" in the EC2 user guide.
type Notice struct {
	Action string // "terminate", "stop" or "hibernate"
	At     time.Time
}

// DefaultNotice is the time from notice to action; EC2 gives two minutes.
const DefaultNotice = 10 * time.Second

// Interrupt announces a spot interruption to the instance and carries it out
// after the given time (0 means DefaultNotice). Hibernating is stopping here.
// It refuses instances that are not running spot instances.
func (h *Hypervisor) Interrupt(id, action string, after time.Duration) error {
	if action == "" {
		action = "terminate"
	}
	if action != "terminate" && action != "stop" && action != "hibernate" {
		return fmt.Errorf("interrupting %s: no such action %q (terminate, stop or hibernate)", id, action)
	}
	if after == 0 {
		after = DefaultNotice
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.machines[id]
	switch {
	case m == nil:
		return fmt.Errorf("interrupting %s: %w", id, ErrNotFound)
	case !m.inst.Spot():
		return fmt.Errorf("interrupting %s: it is not a spot instance", id)
	case m.phase != Running:
		return fmt.Errorf("interrupting %s: it is %s, not running", id, stateName(m))
	}
	notice := &Notice{action, h.cfg.Clock.Now().Add(after)}
	m.notice = notice
	h.cfg.Clock.AfterFunc(after, func() { h.interruptNow(m, notice) })
	return nil
}

// Interrupting reports whether an interruption of the instance is announced
// and not yet carried out, and what it will do.
func (h *Hypervisor) Interrupting(id string) (action string, pending bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.machines[id]; m != nil && m.notice != nil {
		return m.notice.Action, true
	}
	return "", false
}

// interruptNow carries out a notice unless the machine ended or was given
// another one meanwhile.
func (h *Hypervisor) interruptNow(m *machine, notice *Notice) {
	h.mu.Lock()
	id, due := m.inst.ID, m.notice == notice && m.phase == Running && !h.closed
	h.mu.Unlock()
	if !due {
		return
	}
	h.logf("%s: %s (spot interruption)", id, notice.Action)
	do := h.cfg.Cloud.Stop
	if notice.Action == "terminate" {
		do = h.cfg.Cloud.Terminate
	}
	err := do(context.Background(), id)
	h.update(func() {
		m.notice = nil
		if err != nil {
			h.logf("%s: interrupting: %v", id, err)
		}
	})
}
