//go:build linux

package netsvc

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/miekg/dns"
)

func vpc() Network {
	return Network{netip.MustParsePrefix("172.31.0.0/16"), netip.MustParseAddr("172.31.0.1"), "ec2.internal"}
}

type cards map[string]string

func (c cards) AddressOf(mac net.HardwareAddr) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(c[mac.String()])
	return addr, err == nil
}

func card() (cards, net.HardwareAddr) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 4}
	return cards{mac.String(): "172.31.7.4"}, mac
}

func TestDHCPOffersTheInstancesAddress(t *testing.T) {
	t.Parallel()
	d, mac := card()
	discover, err := dhcpv4.NewDiscovery(mac)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := vpc().Answer(d, discover)
	if err != nil {
		t.Fatal(err)
	}
	if got := offer.MessageType(); got != dhcpv4.MessageTypeOffer {
		t.Errorf("answered a discover with %s", got)
	}
	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	ack, err := vpc().Answer(d, request)
	if err != nil {
		t.Fatal(err)
	}
	ones, _ := ack.SubnetMask().Size()
	if ack.MessageType() != dhcpv4.MessageTypeAck || ack.YourIPAddr.String() != "172.31.7.4" || ones != 16 ||
		len(ack.Router()) != 1 || ack.Router()[0].String() != "172.31.0.1" || ack.DNS()[0].String() != "172.31.0.1" ||
		ack.HostName() != "ip-172-31-7-4" || ack.DomainName() != "ec2.internal" || ack.IPAddressLeaseTime(0) != leaseTime {
		t.Errorf("the lease is %s", ack.Summary())
	}
}

func TestDHCPRefusals(t *testing.T) {
	t.Parallel()
	d, mac := card()
	stranger, err := dhcpv4.NewDiscovery(net.HardwareAddr{2, 0, 0, 0, 0, 9})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vpc().Answer(d, stranger); !errors.Is(err, ErrNoAddress) {
		t.Errorf("a stranger's discover: %v", err)
	}
	// A baked image may ask for the lease of the machine it was made on.
	wish, err := dhcpv4.NewDiscovery(mac, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(172, 31, 9, 9))))
	if err != nil {
		t.Fatal(err)
	}
	if offer, err := vpc().Answer(d, wish); err != nil || offer.MessageType() != dhcpv4.MessageTypeOffer ||
		offer.YourIPAddr.String() != "172.31.7.4" {
		t.Errorf("a wish for another's address: %v, %v", offer, err)
	}
	wrong, err := dhcpv4.NewDiscovery(mac, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(172, 31, 9, 9))))
	if err != nil {
		t.Fatal(err)
	}
	if nak, err := vpc().Answer(d, wrong); err != nil || nak.MessageType() != dhcpv4.MessageTypeNak {
		t.Errorf("a request for another's address: %v, %v", nak, err)
	}
	release, err := dhcpv4.NewDiscovery(mac, dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vpc().Answer(d, release); err == nil {
		t.Error("a release was answered")
	}
}

func TestDNSKnowsTheNetworkAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		kind   uint16
		rcode  int
		answer string // the record's value; "" for none
	}{
		{"ip-172-31-7-4.ec2.internal.", dns.TypeA, dns.RcodeSuccess, "172.31.7.4"},
		{"IP-172-31-7-4.EC2.internal.", dns.TypeA, dns.RcodeSuccess, "172.31.7.4"},
		{"ip-172-31-7-4.ec2.internal.", dns.TypeAAAA, dns.RcodeSuccess, ""},
		{"4.7.31.172.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, "ip-172-31-7-4.ec2.internal."},
		{"ip-10-0-0-1.ec2.internal.", dns.TypeA, dns.RcodeNameError, ""},
		{"ip-172-31-7.ec2.internal.", dns.TypeA, dns.RcodeNameError, ""},
		{"1.0.0.10.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, ""},
		{"s3.us-east-1.amazonaws.com.", dns.TypeA, dns.RcodeNameError, ""},
		{"mirror.example.org.", dns.TypeA, dns.RcodeNameError, ""},
		{".", dns.TypeNS, dns.RcodeNameError, ""},
	} {
		q := new(dns.Msg)
		q.SetQuestion(c.name, c.kind)
		m := vpc().Resolve(q)
		got := ""
		for _, rr := range m.Answer {
			switch rr := rr.(type) {
			case *dns.A:
				got += rr.A.String()
			case *dns.PTR:
				got += rr.Ptr
			}
		}
		if m.Rcode != c.rcode || got != c.answer {
			t.Errorf("%s %s: %s %q, want %s %q", c.name, dns.TypeToString[c.kind],
				dns.RcodeToString[m.Rcode], got, dns.RcodeToString[c.rcode], c.answer)
		}
	}
}

func TestDNSOverTheWire(t *testing.T) {
	t.Parallel()
	const addr = "127.0.0.1:0"
	probe, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	free := probe.LocalAddr().String()
	if err := probe.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := ServeDNS(free, vpc())
	if err != nil {
		t.Fatal(err)
	}
	q := new(dns.Msg)
	q.SetQuestion("ip-172-31-0-9.ec2.internal.", dns.TypeA)
	for _, proto := range []string{"udp", "tcp"} {
		client := dns.Client{Net: proto}
		m, _, err := client.Exchange(q, free)
		if err != nil || len(m.Answer) != 1 {
			t.Errorf("over %s: %v, %v", proto, m, err)
		}
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
