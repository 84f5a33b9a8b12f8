package guest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mount puts the guest's disk together: the image's layers below, what the guest
// writes above, the two shown as one in StateDir/merged.
func (g *Guest) mount() error {
	s := g.spec
	for _, dir := range []string{s.disk(), s.merged(), s.hypervisor()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := mountDisk(s); err != nil {
		return err
	}
	for _, dir := range []string{s.upper(), s.work()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(s.hypervisor(), "uuid"), []byte(s.UUID+"\n"), 0o444); err != nil {
		return err
	}
	// redirect_dir and metacopy would make the upper layer refer to the layers
	// below by path; off, a snapshot of it is whole in itself.
	options := "lowerdir=" + strings.Join(s.Layers, ":") + ",upperdir=" + s.upper() + ",workdir=" + s.work() +
		",redirect_dir=off,metacopy=off,index=off"
	if len(options) >= os.Getpagesize() {
		return fmt.Errorf("stacking %d layers: their paths are longer than mount(2) takes", len(s.Layers))
	}
	if err := unix.Mount("overlay", s.merged(), "overlay", 0, options); err != nil {
		return fmt.Errorf("stacking the layers %s: %w", strings.Join(s.Layers, ":"), err)
	}
	return nil
}

// mountDisk gives the guest a disk of its own size, so that a guest which fills
// its disk fills only that. A disk from an earlier run stays.
func mountDisk(s Spec) error {
	if s.Disk == 0 || isMountPoint(s.disk()) {
		return nil
	}
	options := fmt.Sprintf("size=%d,mode=0755", s.Disk)
	if err := unix.Mount("tmpfs", s.disk(), "tmpfs", 0, options); err != nil {
		return fmt.Errorf("making a disk of %d bytes: %w", s.Disk, err)
	}
	return nil
}

// isMountPoint compares the device with the parent's.
func isMountPoint(dir string) bool {
	var here, above unix.Stat_t
	if unix.Stat(dir, &here) != nil || unix.Stat(filepath.Dir(dir), &above) != nil {
		return false
	}
	return here.Dev != above.Dev
}

// unmount takes the overlay away. It is lazy, so that a reader of the merged tree
// (a backup, a shell) cannot keep the guest from ending.
func (g *Guest) unmount() error { return detach(g.spec.merged()) }

func detach(dir string) error {
	err := unix.Unmount(dir, unix.MNT_DETACH)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil // EINVAL: not a mount point
	}
	return fmt.Errorf("unmounting %s: %w", dir, err)
}

// removeState removes a stopped guest's directory.
func removeState(s Spec) error {
	if err := errors.Join(detach(s.merged()), detach(s.disk())); err != nil {
		return err
	}
	// The container's own left-over when it was killed.
	propagate := filepath.Join("/run/systemd/nspawn/propagate", s.ID)
	return errors.Join(os.RemoveAll(s.StateDir), os.RemoveAll(propagate))
}

// Snapshot copies a guest's upper directory to dst, which appears whole or not
// at all and can then be a layer: ownership, extended attributes, links and
// overlayfs's marks for removed files are kept. The guest may run (then the copy
// is what a disk holds after a power cut), or be stopped.
func Snapshot(ctx context.Context, upper, dst string) error {
	if _, err := os.Lstat(dst); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("taking snapshot %s: %w", dst, fs.ErrExist)
	}
	temp := dst + ".part"
	if err := os.RemoveAll(temp); err != nil {
		return fmt.Errorf("taking snapshot %s: %w", dst, err)
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return fmt.Errorf("taking snapshot %s: %w", dst, err)
	}
	cmd := exec.CommandContext(ctx, "cp", "--archive", "--reflink=auto", "--no-target-directory", "--", upper, temp)
	out, err := cmd.CombinedOutput()
	// A running guest removes files while cp walks over them.
	if err != nil && ctx.Err() == nil && onlyVanished(string(out)) {
		err = nil
	}
	if err == nil {
		err = os.Rename(temp, dst)
	}
	if err != nil {
		return fmt.Errorf("taking snapshot %s: %w", dst, errors.Join(ctx.Err(), err, lastLine(out), os.RemoveAll(temp)))
	}
	return nil
}

func onlyVanished(out string) bool {
	for line := range strings.Lines(out) {
		if !strings.Contains(line, "No such file or directory") {
			return false
		}
	}
	return out != ""
}

// lastLine turns a command's output into an error, or nil when it said nothing.
func lastLine(out []byte) error {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return errors.New(last)
	}
	return nil
}
