//go:build lab

package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"bakehouse/test/lab/rootfs"
)

// sealed marks the re-executed test process, which lives in namespaces of its own,
// and tells it where the base root file system is; sealedRepo where its repository is, and sealedBy which process sealed it.
const (
	sealed     = "BAKEHOUSE_GUEST_TEST_BASE"
	sealedRepo = "BAKEHOUSE_GUEST_TEST_REPO"
	sealedBy   = "BAKEHOUSE_GUEST_TEST_PID"
)

// TestMain runs the tests in a small seal: the test binary starts itself again in
// new network, mount and PID namespaces, so nothing can stay behind.
func TestMain(m *testing.M) {
	if os.Getenv(sealed) == "" {
		os.Exit(reexec())
	}
	if err := enterSeal(); err != nil {
		fmt.Fprintln(os.Stderr, "sealing the tests:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := SweepCgroups(testCgroup()); err != nil { // the one thing namespaces do not take along
		fmt.Fprintln(os.Stderr, "sweeping the tests' cgroups:", err)
		code = 1
	}
	os.Exit(code)
}

func reexec() int {
	base, err := ensureBase()
	if err != nil {
		fmt.Fprintln(os.Stderr, "preparing the tests:", err)
		return 1
	}
	defer base.Close()
	runtime.LockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), sealed+"="+base.Dir, sealedRepo+"="+base.RepoDir,
		sealedBy+"="+strconv.Itoa(os.Getpid()))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	signal.Ignore(os.Interrupt) // the child gets it too, and decides
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "running the sealed tests:", err)
		return 1
	}
	return 0
}

// ensureBase builds, or finds in the lab's own cache, what the lab boots from. It
// needs the network, so it runs before the seal closes.
func ensureBase() (rootfs.Base, error) {
	cache := os.Getenv("BAKEHOUSE_LAB_CACHE")
	if cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return rootfs.Base{}, err
		}
		cache = filepath.Join(dir, "bakehouse-lab")
	}
	list, err := os.ReadFile("../packages.txt")
	if err != nil {
		return rootfs.Base{}, err
	}
	return rootfs.Ensure(context.Background(),
		rootfs.Options{Cache: cache, Log: os.Stderr, Packages: rootfs.ParsePackages(string(list))})
}

func enterSeal() error {
	mounts := []struct {
		what, where, kind string
		flags             uintptr
		data              string
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", unix.MS_RDONLY, ""},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""},
		{"tmpfs", "/run", "tmpfs", 0, "mode=0755"},
	}
	for _, m := range mounts {
		if err := unix.Mount(m.what, m.where, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mounting %s: %w", m.where, err)
		}
	}
	if err := os.MkdirAll("/run/lab", 0o755); err != nil {
		return err
	}
	return makeBridge()
}

func makeBridge() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	bridge := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(bridge); err != nil {
		return err
	}
	for _, cidr := range []string{"172.31.0.1/16", "169.254.169.254/32"} {
		addr, err := netlink.ParseAddr(cidr)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(bridge, addr); err != nil {
			return err
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	return netlink.LinkSetUp(bridge)
}

// testCgroup keeps these tests apart from a lab, or others of their kind, that run
// beside them.
func testCgroup() string {
	return filepath.Join("/sys/fs/cgroup", "bakehouse-guest-test-"+os.Getenv(sealedBy))
}

func assertNoHostSide(t *testing.T, spec Spec) {
	t.Helper()
	if _, err := netlink.LinkByName(spec.hostLink()); err == nil {
		t.Error("the cable is left")
	}
	if isMountPoint(spec.merged()) {
		t.Error("the overlay is left")
	}
	if _, err := os.Stat(spec.cgroup()); err == nil {
		t.Error("the cgroup is left")
	}
}

func labLinks(t *testing.T) int {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, "lab") {
			count++
		}
	}
	return count
}
