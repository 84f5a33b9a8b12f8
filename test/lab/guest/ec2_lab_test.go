//go:build lab

package guest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
)

// cloud is the least of EC2 that cloud-init's Ec2 data source needs: an address
// by MAC, and a metadata service that answers by source address.
type cloud struct {
	mu       sync.Mutex
	machines map[string]machine // by MAC
}

type machine struct {
	id, mac, ip, key string
}

func (c *cloud) add(m machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines[m.mac] = m
}

func (c *cloud) find(match func(machine) bool) (machine, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.machines {
		if match(m) {
			return m, true
		}
	}
	return machine{}, false
}

// startCloud serves DHCP and metadata on br0 until the test ends.
func startCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{machines: map[string]machine{}}
	dhcp, err := server4.NewServer("br0", &net.UDPAddr{IP: net.IPv4zero, Port: 67}, c.lease)
	if err != nil {
		t.Fatalf("starting DHCP: %v", err)
	}
	go dhcp.Serve()
	listener, err := net.Listen("tcp", "169.254.169.254:80")
	if err != nil {
		t.Fatalf("starting the metadata service: %v", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(c.metadata)}
	go server.Serve(listener)
	t.Cleanup(func() {
		dhcp.Close()
		server.Close()
	})
	return c
}

func (c *cloud) lease(conn net.PacketConn, peer net.Addr, request *dhcpv4.DHCPv4) {
	m, ok := c.find(func(m machine) bool { return m.mac == request.ClientHWAddr.String() })
	if !ok {
		return
	}
	server := net.IPv4(172, 31, 0, 1)
	kind := dhcpv4.MessageTypeOffer
	if request.MessageType() == dhcpv4.MessageTypeRequest {
		kind = dhcpv4.MessageTypeAck
	}
	reply, err := dhcpv4.NewReplyFromRequest(request,
		dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(net.ParseIP(m.ip)), dhcpv4.WithServerIP(server),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)), dhcpv4.WithOption(dhcpv4.OptRouter(server)),
		dhcpv4.WithOption(dhcpv4.OptDNS(server)), dhcpv4.WithOption(dhcpv4.OptSubnetMask(net.CIDRMask(16, 32))),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(time.Hour)))
	if err == nil {
		conn.WriteTo(reply.ToBytes(), peer)
	}
}

func (c *cloud) metadata(w http.ResponseWriter, r *http.Request) {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	m, ok := c.find(func(m machine) bool { return m.ip == from.Addr().Unmap().String() })
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" {
		fmt.Fprint(w, "token")
		return
	}
	if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token" {
		http.Error(w, "no token", http.StatusUnauthorized)
		return
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, ok := m.pages()[strings.TrimSuffix(path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	fmt.Fprint(w, body)
}

// pages is what one machine's metadata service says, by path below the version.
func (m machine) pages() map[string]string {
	nic := "meta-data/network/interfaces/macs/" + m.mac + "/"
	return map[string]string{
		"meta-data":                             "instance-id\nlocal-hostname\nlocal-ipv4\npublic-keys/\nnetwork/\nplacement/",
		"meta-data/instance-id":                 m.id,
		"meta-data/local-hostname":              "ip-" + strings.ReplaceAll(m.ip, ".", "-") + ".ec2.internal",
		"meta-data/local-ipv4":                  m.ip,
		"meta-data/public-keys":                 "0=lab",
		"meta-data/public-keys/0/openssh-key":   m.key,
		"meta-data/placement":                   "availability-zone",
		"meta-data/placement/availability-zone": "us-east-1a",
		"meta-data/network":                     "interfaces/",
		"meta-data/network/interfaces":          "macs/",
		"meta-data/network/interfaces/macs":     m.mac + "/",
		strings.TrimSuffix(nic, "/"):            "device-number\nlocal-ipv4s\nmac\nvpc-id",
		nic + "device-number":                   "0",
		nic + "local-ipv4s":                     m.ip,
		nic + "mac":                             m.mac,
		// Without it cloud-init takes the machine for EC2 Classic, reads everything again
		// when the network is up, and trips over its own address.
		nic + "vpc-id":                       "vpc-1",
		"user-data":                          "#cloud-config\n{}\n",
		"dynamic":                            "instance-identity/",
		"dynamic/instance-identity":          "document",
		"dynamic/instance-identity/document": `{"instanceId":"` + m.id + `","region":"us-east-1"}`,
	}
}

// dialSSH waits for the machine's sshd to speak.
func dialSSH(ctx context.Context, ip string) error {
	for {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", ip+":22")
		if err == nil {
			conn.SetReadDeadline(time.Now().Add(2 * time.Second))
			banner := make([]byte, 4)
			_, err = conn.Read(banner)
			conn.Close()
			if err == nil && string(banner) == "SSH-" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for sshd on %s: %w", ip, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}
