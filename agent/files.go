package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"bakehouse/internal/fault"
)

// tmpMark is in the name of everything that is not finished yet.
const tmpMark = ".tmp-"

// writeFile replaces path by content: temporary file, fsync, rename, fsync of
// the directory. After a crash at any point path is the old or the new file.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := mkdirAll(dir); err != nil {
		return err
	}
	tmp := filepath.Join(dir, tmpMark+filepath.Base(path))
	if err := writeSynced(tmp, content, mode); err != nil {
		return errors.Join(err, dropTemp(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, dropTemp(tmp))
	}
	return syncDir(dir)
}

// writeSynced creates path afresh with exactly mode and stores it.
func writeSynced(path string, content []byte, mode fs.FileMode) error {
	// A leftover may have another mode; a key must never be in it even briefly.
	if err := dropTemp(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

// dropTemp removes a temporary file that may not be there.
func dropTemp(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// syncDir stores the entries of a directory: a rename or a new file in it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// mkdirAll makes dir and stores every directory entry that it had to make.
func mkdirAll(dir string) error {
	var fresh []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); err == nil || d == filepath.Dir(d) {
			break
		}
		fresh = append(fresh, d)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, d := range fresh {
		if err := syncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// removeTemps removes what a killed run left unfinished in dir.
func removeTemps(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tmpMark) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("removing what an interrupted run left: %w", err)
			}
		}
	}
	return nil
}

// onDisk names the next step for the errors that a disk gives.
func onDisk(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.Check, noSpaceNext, err)
	case errors.Is(err, syscall.EROFS):
		return fault.New(fault.Check, "find out why the file system is read-only (dmesg), then run boot-agent first-boot", err)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Usage, "run boot-agent as root", err)
	}
	return err
}

const noSpaceNext = "free space on the instance, or bake with a larger bake.root_volume_gb"
