//go:build lab

package guest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"bakehouse/test/lab/rootfs"
)

// patience is many times what anything here takes on a quiet machine.
const patience = 5 * time.Minute

func newSpec(t *testing.T, n int, layers ...string) (Spec, machine) {
	t.Helper()
	m := machine{id: fmt.Sprintf("i-%017x", n), mac: fmt.Sprintf("02:00:00:00:00:%02x", n),
		ip: fmt.Sprintf("172.31.7.%d", n), key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2k3lWzKPXQ1vwbpxQvZ1Gk8ZtQz0mGqv8o2Hn6dF0a lab"}
	return Spec{ID: m.id, Layers: append(layers, os.Getenv(sealed)), StateDir: filepath.Join("/run/lab", m.id),
		Disk: 1 << 30, Bridge: "br0", MAC: m.mac, Cgroup: testCgroup()}, m
}

// start boots a guest and removes it when the test ends.
func start(t *testing.T, spec Spec) *Guest {
	t.Helper()
	g, err := Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("console of %s:\n%s", spec.ID, g.ConsoleOutput())
		}
	})
	return g
}

// in runs a shell script in the guest and returns what it prints.
func in(t *testing.T, g *Guest, script string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if err := g.Exec(t.Context(), Streams{Out: &out, Err: &errs}, "sh", "-c", script); err != nil {
		t.Fatalf("%v: %s%s", err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}

// ask has the guest go down: whether the command or the guest ends first is open.
func ask(t *testing.T, g *Guest, command string) {
	t.Helper()
	if err := g.Exec(t.Context(), Streams{}, "sh", "-c", command); err != nil {
		t.Log(err)
	}
}

// booted waits until cloud-init has finished and returns its verdict.
func booted(t *testing.T, g *Guest, ip string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := dialSSH(ctx, ip); err != nil {
		t.Fatal(err)
	}
	if got := in(t, g, "cloud-init status --wait | tr -d '.\n'"); !strings.Contains(got, "status: done") {
		t.Fatalf("cloud-init says %q: %s", got, in(t, g, "cloud-init status --long; tail -50 /var/log/cloud-init.log"))
	}
}

func TestGuestBootsByEC2DataSource(t *testing.T) {
	cloud := startCloud(t)
	spec, m := newSpec(t, 1)
	cloud.add(m)
	began := time.Now()
	g := start(t, spec)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := dialSSH(ctx, m.ip); err != nil {
		t.Fatal(err)
	}
	t.Logf("start to sshd: %.1f s", time.Since(began).Seconds())
	booted(t, g, m.ip)
	t.Logf("start to cloud-init done: %.1f s", time.Since(began).Seconds())
	for script, want := range map[string]string{
		"systemctl is-system-running --wait": "running",
		"cloud-id":                           "aws",
		"cat /run/cloud-init/result.json | grep -o 'DataSourceEc2[A-Za-z]*'": "DataSourceEc2Local",
		"hostname": "ip-172-31-7-1",
		"ip -4 -o addr show ens5 | grep -o 'inet [0-9./]*'":                       "inet 172.31.7.1/16",
		"cat /sys/class/net/ens5/address":                                         m.mac,
		"grep -c nameserver.172.31.0.1 /etc/resolv.conf":                          "1",
		"su ubuntu -c 'sudo -n id -u' 2>/dev/null":                                "0",
		"grep -c 'AAAAC3' ~ubuntu/.ssh/authorized_keys":                           "1",
		"passwd -S ubuntu | cut -d' ' -f2":                                        "L",
		"cut -c1-3 /sys/hypervisor/uuid":                                          "ec2",
		"df --output=size -B1 / | tail -1":                                        fmt.Sprint(1 << 30),
		"stat -f -c %T /tmp":                                                      "overlayfs",
		"cmp /etc/machine-id /var/lib/dbus/machine-id && wc -c < /etc/machine-id": "33",
	} {
		if got := in(t, g, script+" || true"); got != want {
			t.Errorf("%s: got %q, want %q", script, got, want)
		}
	}
	t.Log(in(t, g, "systemctl --failed --no-legend; systemd-analyze 2>&1; systemd-analyze blame | head -12; free -m | head -2; grep -c . /var/log/cloud-init.log; grep -i warn /var/log/cloud-init.log || true"))
	cancelledCommandEnds(t, g)
	stopped := time.Now()
	if err := g.Poweroff(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("poweroff: %.1f s", time.Since(stopped).Seconds())
	if exit := g.Wait(); exit.Kind != PoweredOff || !exit.Asked {
		t.Errorf("after Poweroff: %+v", exit)
	}
}

// onWrite is called when something is written to it.
type onWrite func()

func (f onWrite) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

// cancelledCommandEnds sees that a command, and what it started, is gone from
// the guest when its caller is.
func cancelledCommandEnds(t *testing.T, g *Guest) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out := onWrite(cancel) // the script says when it runs
	err := g.Exec(ctx, Streams{Out: out}, "sh", "-c", "(while :; do sleep 0.2345; done) & echo up; while :; do sleep 0.2345; done")
	if err == nil || ctx.Err() == nil {
		t.Errorf("a command without end ended: %v", err)
	}
	if got := in(t, g, "n=0; while pgrep -f '0[.]2345' >/dev/null && [ $n -lt 300 ]; do n=$((n+1)); sleep 0.1; done; pgrep -fc '0[.]2345' || true"); got != "0" {
		t.Errorf("%s processes of a cancelled command go on in the guest", got)
	}
}

func TestGuestPowersItselfOffAndStartsAgainOnItsDisk(t *testing.T) {
	cloud := startCloud(t)
	spec, m := newSpec(t, 2)
	cloud.add(m)
	g := start(t, spec)
	booted(t, g, m.ip)
	began := time.Now()
	in(t, g, "echo kept > /root/mark; rm /etc/motd")
	ask(t, g, "systemctl poweroff")
	if exit := g.Wait(); exit.Kind != PoweredOff || exit.Asked {
		t.Fatalf("after poweroff from inside: %+v", exit)
	}
	if g.LeaderPID() != 0 {
		t.Error("an ended guest has a leader")
	}
	assertNoHostSide(t, spec)
	t.Logf("poweroff from inside: %.1f s", time.Since(began).Seconds())
	began = time.Now()
	again := start(t, spec)
	booted(t, again, m.ip)
	t.Logf("start again to cloud-init done: %.1f s", time.Since(began).Seconds())
	if got := in(t, again, "cat /root/mark; test -e /etc/motd || echo gone"); got != "kept\ngone" {
		t.Errorf("the disk after stop and start: %q", got)
	}
}

func TestGuestRebootsByItself(t *testing.T) {
	cloud := startCloud(t)
	spec, m := newSpec(t, 3)
	cloud.add(m)
	g := start(t, spec)
	booted(t, g, m.ip)
	first := in(t, g, "cat /etc/machine-id; echo kept > /root/mark")
	ask(t, g, "systemctl reboot")
	waitBoots(t, g, 2)
	began := time.Now()
	booted(t, g, m.ip)
	t.Logf("second boot to cloud-init done: %.1f s", time.Since(began).Seconds())
	if got := in(t, g, "cat /etc/machine-id /root/mark"); got != first+"\nkept" {
		t.Errorf("after a reboot machine-id and file are %q, want %q", got, first+"\nkept")
	}
	began = time.Now()
	if err := g.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("kill: %.2f s", time.Since(began).Seconds())
	if exit := g.Wait(); exit.Kind != Killed || !exit.Asked {
		t.Errorf("after Kill: %+v", exit)
	}
	assertNoHostSide(t, spec)
}

func waitBoots(t *testing.T, g *Guest, want int) {
	t.Helper()
	for deadline := time.Now().Add(patience); g.Boots() < want || g.LeaderPID() == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d boots, want %d", g.Boots(), want)
		}
	}
}

