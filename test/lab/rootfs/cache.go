package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cache lays the finished and half-finished builds out on disk:
// rootfs/KEY, repo/KEY, rootfs/KEY.hold (flocked, shared, by every user of KEY),
// rootfs/.lock (flocked by the one builder) and rootfs/.tmp-… (half done).
type cache struct{ dir string }

func newCache(dir string) cache { return cache{dir: dir} }

func (c cache) root(key string) string { return filepath.Join(c.dir, "rootfs", key) }
func (c cache) repo(key string) string { return filepath.Join(c.dir, "repo", key) }

// open takes a shared hold on a finished build. The hold comes first and the
// look second, so a remover either sees the hold or has already removed.
func (c cache) open(key string) (Base, bool) {
	if _, err := os.Stat(c.root(key)); err != nil {
		return Base{}, false
	}
	hold, err := os.OpenFile(c.root(key)+".hold", os.O_RDONLY|os.O_CREATE, 0o644)
	if err != nil {
		return Base{}, false
	}
	if err := unix.Flock(int(hold.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		hold.Close()
		return Base{}, false
	}
	for _, dir := range []string{c.root(key), c.repo(key)} {
		if _, err := os.Stat(dir); err != nil {
			hold.Close()
			return Base{}, false
		}
	}
	return Base{Dir: c.root(key), RepoDir: c.repo(key), Key: key, Cached: true, hold: hold}, true
}

// openOlder opens the newest build of the same content, whatever its week.
func (c cache) openOlder(content string) (Base, bool) {
	keys := c.keys()
	sort.Sort(sort.Reverse(sort.StringSlice(keys)))
	for _, key := range keys {
		if !strings.HasPrefix(key, content+"-") {
			continue
		}
		if base, ok := c.open(key); ok {
			return base, true
		}
	}
	return Base{}, false
}

// keys lists the finished builds.
func (c cache) keys() []string {
	entries, err := os.ReadDir(filepath.Join(c.dir, "rootfs"))
	if err != nil {
		return nil
	}
	var keys []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			keys = append(keys, e.Name())
		}
	}
	return keys
}

// letGo gives up the lock on f and closes it. Closing alone is not enough: a
// process that is being started elsewhere has a copy of f until its exec, and
// with it the lock.
func letGo(f *os.File) error {
	return errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_UN), f.Close())
}

// lock waits for the builder's lock until ctx ends; waiting is called once when
// the lock is not free at first try.
func (c cache) lock(ctx context.Context, waiting func()) (unlock func(), err error) {
	dir := filepath.Join(c.dir, "rootfs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { letGo(f) }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", f.Name(), err)
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// temp makes a work directory on the cache's own file system, so that publish
// is a rename.
func (c cache) temp(key string) (string, error) {
	work := filepath.Join(c.dir, "rootfs", ".tmp-"+key)
	if err := os.RemoveAll(work); err != nil {
		return "", err
	}
	// apt's sandbox user and the root file system's own users walk through it.
	return work, os.MkdirAll(filepath.Join(work, "repo"), 0o755)
}

// sweepTemp removes what a killed build left. The caller holds the lock.
func (c cache) sweepTemp() {
	left, _ := filepath.Glob(filepath.Join(c.dir, "rootfs", ".tmp-*"))
	for _, dir := range left {
		os.RemoveAll(dir)
	}
}

// publish renames both trees into place, the root file system last.
func (c cache) publish(key, root, repo string) error {
	if err := os.MkdirAll(filepath.Join(c.dir, "repo"), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(c.repo(key)); err != nil {
		return err
	}
	if err := os.Rename(repo, c.repo(key)); err != nil {
		return err
	}
	return os.Rename(root, c.root(key))
}

// removeOthers removes every finished build but key that nobody holds.
func (c cache) removeOthers(key string, log func(string, ...any)) {
	for _, old := range c.keys() {
		if old == key {
			continue
		}
		if c.remove(old) {
			log("removed the older %s", old)
		}
	}
}

// remove takes a build away unless it is held. The root file system is renamed
// first, so that nobody opens a half-removed one.
func (c cache) remove(key string) bool {
	hold, err := os.OpenFile(c.root(key)+".hold", os.O_RDONLY|os.O_CREATE, 0o644)
	if err != nil {
		return false
	}
	defer hold.Close()
	if unix.Flock(int(hold.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false
	}
	gone := filepath.Join(c.dir, "rootfs", ".tmp-gone-"+key)
	if err := os.Rename(c.root(key), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	os.RemoveAll(gone)
	os.RemoveAll(c.repo(key))
	os.Remove(hold.Name())
	return true
}

// treeSize sums the sizes of the regular files below dir, in bytes.
func treeSize(dir string) int64 {
	var sum int64
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
