package hypervisor

import (
	"bytes"
	"context"
	"fmt"
	"io"
)

// Scripted is what a Guest may also offer: running a shell script as root.
type Scripted interface {
	Script(ctx context.Context, script string, stdout, stderr io.Writer) error
}

// Managed says whether an instance is up as far as an SSM agent would be.
func (h *Hypervisor) Managed(ctx context.Context, id string) bool {
	var none bytes.Buffer
	return h.RunScript(ctx, id, "systemctl is-active --quiet basic.target", &none, &none) == nil
}

// RunScript runs a shell script as root in an instance's guest.
func (h *Hypervisor) RunScript(ctx context.Context, id, script string, stdout, stderr *bytes.Buffer) error {
	h.mu.Lock()
	m := h.machines[id]
	var guest Guest
	if m != nil && m.phase == Running {
		guest = m.guest
	}
	h.mu.Unlock()
	able, ok := guest.(Scripted)
	if !ok {
		return fmt.Errorf("running a script in %s: %w", id, ErrNotFound)
	}
	return able.Script(ctx, script, stdout, stderr)
}
