//go:build linux

package company

import (
	"context"
	"io"
	"net"
	"net/netip"

	"bakehouse/test/lab/guest"
	"bakehouse/test/lab/hypervisor"
)

// guests makes the hypervisor's machines out of containers.
type guests struct{ bridge, cgroup string }

// machine fits a guest to what the hypervisor asks of one.
type machine struct{ *guest.Guest }

// Wait returns why the guest broke; how else it ended does not matter to EC2.
func (m machine) Wait() error { return m.Guest.Wait().Err }

// Script runs a shell script as root, as the SSM agent does.
func (m machine) Script(ctx context.Context, script string, stdout, stderr io.Writer) error {
	return m.Exec(ctx, guest.Streams{Out: stdout, Err: stderr}, "/bin/sh", "-c", script)
}

// Boot starts a guest.
func (g guests) Boot(ctx context.Context, s hypervisor.Spec) (hypervisor.Guest, error) {
	started, err := guest.Start(ctx, guest.Spec{
		ID:       s.ID,
		Layers:   s.Layers,
		StateDir: s.Dir,
		Disk:     s.DiskBytes,
		Bridge:   g.bridge,
		MAC:      s.MAC.String(),
		Cgroup:   g.cgroup,
	})
	if err != nil {
		return nil, err
	}
	return machine{started}, nil
}

// Snapshot copies a guest's upper directory into a layer.
func (g guests) Snapshot(ctx context.Context, upper, layer string) error {
	return guest.Snapshot(ctx, upper, layer)
}

// cards tells the DHCP server who is who.
type cards struct{ hyper *hypervisor.Hypervisor }

// AddressOf returns the private address of the instance with this card.
func (c cards) AddressOf(mac net.HardwareAddr) (netip.Addr, bool) {
	m, ok := c.hyper.ByMAC(mac)
	return m.Instance.Address, ok
}
