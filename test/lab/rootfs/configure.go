package rootfs

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// files are laid over the fresh root file system as they are.
//
//go:embed all:files
var files embed.FS

// masked lists units that only cost a guest time: there is no terminal to log
// in at, no disk to trim and no clock to set in a container.
func masked() []string {
	return []string{
		"console-getty.service", "getty@.service", "fstrim.timer",
		"systemd-pstore.service", "systemd-timesyncd.service", "ifupdown-pre.service",
		"e2scrub_all.timer", "e2scrub_reap.service", "systemd-udevd.service",
		"dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount",
		"sys-kernel-tracing.mount",
		// Debian 13 puts /tmp into memory; Ubuntu has it on the disk, and so in images.
		"tmp.mount",
	}
}

// born lists what an image must not have, because each instance makes its own.
func born() []string {
	return []string{
		"etc/ssh/ssh_host_*", "var/lib/dbus/machine-id", "etc/machine-id", "etc/resolv.conf",
		"etc/apt/sources.list.d/*", "etc/apt/apt.conf.d/99mmdebstrap", "var/lib/apt/lists/*",
		"var/cache/apt/*.bin", "var/cache/apt/archives/*.deb", "var/log/*.log", "var/log/apt/*",
	}
}

// configure turns a plain Debian tree into the lab's base image.
func configure(root, suite string) error {
	for _, pattern := range born() {
		if err := removeAll(filepath.Join(root, pattern)); err != nil {
			return err
		}
	}
	if err := layFiles(root); err != nil {
		return err
	}
	// Empty, not missing: systemd then makes an id without taking the boot for
	// the very first one, which would reset all unit presets (machine-id(5)).
	if err := os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o644); err != nil {
		return err
	}
	// On /run, so that a second boot does not start with the name server of the
	// first: cloud-init looks names up before there is a network, and each of two
	// look-ups would wait 5 s.
	if err := os.Symlink("/run/resolv.conf", filepath.Join(root, "etc/resolv.conf")); err != nil {
		return err
	}
	for _, unit := range masked() {
		link := filepath.Join(root, "etc/systemd/system", unit)
		if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink("/dev/null", link); err != nil {
			return err
		}
	}
	stamp := filepath.Join(root, "etc/bakehouse-lab-base")
	return appendLine(stamp, "Built from the suite "+suite+".")
}

// layFiles copies the embedded files into root, mode 0644.
func layFiles(root string) error {
	return fs.WalkDir(files, "files", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dst := filepath.Join(root, strings.TrimPrefix(path, "files"))
		if d.IsDir() {
			return os.MkdirAll(dst, 0o755)
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(dst, data, 0o644); err != nil {
			return fmt.Errorf("laying %s: %w", strings.TrimPrefix(path, "files"), err)
		}
		return nil
	})
}

func removeAll(pattern string) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
