// Package guest runs one machine of the lab: a container that boots real systemd
// and real cloud-init from stacked image layers, with a network card of its own
// on the lab's bridge. It stands where EC2's hypervisor stands: it knows power
// on, graceful stop, hard stop, reboot, console output and disk snapshots, and
// nothing of EC2's API.
//
// It runs inside the lab's seal, which gives it: private mounts, a tmpfs on /run,
// a fresh read-only sysfs on /sys, cgroup2 on /sys/fs/cgroup, and the bridge.
package guest
