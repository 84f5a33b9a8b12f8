package bake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"

	"bakehouse/internal/fault"
)

// lockPath is the file whose lock says that the journal's bake lives. The
// journal itself is replaced with every entry and so cannot carry it.
func lockPath(journal string) string { return strings.TrimSuffix(journal, ".json") + ".lock" }

// lockBake takes the lock of a journal. The kernel drops it with the process,
// however that ends, so a dead bake never looks alive.
func lockBake(journal string) (*os.File, error) {
	f, err := os.OpenFile(lockPath(journal), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the journal's lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch id := strings.TrimSuffix(filepath.Base(journal), ".json"); {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fault.Newf(fault.Usage, "wait for it, or end it: bake-ami abort "+id, "locking the journal of bake %s: another process has it", id)
	default:
		err = fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return nil, errors.Join(err, f.Close())
}

// oldBake is a bake as its journal on this machine shows it.
type oldBake struct {
	journalFile
	path  string
	alive bool // its process still runs
}

// readJournals reads all journals below dir; a folder that is not there holds
// none.
func readJournals(dir string) (map[string]oldBake, error) {
	dir = filepath.Join(dir, "bakes")
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, fault.New(fault.Usage, "correct --state-dir", fmt.Errorf("looking for journals: %w", err))
	}
	all := map[string]oldBake{}
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // its bake ended just now
		}
		old := oldBake{path: path, alive: aliveBake(path)}
		if err == nil {
			err = json.Unmarshal(b, &old.journalFile)
		}
		if err != nil {
			return nil, fault.New(fault.Usage, "look at the file; it is the list of what a bake made", fmt.Errorf("reading journal %s: %w", path, err))
		}
		all[old.BakeID] = old
	}
	return all, nil
}

// JournalRegion is the region that a journal below stateDir names: that of the
// bake with the given id, or, without an id, of any bake; empty: none does.
func JournalRegion(stateDir, id string) (string, error) {
	bakes, err := readJournals(stateDir)
	for _, one := range slices.Sorted(maps.Keys(bakes)) {
		if id == "" || id == one {
			return bakes[one].Region, nil
		}
	}
	return "", err
}

// aliveBake says whether the bake of a journal holds its lock.
func aliveBake(journal string) bool {
	f, err := os.Open(lockPath(journal))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// forget removes the journal of a bake of which nothing is left.
func (o oldBake) forget() error {
	key := strings.TrimSuffix(o.path, ".json") + ".key"
	for _, path := range []string{lockPath(o.path), savedPath(o.path), key, key + ".known_hosts", o.path} {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing a journal: %w", err)
		}
	}
	return nil
}

// IsBakeID says whether s is the id of a bake.
func IsBakeID(s string) bool {
	_, err := ulid.ParseStrict(s)
	return err == nil && s == strings.ToUpper(s)
}

// endWait is how long a bake that was told to end may take to undo its work.
const endWait = 2 * time.Minute

// EndProcess tells a bake that runs on this machine to end, and waits until it
// has undone its work. One that does not run here is no error. A bake that
// does not end in time is a fault.Timeout: it still makes things.
func (s Sweeper) EndProcess(ctx context.Context, id string) error {
	bakes, err := readJournals(s.StateDir)
	b := bakes[id]
	if err != nil || !b.alive {
		return err
	}
	s.Reporter.Info(fmt.Sprintf("bake %s runs here as process %d: telling it to end", id, b.PID))
	process, err := os.FindProcess(b.PID)
	if err == nil {
		err = process.Signal(syscall.SIGTERM)
	}
	if err != nil {
		return fmt.Errorf("ending process %d of bake %s: %w", b.PID, id, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, endWait,
		fault.Newf(fault.Timeout, fmt.Sprintf("kill -9 %d, then abort again", b.PID), "bake %s did not end within %s", id, endWait))
	defer cancel()
	return poll(ctx, s.Clock, pace{First: 200 * time.Millisecond, Max: time.Second}, func(context.Context) (bool, error) { return !aliveBake(b.path), nil })
}
