//go:build linux

// Package netsvc serves what a VPC's network gives an instance by itself: its
// address over DHCP and the names of its neighbours over DNS.
package netsvc

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
)

// Network is the subnet as its guests are told.
type Network struct {
	Prefix netip.Prefix // the subnet
	Router netip.Addr   // gateway, name server and DHCP server in one
	Domain string       // of the guests' names, for instance "ec2.internal"
}

// Directory knows which address belongs to a network card.
type Directory interface {
	AddressOf(mac net.HardwareAddr) (netip.Addr, bool)
}

// leaseTime is EC2's: an hour.
const leaseTime = time.Hour

// ErrNoAddress is returned for a card that the directory does not know: EC2's
// DHCP server stays silent then, and so does ours.
var ErrNoAddress = errors.New("no instance has this network card")

// DHCP is a DHCP server on one interface. Close it.
type DHCP struct{ server *server4.Server }

// ServeDHCP answers on the interface until Close.
func ServeDHCP(iface string, n Network, d Directory) (*DHCP, error) {
	handler := func(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
		reply, err := n.Answer(d, m)
		if err != nil {
			return // silence is the protocol's refusal; the client asks again
		}
		_, _ = conn.WriteTo(reply.ToBytes(), destination(m)) // lost: the client asks again
	}
	// All addresses, bound to the interface: requests come to the broadcast one.
	server, err := server4.NewServer(iface, &net.UDPAddr{IP: net.IPv4zero, Port: dhcpv4.ServerPort}, handler)
	if err != nil {
		return nil, fmt.Errorf("starting the DHCP server on %s: %w", iface, err)
	}
	go func() { _ = server.Serve() }() // ends with Close
	return &DHCP{server}, nil
}

// Close ends the server.
func (d *DHCP) Close() error { return d.server.Close() }

// destination is the broadcast address for a client that has no address yet,
// else the client (RFC 2131, section 4.1).
func destination(m *dhcpv4.DHCPv4) net.Addr {
	if ip := m.ClientIPAddr; ip != nil && !ip.IsUnspecified() {
		return &net.UDPAddr{IP: ip, Port: dhcpv4.ClientPort}
	}
	return &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort}
}

// Answer makes the reply to one DHCP message: an offer to a discover, an
// acknowledgement to a request, ErrNoAddress for strangers.
func (n Network) Answer(d Directory, m *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	kind := dhcpv4.MessageTypeOffer
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
	case dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform:
		kind = dhcpv4.MessageTypeAck
	default:
		return nil, fmt.Errorf("answering DHCP: nothing to say to %s", m.MessageType())
	}
	addr, ok := d.AddressOf(m.ClientHWAddr)
	if !ok {
		return nil, fmt.Errorf("answering DHCP for %s: %w", m.ClientHWAddr, ErrNoAddress)
	}
	// A baked image may remember the address of the machine it was made on: to ask
	// for it is a wish in a discover and an error in a request (RFC 2131, 4.3).
	if want := m.RequestedIPAddress(); kind == dhcpv4.MessageTypeAck && want != nil && !want.Equal(addr.AsSlice()) {
		return dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak),
			dhcpv4.WithServerIP(n.Router.AsSlice()), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(n.Router.AsSlice())))
	}
	router := net.IP(n.Router.AsSlice())
	reply, err := dhcpv4.NewReplyFromRequest(m,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithYourIP(addr.AsSlice()),
		dhcpv4.WithServerIP(router),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(router)),
		dhcpv4.WithOption(dhcpv4.OptSubnetMask(net.CIDRMask(n.Prefix.Bits(), 32))),
		dhcpv4.WithOption(dhcpv4.OptRouter(router)),
		dhcpv4.WithOption(dhcpv4.OptDNS(router)),
		dhcpv4.WithOption(dhcpv4.OptDomainName(n.Domain)),
		dhcpv4.WithOption(dhcpv4.OptHostName(HostName(addr))),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(leaseTime)),
	)
	if err != nil {
		return nil, fmt.Errorf("answering DHCP for %s: %w", m.ClientHWAddr, err)
	}
	return reply, nil
}

// HostName is the first label of an instance's private name, as EC2 makes it of
// the address: 172.31.0.4 is ip-172-31-0-4.
func HostName(addr netip.Addr) string {
	b := addr.As4()
	return fmt.Sprintf("ip-%d-%d-%d-%d", b[0], b[1], b[2], b[3])
}
