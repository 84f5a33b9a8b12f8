package reap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"bakehouse/internal/fault"
)

// ErrTaken says that somebody else wrote the document since it was read.
var ErrTaken = errors.New("somebody else wrote it meanwhile")

// Document is a small file or object. Version is what a conditional write
// compares; "" means that there is none.
type Document struct {
	Body    []byte
	Version string
}

// Store keeps the ledger, the lease and what was removed. Names are relative
// paths with slashes. Files and S3 are two implementations with one meaning.
type Store interface {
	// Read returns the zero Document when there is none.
	Read(ctx context.Context, name string) (Document, error)
	// Write replaces the document if its version is still that ("": if there
	// is none), and returns the new version; else it returns ErrTaken.
	Write(ctx context.Context, name, version string, body []byte) (string, error)
	// List returns the names that begin with prefix, sorted.
	List(ctx context.Context, prefix string) ([]string, error)
	// String names the store for messages.
	String() string
}

// Files is a Store in a folder, made when missing. Nodes hold attributes that
// may be private: folder and files are the owner's alone.
type Files struct{ Dir string }

// String is the folder.
func (f Files) String() string { return f.Dir }

// Read implements Store.
func (f Files) Read(_ context.Context, name string) (Document, error) {
	b, err := os.ReadFile(filepath.Join(f.Dir, filepath.FromSlash(name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Document{}, nil
	case err != nil:
		return Document{}, f.failed("reading", name, err)
	}
	return Document{b, digest(b)}, nil
}

// Write implements Store. A lock file makes compare and replace one step for
// all processes of this machine; the data is on disk when it returns.
func (f Files) Write(ctx context.Context, name, version string, body []byte) (string, error) {
	path := filepath.Join(f.Dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", f.failed("writing", name, err)
	}
	unlock, err := lock(filepath.Join(f.Dir, ".lock"))
	if err != nil {
		return "", f.failed("writing", name, err)
	}
	defer unlock()
	now, err := f.Read(ctx, name)
	if err != nil {
		return "", err
	}
	if now.Version != version {
		return "", fmt.Errorf("writing %s: %w", path, ErrTaken)
	}
	if err := replace(path, body); err != nil {
		return "", f.failed("writing", name, err)
	}
	return digest(body), nil
}

// List implements Store.
func (f Files) List(_ context.Context, prefix string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(f.Dir, path)
		if name := filepath.ToSlash(rel); err == nil && strings.HasPrefix(name, prefix) && !strings.HasSuffix(name, tempSuffix) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return nil, f.failed("listing", prefix, err)
	}
	slices.Sort(names)
	return names, nil
}

func (f Files) failed(doing, name string, err error) error {
	return fault.New(fault.Usage, "make "+f.Dir+" writable, or name another place (reaper.state, reaper.saves)", fmt.Errorf("%s %s: %w", doing, name, err))
}

const tempSuffix = ".new"

// replace writes a file so that a crash leaves the old or the new one.
func replace(path string, body []byte) error {
	f, err := os.OpenFile(path+tempSuffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// lock takes an advisory lock; the kernel drops it when the process dies.
func lock(path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
