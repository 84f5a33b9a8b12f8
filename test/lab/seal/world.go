//go:build linux

package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
)

// World says what the inside of a seal looks like.
type World struct {
	Hostname  string
	Bridge    string   // name of the bridge that guests are plugged into
	Addresses []string // CIDRs of the bridge
	StateDir  string   // a fresh tmpfs there; it must lie under /run
	Resolver  string   // address written to resolv.conf; "" leaves the host's
}

func (w World) prepare() error {
	if err := w.mounts(); err != nil {
		return err
	}
	if err := syscall.Sethostname([]byte(w.Hostname)); err != nil {
		return fmt.Errorf("naming the seal: %w", err)
	}
	if err := w.network(); err != nil {
		return err
	}
	return w.resolver()
}

// mounts lays the seal's own file systems over the host's. /sys must be
// read-only, or nspawn waits for a udev that is not there; /run must be empty,
// or nspawn trips over the host's mount propagation directory.
func (w World) mounts() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	const bare = syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC
	for _, m := range []struct {
		kind, at string
		flags    uintptr
		data     string
	}{
		{"proc", "/proc", bare, ""},
		{"tmpfs", "/run", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=755"},
		{"sysfs", "/sys", bare | syscall.MS_RDONLY, ""},
		{"cgroup2", "/sys/fs/cgroup", bare, ""},
		{"tmpfs", w.StateDir, 0, "mode=755,size=75%"}, // images: devices and set-uid files live there
	} {
		if strings.HasPrefix(m.at, "/run/") {
			if err := os.MkdirAll(m.at, 0o755); err != nil {
				return fmt.Errorf("preparing mount point %s: %w", m.at, err)
			}
		}
		if err := syscall.Mount("lab-"+m.kind, m.at, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.kind, m.at, err)
		}
	}
	return nil
}

// network brings up lo and the bridge, and makes sure that nothing is routed.
func (w World) network() error {
	if err := closeRoutes(); err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = w.Bridge
	// A fixed address: else the bridge takes its lowest port's, and every guest
	// that comes or goes makes the others' ARP entries stale.
	attrs.HardwareAddr = net.HardwareAddr{0x02, 0xba, 0x4e, 0, 0, 1}
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("making bridge %s: %w", w.Bridge, err)
	}
	for _, cidr := range w.Addresses {
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			return fmt.Errorf("reading bridge address %s: %w", cidr, err)
		}
		if err := netlink.AddrAdd(bridge, addr); err != nil {
			return fmt.Errorf("giving %s the address %s: %w", w.Bridge, cidr, err)
		}
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("bringing %s up: %w", w.Bridge, err)
	}
	return verifyClosed()
}

// closeRoutes switches forwarding and IPv6 off; a new namespace copies the
// host's forwarding setting, which on a machine with Docker is on.
func closeRoutes() error {
	for file, value := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward":                "0",
		"/proc/sys/net/ipv6/conf/all/disable_ipv6":     "1",
		"/proc/sys/net/ipv6/conf/default/disable_ipv6": "1",
	} {
		err := os.WriteFile(file, []byte(value), 0)
		if errors.Is(err, fs.ErrNotExist) && strings.Contains(file, "ipv6") {
			continue // a kernel without IPv6
		}
		if err != nil {
			return fmt.Errorf("closing the seal's network: %w", err)
		}
	}
	return nil
}

// verifyClosed refuses to go on when a packet could find a way out.
func verifyClosed() error {
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		return fmt.Errorf("checking the seal's network: %w", err)
	}
	if strings.TrimSpace(string(forward)) != "0" {
		return errors.New("checking the seal's network: ip_forward is on")
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("checking the seal's routes: %w", err)
	}
	for _, r := range routes {
		if r.Gw != nil || r.Dst == nil || r.Dst.IP.IsUnspecified() {
			return fmt.Errorf("checking the seal's routes: a default route exists: %s", r)
		}
	}
	return nil
}

// resolver points the C library inside at the lab's name server, so that a
// lookup is answered at once instead of timing out on the host's server.
func (w World) resolver() error {
	if w.Resolver == "" {
		return nil
	}
	conf := filepath.Join("/run", "resolv.conf")
	text := "nameserver " + w.Resolver + "\noptions timeout:1 attempts:1\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the seal's resolv.conf: %w", err)
	}
	const target = "/etc/resolv.conf"
	if link, err := os.Readlink(target); err == nil {
		if !filepath.IsAbs(link) {
			link = filepath.Join("/etc", link)
		}
		if strings.HasPrefix(link, "/run/") { // systemd-resolved's stub went with /run
			return placeStub(conf, link)
		}
	}
	if _, err := os.Stat(target); err != nil {
		return nil // none on the host: the library's default fails at once too
	}
	if err := syscall.Mount(conf, target, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("placing the seal's resolv.conf: %w", err)
	}
	return nil
}

func placeStub(conf, link string) error {
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return fmt.Errorf("placing the seal's resolv.conf: %w", err)
	}
	if err := os.Symlink(conf, link); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("placing the seal's resolv.conf: %w", err)
	}
	return nil
}

// forward passes the launcher's requests to end on to pid.
func forward(pid int) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		for sig := range signals {
			if s, ok := sig.(syscall.Signal); ok {
				_ = syscall.Kill(pid, s) // gone already: reap is about to return
			}
		}
	}()
}
