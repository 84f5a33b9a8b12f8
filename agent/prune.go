package agent

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"bakehouse/release"
)

// retention says which releases stay on disk.
type retention struct {
	count int   // the ones that were live last
	bytes int64 // of those that stay, together; 0: no limit
	spare []release.ID
	// busy says whether something runs from a directory, or works in it.
	busy func(dir string) (bool, error)
}

// stored is a release on disk.
type stored struct {
	id   release.ID
	used time.Time
}

// prune removes the releases that were live longest ago, down to what r says;
// the spared and the busy ones stay, whatever they count and weigh.
func (l Layout) prune(r retention) error {
	all, err := l.stored()
	if err != nil {
		return err
	}
	total := int64(0)
	for i, o := range all {
		size := int64(0)
		if r.bytes > 0 {
			if size, err = treeSize(l.Release(o.id)); err != nil {
				return fmt.Errorf("measuring release %s: %w", o.id.Short(), err)
			}
		}
		fits := i < r.count && (r.bytes == 0 || total+size <= r.bytes)
		if !fits && !slices.Contains(r.spare, o.id) {
			gone, err := l.drop(o.id, r.busy)
			if err != nil {
				return fmt.Errorf("removing old release %s: %w", o.id.Short(), err)
			}
			if gone {
				continue
			}
		}
		total += size
	}
	return nil
}

// stored lists the releases on disk, the one that was live last first.
func (l Layout) stored() ([]stored, error) {
	entries, err := os.ReadDir(l.Releases())
	if err != nil {
		return nil, fmt.Errorf("listing releases: %w", err)
	}
	var all []stored
	for _, e := range entries {
		id, err := release.ParseID(e.Name())
		if err != nil {
			continue // not ours
		}
		if info, err := e.Info(); err == nil {
			all = append(all, stored{id, info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b stored) int {
		return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.id, b.id))
	})
	return all, nil
}

// drop removes a release unless it is busy.
func (l Layout) drop(id release.ID, busy func(string) (bool, error)) (gone bool, err error) {
	if used, err := busy(l.Release(id)); used || err != nil {
		return false, err
	}
	// Renamed first: a half-removed tree must not pass for a release.
	tmp := filepath.Join(l.Releases(), tmpMark+"old-"+id.Short())
	if err := os.Rename(l.Release(id), tmp); err != nil {
		return false, err
	}
	return true, os.RemoveAll(tmp)
}

// treeSize sums the files below dir.
func treeSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
