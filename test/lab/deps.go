//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"bakehouse/internal/fault"
)

// hostTool is a program of the host that the lab runs, and its Debian package.
type hostTool struct{ program, pkg string }

// hostTools is the one list of what the machine must have.
func hostTools() []hostTool {
	return []hostTool{
		{"systemd-nspawn", "systemd-container"}, // guests
		{"nsenter", "util-linux"},               // lab exec
		{"mmdebstrap", "mmdebstrap"},            // the guests' root file system
		{"apt-get", "apt"},
		{"dpkg-deb", "dpkg"},
		{"goiardi", "goiardi"}, // the Chef server
		{"python3", "python3"}, // moto
		{"ssh", "openssh-client"},
		{"cp", "coreutils"},
	}
}

// extraPackages are needed too, but have no program of their own to look for:
// moto is installed into a virtual environment when it is not importable.
func extraPackages() []string { return []string{"python3-venv", "ca-certificates"} }

// deps prints the packages, one a line.
func deps(place, []string) (int, error) {
	for _, t := range hostTools() {
		fmt.Println(t.pkg)
	}
	for _, p := range extraPackages() {
		fmt.Println(p)
	}
	return 0, nil
}

// checkHost says in one line what keeps this machine from running a lab.
func checkHost() error {
	if os.Geteuid() != 0 {
		return fault.Newf(fault.Usage, "run it as root, for instance with sudo",
			"checking the machine: the lab needs root: it makes namespaces, mounts and cgroups")
	}
	var programs, packages []string
	for _, t := range hostTools() {
		if _, err := exec.LookPath(t.program); err != nil {
			programs, packages = append(programs, t.program), append(packages, t.pkg)
		}
	}
	if len(programs) > 0 {
		return fault.Newf(fault.Usage, "apt-get install "+strings.Join(packages, " "),
			"checking the machine: not installed: %s", strings.Join(programs, ", "))
	}
	return checkKernel()
}

// checkKernel looks for the file systems that guests and seal are made of.
func checkKernel() error {
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("checking the machine: %w", err)
	}
	for _, fs := range []string{"overlay", "cgroup2", "tmpfs"} {
		if strings.Contains(string(known), "\t"+fs+"\n") {
			continue
		}
		if fs == "overlay" && exec.Command("modprobe", "overlay").Run() == nil {
			continue // a module that nobody had needed yet
		}
		return fault.Newf(fault.Usage, "use a kernel with overlayfs, cgroup2 and tmpfs", "checking the machine: this kernel has no %s", fs)
	}
	return nil
}