func TestSnapshotBootsAsAnotherMachine(t *testing.T) {
	cloud := startCloud(t)
	spec, m := newSpec(t, 4)
	cloud.add(m)
	g := start(t, spec)
	booted(t, g, m.ip)
	builder := in(t, g, "cat /etc/machine-id")
	in(t, g, `rm -rf /usr/share/debianutils /etc/motd; mkdir /usr/share/debianutils; echo new > /usr/share/debianutils/only
		setfattr -n user.x -v 1 /root 2>/dev/null; chown ubuntu /usr/share/debianutils/only; cloud-init clean --logs
		rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id; : > /etc/machine-id`)
	if err := Snapshot(t.Context(), g.UpperDir(), "/run/lab/images/ami-live"); err != nil {
		t.Errorf("snapshot of a running guest: %v", err)
	}
	if err := g.Poweroff(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	image := "/run/lab/images/ami-1"
	if err := Snapshot(t.Context(), g.UpperDir(), image); err != nil {
		t.Fatal(err)
	}
	t.Logf("snapshot: %.2f s", time.Since(began).Seconds())
	if err := Snapshot(t.Context(), g.UpperDir(), image); err == nil {
		t.Error("a snapshot overwrote another")
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	next, n := newSpec(t, 5, image)
	cloud.add(n)
	again := start(t, next)
	booted(t, again, n.ip)
	if got := in(t, again, "cat /etc/machine-id"); got == builder || len(got) != 32 {
		t.Errorf("machine-id of the copy is %q, of the builder %q", got, builder)
	}
	want := "only ubuntu motd-gone"
	if got := in(t, again, `echo $(ls /usr/share/debianutils) $(stat -c %U /usr/share/debianutils/only) $(test -e /etc/motd || echo motd-gone)`); got != want {
		t.Errorf("the copy shows %q, want %q", got, want)
	}
}

func TestGuestInstallsFromTheRepository(t *testing.T) {
	cloud := startCloud(t)
	listener, err := net.Listen("tcp", "172.31.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: rootfs.RepoHandler(os.Getenv(sealedRepo))}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	spec, m := newSpec(t, 6)
	cloud.add(m)
	g := start(t, spec)
	booted(t, g, m.ip)
	began := time.Now()
	in(t, g, "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install nginx-light jq chrony unzip")
	t.Logf("apt-get update and install: %.1f s", time.Since(began).Seconds())
	if got := in(t, g, "systemctl is-active nginx; curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/; echo '[1]' | jq -c ."); got != "active\n200[1]" {
		t.Errorf("after the installation: %q", got)
	}
	if got := in(t, g, "systemctl --failed --no-legend"); got != "" {
		t.Errorf("failed units: %s", got)
	}
}

func TestGuestThatFillsItsDiskFillsOnlyThat(t *testing.T) {
	spec, _ := newSpec(t, 7)
	spec.Disk = 64 << 20
	g := start(t, spec)
	waitBoots(t, g, 1)
	got := in(t, g, "dd if=/dev/zero of=/root/fill bs=1M count=100 2>&1 | grep -c 'No space left'")
	if got != "1" {
		t.Errorf("writing 100 MiB to a disk of 64: %q", got)
	}
	if err := os.WriteFile("/run/lab/other", []byte("room"), 0o600); err != nil {
		t.Errorf("the lab's own file system: %v", err)
	}
}

func TestFourGuestsAtOnce(t *testing.T) {
	cloud := startCloud(t)
	began := time.Now()
	var group errgroup.Group
	var specs []Spec
	for n := 10; n < 14; n++ {
		spec, m := newSpec(t, n)
		cloud.add(m)
		specs = append(specs, spec)
		start(t, spec)
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			return dialSSH(ctx, m.ip)
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("four starts to four sshd: %.1f s", time.Since(began).Seconds())
	if links := labLinks(t); links != 4 {
		t.Errorf("%d cables on the bridge for %d guests", links, len(specs))
	}
}

func TestPoweroffInEarlyBoot(t *testing.T) {
	spec, _ := newSpec(t, 20)
	g := start(t, spec)
	began := time.Now()
	if err := g.Poweroff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if exit := g.Wait(); exit.Kind != PoweredOff {
		t.Errorf("power button at once after start: %+v", exit)
	}
	t.Logf("poweroff at once: %.1f s", time.Since(began).Seconds())
}

func TestPoweroffPullsThePlug(t *testing.T) {
	spec, _ := newSpec(t, 21)
	spec.Grace = time.Millisecond
	g := start(t, spec)
	waitBoots(t, g, 1)
	if err := g.Poweroff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if exit := g.Wait(); exit.Kind != Killed || !exit.Asked {
		t.Errorf("after the grace ran out: %+v", exit)
	}
}

func TestGuestWhoseManagerDies(t *testing.T) {
	spec, _ := newSpec(t, 22)
	g := start(t, spec)
	waitBoots(t, g, 1)
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if exit := g.Wait(); exit.Kind != Failed || exit.Asked || exit.Err == nil {
		t.Errorf("after the container's manager died: %+v", exit)
	}
	assertNoHostSide(t, spec)
}

func TestStartFailuresLeaveNothing(t *testing.T) {
	for name, spoil := range map[string]func(*Spec){
		"no such layer":    func(s *Spec) { s.Layers = []string{"/run/lab/none"} },
		"no such bridge":   func(s *Spec) { s.Bridge = "br7" },
		"layer is no root": func(s *Spec) { s.Layers = []string{t.TempDir()} },
	} {
		t.Run(name, func(t *testing.T) {
			spec, _ := newSpec(t, 30)
			spoil(&spec)
			g, err := Start(t.Context(), spec)
			if err == nil {
				if exit := g.Wait(); exit.Kind != Failed || exit.Err == nil {
					t.Errorf("exit %+v", exit)
				} else {
					t.Log(exit.Err)
				}
				if err := g.Close(); err != nil {
					t.Error(err)
				}
			} else {
				t.Log(err)
			}
			if _, err := os.Stat(spec.StateDir); err == nil {
				t.Error("the state directory is left")
			}
			assertNoHostSide(t, spec)
		})
	}
}
