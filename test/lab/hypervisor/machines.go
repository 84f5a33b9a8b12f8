package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// ErrNotFound is returned for instances that the hypervisor does not have.
var ErrNotFound = errors.New("no such instance")

// State returns the true EC2 state name of an instance; known is false before
// the hypervisor has looked at it.
func (h *Hypervisor) State(id string) (state string, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m, ok := h.machines[id]
	if !ok {
		return "", false
	}
	return stateName(m), true
}

// stateName turns a phase into EC2's word for it. A guest that ended by itself
// counts as running until EC2 was told; one that never came up as pending.
func stateName(m *machine) string {
	switch m.phase {
	case Running, Exited:
		return "running"
	case Stopping:
		return "stopping"
	case Stopped:
		if m.problem != "" && m.guest == nil {
			return "pending"
		}
		return "stopped"
	case Terminating:
		return "shutting-down"
	case Gone:
		return "terminated"
	}
	return "pending"
}

// Nudge looks at EC2 now and returns when that is done (at most 2 s later), so
// that the state a caller reads next already follows from the call it made.
func (h *Hypervisor) Nudge() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := h.lookOnce(ctx); err != nil {
		h.logf("looking at EC2 when nudged: %v", err)
	}
}

// Reboot restarts a running guest on its disk, in the background. EC2 shows it
// as running all the while. Anything that is not running is left alone.
func (h *Hypervisor) Reboot(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.machines[id]
	if m == nil || m.phase != Running || m.busy || h.closed {
		return
	}
	m.busy = true
	h.logf("%s: reboot (asked for)", id)
	h.work.Go(func() {
		if err := h.restart(context.Background(), m, func() error { return nil }); err != nil {
			h.logf("%s: rebooting: %v", id, err)
		}
	})
}

// Snapshot makes imageID bootable from what the instance's disk holds now, and
// blocks until it is. A running instance is shut down for it and started again
// unless noReboot, as CreateImage does.
func (h *Hypervisor) Snapshot(ctx context.Context, instanceID, imageID string, noReboot bool) error {
	m, err := h.occupy(ctx, instanceID)
	if err != nil {
		return fmt.Errorf("making image %s of %s: %w", imageID, instanceID, err)
	}
	defer h.work.Done()
	h.mu.Lock()
	running, below, upper := m.phase == Running, m.layers, m.guest.UpperDir()
	h.mu.Unlock()
	take := func() error {
		return h.images.add(imageID, below, func(layer string) error {
			return h.cfg.Factory.Snapshot(ctx, upper, layer)
		})
	}
	if running && !noReboot {
		// The instance comes back even when the caller has gone.
		err = h.restart(context.WithoutCancel(ctx), m, take)
	} else {
		err = take()
		h.update(func() { h.release(m) })
	}
	if err != nil {
		return fmt.Errorf("making image %s of %s: %w", imageID, instanceID, err)
	}
	return nil
}

// release ends a machine's busy time; h.mu is held. A guest may have ended by
// itself meanwhile, unseen.
func (h *Hypervisor) release(m *machine) {
	m.busy = false
	select {
	case <-m.ended:
		if m.phase == Running {
			m.phase = Exited
		}
	default:
	}
}

// occupy waits until the machine rests (runs or is stopped, nothing under way)
// and marks it busy. The caller clears that, and calls h.work.Done at its end.
func (h *Hypervisor) occupy(ctx context.Context, id string) (*machine, error) {
	for {
		h.mu.Lock()
		m, changed := h.machines[id], h.changed
		switch {
		case m == nil || h.closed || m.phase == Gone || m.phase == Terminating:
			h.mu.Unlock()
			return nil, fmt.Errorf("finding %s: %w", id, ErrNotFound)
		case !m.busy && (m.phase == Running || m.phase == Stopped) && m.guest != nil:
			m.busy = true
			h.work.Add(1) // Run's end waits for the caller's Done
			h.mu.Unlock()
			return m, nil
		}
		h.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// RemoveImage forgets an image; its files go when nothing boots from them.
func (h *Hypervisor) RemoveImage(imageID string) {
	h.images.remove(imageID)
	h.collect()
}

// CopyImage makes dst boot from the same files as src.
func (h *Hypervisor) CopyImage(src, dst string) error { return h.images.alias(src, dst) }

// Images returns the layers of every image, newest layer first.
func (h *Hypervisor) Images() map[string][]string { return h.images.all() }

// collect drops image layers that no image and no machine uses.
func (h *Hypervisor) collect() {
	h.mu.Lock()
	var used []string
	for _, m := range h.machines {
		used = append(used, m.layers...)
	}
	h.mu.Unlock()
	if err := h.images.collect(used); err != nil {
		h.logf("dropping image files: %v", err)
	}
}

// Console returns what the instance printed since it was last started, also
// after its end; nil when nothing.
func (h *Hypervisor) Console(id string) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.machines[id]; m != nil && m.guest != nil {
		return m.guest.ConsoleOutput()
	}
	return nil
}

// Machine is one instance as it stands.
type Machine struct {
	Instance  Instance
	State     string // the true EC2 state name
	UserData  []byte
	PublicKey string // of its key pair, in authorized_keys form; "" without one
	LeaderPID int    // 0 when no guest runs
	BootedAt  time.Time
	Boots     int
	Problem   string
	Notice    *Notice // of a spot interruption, when one is pending
}

// Machines returns every machine, by id.
func (h *Hypervisor) Machines() []Machine {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Machine, 0, len(h.machines))
	for _, id := range sortedKeys(h.machines) {
		out = append(out, h.machines[id].view())
	}
	return out
}

func (m *machine) view() Machine {
	v := Machine{Instance: m.inst, State: stateName(m), UserData: m.userData, PublicKey: m.key,
		BootedAt: m.bootedAt, Boots: m.earlier, Problem: m.problem, Notice: m.notice}
	if m.guest != nil {
		v.LeaderPID = m.guest.LeaderPID()
		v.Boots += m.guest.Boots()
	}
	return v
}

// ByAddress returns the machine that lives at addr; terminated ones, whose
// address may have been given on, do not count.
func (h *Hypervisor) ByAddress(addr netip.Addr) (Machine, bool) {
	return h.find(func(m *machine) bool { return m.inst.Address == addr })
}

// ByMAC returns the machine with this network card.
func (h *Hypervisor) ByMAC(mac net.HardwareAddr) (Machine, bool) {
	return h.find(func(m *machine) bool { return mac.String() == m.inst.MAC.String() })
}

func (h *Hypervisor) find(match func(*machine) bool) (Machine, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.machines {
		if m.phase != Gone && m.phase != Unknown && match(m) {
			return m.view(), true
		}
	}
	return Machine{}, false
}
