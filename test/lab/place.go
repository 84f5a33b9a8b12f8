//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"bakehouse/internal/fault"
	"bakehouse/test/lab/company"
	"bakehouse/test/lab/control"
	"bakehouse/test/lab/seal"
)

// place is where a lab keeps what outlives it (cache) and what does not (run).
// Two places are two labs: they share nothing and may be up side by side.
type place struct{ cache, run string }

// sealMark is a file inside the seal that holds the run directory's path: who
// sees it is inside already.
const sealMark = company.StateDir + "/sealed"

// findPlace follows the environment; it makes nothing.
func findPlace(getenv func(string) string) (place, error) {
	cache := getenv("BAKEHOUSE_LAB_CACHE")
	if cache == "" {
		base := getenv("XDG_CACHE_HOME")
		if base == "" {
			home := getenv("HOME")
			if home == "" {
				home = "/root" // some init systems give services none
			}
			base = filepath.Join(home, ".cache")
		}
		cache = filepath.Join(base, "bakehouse-lab")
	}
	cache, err := filepath.Abs(cache)
	if err != nil {
		return place{}, fmt.Errorf("finding the lab's cache: %w", err)
	}
	if cache == "/run" || strings.HasPrefix(cache, "/run/") || strings.ContainsAny(cache, ":,\\") {
		return place{}, fault.Newf(fault.Usage, "set BAKEHOUSE_LAB_CACHE to a directory on disk, for instance /var/cache/bakehouse-lab",
			"finding the lab's cache: %s will not do: it must lie outside /run and hold none of : , \\", cache)
	}
	return place{cache, filepath.Join(cache, "run")}, nil
}

// cgroup is the parent of this lab's guests in the cgroup tree.
func (p place) cgroup() string {
	sum := sha256.Sum256([]byte(p.run))
	return "bakehouse-lab-" + hex.EncodeToString(sum[:4])
}

func (p place) client() *control.Client { return control.NewClient(p.run) }

// record names process 1 of a seal, seen from outside.
type record struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start_ticks"` // with the pid it names a process for good
}

func (p place) recordPath() string { return filepath.Join(p.run, "lab.json") }

// logPath is where the company itself writes; its services have logs of their own.
func (p place) logPath() string { return filepath.Join(p.run, "lab.log") }

// running returns the process of this place's lab; ok is false when it is not
// up, whatever a killed one has left.
func (p place) running() (r record, ok bool, err error) {
	b, err := os.ReadFile(p.recordPath())
	if errors.Is(err, os.ErrNotExist) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("finding the lab: %w", err)
	}
	if json.Unmarshal(b, &r) != nil {
		return record{}, false, nil // cut off by a crash: whoever wrote it is gone
	}
	return r, seal.Alive(r.PID, r.Start), nil
}

func (p place) writeRecord(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("noting the lab's process: %w", err)
	}
	if err := os.WriteFile(p.recordPath()+".new", b, 0o600); err != nil {
		return fmt.Errorf("noting the lab's process: %w", err)
	}
	if err := os.Rename(p.recordPath()+".new", p.recordPath()); err != nil {
		return fmt.Errorf("noting the lab's process: %w", err)
	}
	return nil
}

// inside tells whether this process already lives in this place's seal.
func (p place) inside() bool {
	b, err := os.ReadFile(sealMark)
	return err == nil && string(b) == p.run
}

// lock keeps two ups and downs of one place apart; the kernel drops it with the
// process.
func (p place) lock() (unlock func(), err error) {
	if err := os.MkdirAll(p.run, 0o700); err != nil {
		return nil, fmt.Errorf("making the lab's run directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(p.run, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the lab: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fault.Newf(fault.Usage, "wait for it and try again", "locking the lab: another `lab up` or `lab down` is at work")
	}
	return func() { _ = f.Close() }, nil
}

// sweep removes what a killed lab leaves: namespaces and mounts died with it,
// these did not.
func (p place) sweep() ([]string, error) {
	removed, err := seal.SweepCgroups(p.cgroup())
	for _, name := range []string{"lab.json", "lab.json.new", control.SocketName} {
		path := filepath.Join(p.run, name)
		switch rmErr := os.Remove(path); {
		case rmErr == nil:
			removed = append(removed, path)
		case !errors.Is(rmErr, os.ErrNotExist):
			err = errors.Join(err, fmt.Errorf("sweeping: %w", rmErr))
		}
	}
	return removed, err
}
