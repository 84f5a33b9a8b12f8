package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"bakehouse/release"
)

// Layout is where an app lives on an instance:
//
//	ROOT/releases/ID   whole releases only; an unfinished one is .tmp-…
//	ROOT/current       link to the live one, changed by rename(2)
//	ROOT/shared        the app's own, kept over deploys
type Layout struct{ Root string }

// Releases is the directory of all releases.
func (l Layout) Releases() string { return filepath.Join(l.Root, "releases") }

// Release is the directory of one release.
func (l Layout) Release(id release.ID) string { return filepath.Join(l.Releases(), string(id)) }

// Current is the link to the live release.
func (l Layout) Current() string { return filepath.Join(l.Root, "current") }

// Shared is the directory that outlives releases.
func (l Layout) Shared() string { return filepath.Join(l.Root, "shared") }

// Live returns the build that current points at, or "" when there is none.
func (l Layout) Live() release.ID {
	target, err := os.Readlink(l.Current())
	if err != nil {
		return ""
	}
	id, err := release.ParseID(filepath.Base(target))
	if err != nil {
		return ""
	}
	return id
}

// Has says whether a whole release of id is on disk: it was renamed into place
// with its RELEASE file, which happens only after its digest was right.
func (l Layout) Has(id release.ID) bool {
	// A release is its app's own, which could put a pipe there to keep us waiting.
	f, err := os.OpenFile(filepath.Join(l.Release(id), release.FileName), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return false
	}
	b, err := io.ReadAll(io.LimitReader(f, 128))
	return err == nil && strings.TrimSpace(string(b)) == string(id)
}

// prepare removes what a killed run left and makes the directories. A new
// shared has its owner, by own, before it has its name: once it is there it is
// the app's own, and nobody looks at its owner again.
func (l Layout) prepare(own func(dir string) error) error {
	if err := mkdirAll(l.Releases()); err != nil {
		return fmt.Errorf("making %s: %w", l.Releases(), onDisk(err))
	}
	if err := errors.Join(removeTemps(l.Releases()), removeTemps(l.Root)); err != nil {
		return err
	}
	if _, err := os.Stat(l.Shared()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	tmp := filepath.Join(l.Root, tmpMark+"shared")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", l.Shared(), onDisk(err))
	}
	if err := own(tmp); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	err := os.Rename(tmp, l.Shared())
	if err == nil {
		err = syncDir(l.Root)
	}
	return wrap("making "+l.Shared(), onDisk(err))
}

// place turns the unpacked tree at tmp into the release id. The caller has
// stored the tree on disk before.
func (l Layout) place(tmp string, id release.ID) error {
	// Something that is not a whole release may be in the way.
	if err := os.RemoveAll(l.Release(id)); err != nil {
		return fmt.Errorf("removing a broken release: %w", err)
	}
	if err := os.Rename(tmp, l.Release(id)); err != nil {
		return fmt.Errorf("moving the release into place: %w", err)
	}
	return syncDir(l.Releases())
}

// switchTo makes id the live release: whoever opens current sees the old or
// the new one, at every moment and after every crash.
func (l Layout) switchTo(id release.ID, now time.Time) error {
	// The newest times are the ones that prune keeps.
	if err := os.Chtimes(l.Release(id), now, now); err != nil {
		return fmt.Errorf("marking release %s as used: %w", id.Short(), err)
	}
	if l.Live() == id {
		return syncDir(l.Root) // whoever switched may have been killed before this
	}
	if info, err := os.Lstat(l.Current()); err == nil && info.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("switching to release %s: %s is not a link", id.Short(), l.Current())
	}
	tmp := filepath.Join(l.Root, tmpMark+"current")
	if err := dropTemp(tmp); err != nil {
		return fmt.Errorf("switching to release %s: %w", id.Short(), err)
	}
	err := os.Symlink(filepath.Join("releases", string(id)), tmp)
	if err == nil {
		err = os.Rename(tmp, l.Current())
	}
	if err == nil {
		err = syncDir(l.Root)
	}
	return wrap("switching to release "+id.Short(), err)
}
