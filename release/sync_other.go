//go:build !linux

package release

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// syncTree syncs file by file: only Linux has syncfs.
func syncTree(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		f, err := root.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return &writeError{name, bare(err)}
		}
		defer f.Close()
		if err := f.Sync(); err != nil {
			return &writeError{name, bare(err)}
		}
		return nil
	})
}

// setTime sets the times of f, a file of dir.
func setTime(dir *os.Root, f *os.File, at time.Time) error {
	return dir.Chtimes(filepath.Base(f.Name()), at, at)
}
