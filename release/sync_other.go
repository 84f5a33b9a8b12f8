//go:build !linux

package release

import (
	"io/fs"
	"os"
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
