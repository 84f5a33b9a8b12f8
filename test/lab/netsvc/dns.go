//go:build linux

package netsvc

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// nameTTL is the time to live of answers, in seconds; EC2's own is 60.
const nameTTL = 60

// DNS is a name server over UDP and TCP. Close it.
type DNS struct{ udp, tcp *dns.Server }

// ServeDNS answers on addr (host:port) until Close: names of addresses in the
// network both ways, and "no such name" at once for everything else, so that
// nothing in the seal waits for a server outside.
func ServeDNS(addr string, n Network) (*DNS, error) {
	packets, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("starting the name server: %w", err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		_ = packets.Close()
		return nil, fmt.Errorf("starting the name server: %w", err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		_ = w.WriteMsg(n.Resolve(q)) // the asker is gone, or asks again
	})
	d := &DNS{
		udp: &dns.Server{PacketConn: packets, Handler: handler},
		tcp: &dns.Server{Listener: listener, Handler: handler},
	}
	go func() { _ = d.udp.ActivateAndServe() }() // both end with Close
	go func() { _ = d.tcp.ActivateAndServe() }()
	return d, nil
}

// Close ends the server.
func (d *DNS) Close() error {
	err := d.udp.PacketConn.Close()
	if tcpErr := d.tcp.Listener.Close(); err == nil {
		err = tcpErr
	}
	return err
}

// Resolve answers one query.
func (n Network) Resolve(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative, m.RecursionAvailable = true, true
	m.Rcode = dns.RcodeNameError
	if len(q.Question) != 1 {
		m.Rcode = dns.RcodeFormatError
		return m
	}
	question := q.Question[0]
	head := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: nameTTL}
	if addr, ok := n.addressNamed(question.Name); ok {
		m.Rcode = dns.RcodeSuccess // the name exists, whatever its type
		if question.Qtype == dns.TypeA || question.Qtype == dns.TypeANY {
			head.Rrtype = dns.TypeA
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: addr.AsSlice()})
		}
	}
	if addr, ok := reverseName(question.Name); ok && n.Prefix.Contains(addr) {
		m.Rcode = dns.RcodeSuccess
		if question.Qtype == dns.TypePTR || question.Qtype == dns.TypeANY {
			head.Rrtype = dns.TypePTR
			m.Answer = append(m.Answer, &dns.PTR{Hdr: head, Ptr: HostName(addr) + "." + n.Domain + "."})
		}
	}
	return m
}

// addressNamed reads ip-A-B-C-D.DOMAIN; only the canonical spelling of an
// address in the network counts.
func (n Network) addressNamed(name string) (netip.Addr, bool) {
	name = strings.ToLower(name)
	label, ok := strings.CutSuffix(name, "."+n.Domain+".")
	if !ok {
		return netip.Addr{}, false
	}
	digits, ok := strings.CutPrefix(label, "ip-")
	if !ok {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(strings.ReplaceAll(digits, "-", "."))
	return addr, err == nil && addr.Is4() && n.Prefix.Contains(addr)
}

// reverseName reads D.C.B.A.in-addr.arpa.
func reverseName(name string) (netip.Addr, bool) {
	digits, ok := strings.CutSuffix(strings.ToLower(name), ".in-addr.arpa.")
	if !ok {
		return netip.Addr{}, false
	}
	parts := strings.Split(digits, ".")
	if len(parts) != 4 {
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(parts[3] + "." + parts[2] + "." + parts[1] + "." + parts[0])
	return addr, err == nil
}
