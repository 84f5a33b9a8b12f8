package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// carryOut starts one action; h.mu is held, so the phase changes before anybody
// can look again.
func (h *Hypervisor) carryOut(ctx context.Context, m *machine, verb Verb) {
	switch verb {
	case Boot:
		m.phase = Booting
		h.work.Go(func() { h.boot(ctx, m) })
	case PowerOff:
		m.phase = Stopping
		guest := m.guest
		h.work.Go(func() { h.powerOff(ctx, m.inst.ID, guest) })
	case Discard:
		graceful := m.phase == Running
		m.phase = Terminating
		h.work.Go(func() { h.discard(ctx, m, graceful) })
	case Keep:
		m.phase, m.problem = Stopped, ""
	case Bury:
		m.phase = Gone
	case ApplyShutdown:
		m.busy = true
		h.work.Go(func() { h.tell(m, h.applyShutdown(ctx, m.inst.ID)) })
	case ReportNoLaunch:
		m.busy = true
		// EC2 terminates what never came up; what ran before stays stopped.
		undo := h.cfg.Cloud.Terminate
		if m.guest != nil {
			undo = h.cfg.Cloud.Stop
		}
		h.work.Go(func() { h.tell(m, undo(ctx, m.inst.ID)) })
	}
}

// boot starts a guest on m's disk. The image's layers are resolved at the first
// boot and kept: deregistering an AMI does not hurt its instances.
func (h *Hypervisor) boot(ctx context.Context, m *machine) {
	guest, err := h.start(ctx, m)
	h.update(func() {
		if err != nil {
			m.phase, m.problem = Stopped, err.Error()
			h.logf("%s: %v", m.inst.ID, err)
			return
		}
		m.phase = Running
		h.adopt(m, guest)
	})
}

// start boots without touching the phase.
func (h *Hypervisor) start(ctx context.Context, m *machine) (Guest, error) {
	h.mu.Lock()
	inst, layers := m.inst, m.layers
	h.mu.Unlock()
	if layers == nil {
		var ok bool
		if layers, ok = h.images.layers(inst.ImageID); !ok {
			return nil, fmt.Errorf("booting %s: image %s has no files in this lab", inst.ID, inst.ImageID)
		}
	}
	facts, err := h.ask(ctx, inst)
	if err != nil {
		return nil, fmt.Errorf("booting %s: %w", inst.ID, err)
	}
	h.mu.Lock()
	m.layers, m.userData, m.key = layers, facts.userData, facts.key
	h.mu.Unlock()
	spec := Spec{ID: inst.ID, Dir: h.dir(inst.ID), Layers: layers, MAC: inst.MAC, DiskBytes: facts.rootBytes}
	guest, err := h.cfg.Factory.Boot(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("booting %s: %w", inst.ID, err)
	}
	return guest, nil
}

// facts are what EC2 tells of an instance only when asked for it.
type facts struct {
	userData  []byte
	key       string
	rootBytes int64
}

// ask collects the facts, anew at each boot: user data may have been changed.
func (h *Hypervisor) ask(ctx context.Context, inst Instance) (facts, error) {
	var f facts
	var err error
	if f.userData, err = h.cfg.Cloud.UserData(ctx, inst.ID); err != nil {
		return f, err
	}
	if name := aws.ToString(inst.Detail.KeyName); name != "" {
		if f.key, err = h.cfg.Cloud.PublicKey(ctx, name); err != nil {
			return f, err
		}
	}
	f.rootBytes, err = h.cfg.Cloud.RootBytes(ctx, inst)
	return f, err
}

// adopt takes a freshly booted guest over and watches it; h.mu is held. One that
// was born while the lab was closing dies at once.
func (h *Hypervisor) adopt(m *machine, guest Guest) {
	if m.guest != nil {
		m.earlier += m.guest.Boots()
	}
	ended := make(chan struct{})
	m.guest, m.ended, m.problem = guest, ended, ""
	m.bootedAt = h.cfg.Clock.Now()
	if h.closed {
		h.work.Go(func() { _ = guest.Kill() }) // the seal's end kills it if this does not
	}
	h.work.Go(func() {
		broken := guest.Wait()
		h.update(func() {
			defer close(ended)
			if broken != nil {
				h.logf("%s: %v", m.inst.ID, broken)
			}
			switch {
			case m.busy: // whoever made it busy decides
			case m.phase == Stopping:
				m.phase = Stopped
			case m.phase == Running:
				m.phase = Exited
			}
		})
	})
}

func (h *Hypervisor) powerOff(ctx context.Context, id string, guest Guest) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Grace.Stop)
	defer cancel()
	if err := guest.Poweroff(ctx); err != nil {
		h.logf("%s: powering off: %v", id, err)
		if err := guest.Kill(); err != nil {
			h.logf("%s: %v", id, err)
		}
	}
}

// discard ends the guest, after a short grace when it was running, and drops
// the disk.
func (h *Hypervisor) discard(ctx context.Context, m *machine, graceful bool) {
	h.mu.Lock()
	id, guest := m.inst.ID, m.guest
	h.mu.Unlock()
	if guest != nil {
		if graceful {
			bound, cancel := context.WithTimeout(ctx, h.cfg.Grace.Terminate)
			_ = guest.Poweroff(bound) // out of patience: Close kills
			cancel()
		}
		if err := guest.Close(); err != nil {
			h.logf("%s: %v", id, err)
		}
	}
	h.mu.Lock()
	m.layers = nil
	h.mu.Unlock()
	h.collect()
	h.update(func() { m.phase = Gone })
}

// applyShutdown does what EC2 does when an instance shuts itself down.
func (h *Hypervisor) applyShutdown(ctx context.Context, id string) error {
	behavior, err := h.cfg.Cloud.ShutdownBehavior(ctx, id)
	if err != nil {
		return err
	}
	if behavior == "terminate" {
		return h.cfg.Cloud.Terminate(ctx, id)
	}
	return h.cfg.Cloud.Stop(ctx, id)
}

// tell ends a call to EC2; when it failed the next look decides the same again.
func (h *Hypervisor) tell(m *machine, err error) {
	h.update(func() {
		m.busy = false
		if err != nil {
			h.logf("%s: telling EC2: %v", m.inst.ID, err)
		}
	})
}

// restart powers the guest of a busy machine off, runs between on the resting
// disk, and boots it again. It ends with busy cleared.
func (h *Hypervisor) restart(ctx context.Context, m *machine, between func() error) error {
	h.mu.Lock()
	id, guest := m.inst.ID, m.guest
	h.mu.Unlock()
	h.powerOff(ctx, id, guest)
	return h.revive(ctx, m, between)
}

// revive waits until a busy machine's guest has ended, runs between on the
// resting disk, and boots it again. It ends with busy cleared.
func (h *Hypervisor) revive(ctx context.Context, m *machine, between func() error) error {
	h.mu.Lock()
	ended := m.ended
	h.mu.Unlock()
	<-ended
	err := between()
	next, bootErr := h.start(ctx, m)
	h.update(func() {
		m.busy = false
		if bootErr != nil {
			m.phase, m.problem = Stopped, bootErr.Error()
			return
		}
		m.phase = Running
		h.adopt(m, next)
	})
	return errors.Join(err, bootErr)
}

func (h *Hypervisor) dir(id string) string { return filepath.Join(h.cfg.Dir, "instances", id) }
