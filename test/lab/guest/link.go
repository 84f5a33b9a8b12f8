package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// card is the name of the guest's network card, as a Nitro instance has it.
const card = "ens5"

// inStaging runs start on a thread in a fresh network namespace that holds
// nothing but the guest's card, its cable already plugged into the bridge. The
// container takes the card over from there. The namespace lives as long as the
// container's manager, which start leaves behind in it.
//
// A card made straight in the lab's namespace could not be called ens5 twice.
func inStaging(s Spec, start func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			result <- err
			return
		}
		defer home.Close()
		err = stage(s, home, start)
		if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
			// Still locked: the goroutine's end takes the stray thread with it.
			result <- errors.Join(err, back)
			return
		}
		runtime.UnlockOSThread()
		result <- err
	}()
	return <-result
}

// stage does inStaging's work on the locked thread.
func stage(s Spec, home *os.File, start func() error) error {
	if err := unplug(s); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making a network namespace: %w", err)
	}
	staging, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer staging.Close()
	if err := makeCable(s, home); err != nil {
		return err
	}
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	if err := plug(s); err != nil {
		return err
	}
	if err := unix.Setns(int(staging.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	return start()
}

// makeCable makes the card here and the cable's other end at home.
func makeCable(s Spec, home *os.File) error {
	mac, err := net.ParseMAC(s.MAC)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = card, mac
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: s.hostLink(), PeerNamespace: netlink.NsFd(home.Fd())}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("making the network card: %w", err)
	}
	return nil
}

// plug connects the cable to the bridge.
func plug(s Spec) error {
	bridge, err := netlink.LinkByName(s.Bridge)
	if err != nil {
		return fmt.Errorf("finding bridge %s: %w", s.Bridge, err)
	}
	end, err := netlink.LinkByName(s.hostLink())
	if err != nil {
		return fmt.Errorf("finding the cable: %w", err)
	}
	if err := netlink.LinkSetMaster(end, bridge); err != nil {
		return fmt.Errorf("plugging into bridge %s: %w", s.Bridge, err)
	}
	return netlink.LinkSetUp(end)
}

// unplug removes the cable, and the card with it, when there is one.
func unplug(s Spec) error {
	end, err := netlink.LinkByName(s.hostLink())
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding the cable: %w", err)
	}
	if err := netlink.LinkDel(end); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("removing the cable: %w", err)
	}
	return nil
}
