// Package cloudinit holds what the baker leaves in an image so that the agent
// runs once cloud-init has set the instance up.
//
// It is a systemd unit and not a cloud-init script: cloud-init marks a
// per-instance script as done before it runs it, never runs it again, and
// "cloud-init clean" deletes it. All of it lies below /etc/systemd/system,
// which no clean-up of cloud-init touches.
package cloudinit

import (
	"embed"
	"fmt"
	"io/fs"
)

// Names of the systemd units.
const (
	Unit      = "bakehouse-first-boot.service" // runs the first boot
	WatchUnit = "bakehouse-watch.service"      // leaves when the instance's end is announced
)

const unitDir = "/etc/systemd/system/"

//go:embed files
var files embed.FS

// File is one entry to make in an image, owned by root. Its directory may have
// to be made too (0755).
type File struct {
	Path    string      // absolute
	Mode    fs.FileMode // permission bits, or fs.ModeSymlink for a link
	Content []byte      // of a regular file
	Link    string      // target of a symbolic link; then Mode is fs.ModeSymlink and Content is nil
}

// Files lists what to make, in this order. The links are what
// "systemctl enable" would make; as data they need no running systemd.
func Files() ([]File, error) {
	unit, err := files.ReadFile("files/" + Unit)
	if err != nil {
		return nil, fmt.Errorf("reading the first-boot unit: %w", err)
	}
	watch, err := files.ReadFile("files/" + WatchUnit)
	if err != nil {
		return nil, fmt.Errorf("reading the watch unit: %w", err)
	}
	return []File{
		{Path: unitDir + Unit, Mode: 0o644, Content: unit},
		{Path: unitDir + WatchUnit, Mode: 0o644, Content: watch},
		{Path: unitDir + "multi-user.target.wants/" + WatchUnit, Mode: fs.ModeSymlink, Link: unitDir + WatchUnit},
		{Path: unitDir + "multi-user.target.wants/" + Unit, Mode: fs.ModeSymlink, Link: unitDir + Unit},
	}, nil
}
