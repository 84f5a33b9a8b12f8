//go:build lab

package cloudinit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cloudInitUnits reduces cloud-init's units to their ordering, as the packages
// of Debian 12 (22.4) and Ubuntu 22.04 and 24.04 (23.x to 25.x) install them.
// network is the name of the unit that newer versions gave to cloud-init.service.
func cloudInitUnits(network string) map[string]string {
	service := "\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
	return map[string]string{
		"cloud-init.target":   "[Unit]\nAfter=multi-user.target\n",
		"cloud-config.target": "[Unit]\nWants=cloud-init-local.service " + network + "\nAfter=cloud-init-local.service " + network + "\n",
		"cloud-init-local.service": "[Unit]\nDefaultDependencies=no\nWants=network-pre.target\nAfter=systemd-remount-fs.service\n" +
			"Before=network-pre.target shutdown.target sysinit.target\nConflicts=shutdown.target\n" + service,
		network: "[Unit]\nDefaultDependencies=no\nWants=cloud-init-local.service\nAfter=cloud-init-local.service\n" +
			"Before=network-online.target sysinit.target shutdown.target\nConflicts=shutdown.target\n" + service,
		"cloud-config.service": "[Unit]\nAfter=network-online.target cloud-config.target\nWants=network-online.target cloud-config.target\n" + service,
		"cloud-final.service": "[Unit]\nAfter=network-online.target cloud-config.service multi-user.target\nBefore=apt-daily.service\n" +
			"Wants=network-online.target cloud-config.service\n" + service,
	}
}

// verify boots, on paper, a machine with cloud-init and the given first-boot
// unit, and returns what systemd complains about.
func verify(t *testing.T, network, firstBoot string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(target string, units ...string) {
		if err := os.MkdirAll(filepath.Join(dir, target+".wants"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, u := range units {
			if err := os.Symlink(filepath.Join(dir, u), filepath.Join(dir, target+".wants", u)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, content := range cloudInitUnits(network) {
		write(name, content)
	}
	write(Unit, firstBoot)
	write("default.target", "[Unit]\nRequires=multi-user.target\nAfter=multi-user.target\nAllowIsolate=yes\n")
	wants("multi-user.target", "cloud-init.target", Unit) // the first is what cloud-init's generator does
	wants("cloud-init.target", "cloud-init-local.service", network, "cloud-config.service", "cloud-final.service")
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", "--generators=no", "default.target", Unit)
	cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":/lib/systemd/system", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatalf("running systemd-analyze: %v", err)
	}
	return string(out)
}

// relevant keeps the lines about ordering, and those about our unit.
func relevant(out string) string {
	var kept []string
	for line := range strings.Lines(out) {
		// The binary is in the image and not on this machine.
		if strings.Contains(line, "is not executable") || strings.Contains(line, "No such file or directory") {
			continue
		}
		if strings.Contains(line, "cycle") || strings.Contains(line, "bakehouse") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestUnitMakesNoCycleWithCloudInit(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"cloud-init.service", "cloud-init-network.service"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			if out := relevant(verify(t, network, string(unitFile(t).Content))); out != "" {
				t.Errorf("systemd complains:\n%s", out)
			}
		})
	}
}

// The check above is worth something only if it sees the trap.
func TestVerifySeesTheCycleWithoutMultiUserTarget(t *testing.T) {
	t.Parallel()
	broken := strings.Replace(string(unitFile(t).Content), "After=cloud-final.service multi-user.target", "After=cloud-final.service", 1)
	if out := verify(t, "cloud-init.service", broken); !strings.Contains(out, "cycle") {
		t.Errorf("no cycle found; systemd said:\n%s", out)
	}
}
