package guest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// DefaultCgroup is the parent cgroup of the lab's guests.
const DefaultCgroup = "/sys/fs/cgroup/bakehouse-lab"

// complete checks the spec and fills in what it leaves open.
func (s Spec) complete() (Spec, error) {
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9-]{0,62}$`).MatchString(s.ID) {
		return s, fmt.Errorf("id %q is not a host name", s.ID)
	}
	if len(s.Layers) == 0 || s.StateDir == "" || s.Bridge == "" {
		return s, errors.New("layers, state directory and bridge are required")
	}
	for _, path := range append([]string{s.StateDir}, s.Layers...) {
		// overlayfs takes its layers as one string with these as separators.
		if !filepath.IsAbs(path) || strings.ContainsAny(path, ":,\\") {
			return s, fmt.Errorf("path %q is not absolute, or holds one of : , \\", path)
		}
	}
	if _, err := net.ParseMAC(s.MAC); err != nil {
		return s, fmt.Errorf("reading the MAC address: %w", err)
	}
	if s.UUID == "" {
		s.UUID = uuidOf(s.ID)
	}
	if s.Hostname == "" {
		s.Hostname = "ubuntu"
	}
	if s.Cgroup == "" {
		s.Cgroup = DefaultCgroup
	}
	if s.Grace == 0 {
		s.Grace = 30 * time.Second
	}
	return s, nil
}

// uuidOf derives a hypervisor UUID that cloud-init takes for EC2's: its Ec2 data
// source asks whether the file starts with "ec2".
func uuidOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	h := "ec2" + hex.EncodeToString(sum[:])[:29]
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:32])
}

func (s Spec) upper() string      { return filepath.Join(s.StateDir, "disk", "upper") }
func (s Spec) work() string       { return filepath.Join(s.StateDir, "disk", "work") }
func (s Spec) disk() string       { return filepath.Join(s.StateDir, "disk") }
func (s Spec) merged() string     { return filepath.Join(s.StateDir, "merged") }
func (s Spec) hypervisor() string { return filepath.Join(s.StateDir, "hypervisor") }
func (s Spec) cgroup() string     { return filepath.Join(s.Cgroup, s.ID) }

// hostLink names the bridge's end of the guest's cable: at most 15 characters.
func (s Spec) hostLink() string {
	sum := sha256.Sum256([]byte(s.ID))
	return "lab" + hex.EncodeToString(sum[:])[:12]
}
