package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"bakehouse/internal/fault"
)

// Bounds beside the manifest's own.
const (
	maxWindow = 32 << 20 // bytes of memory a zstd frame may ask for
	// entryOverhead bounds what tar adds to one entry: header, padding and,
	// for two names of up to 4 KiB, an extended header.
	entryOverhead = 16 << 10
)

// Unpack reads an artefact from r and writes its tree into root, which should
// be empty, in one pass. It returns nil only when every byte was read, their
// SHA-256 is want.ID and the tree is the one that want describes, and then the
// data is on disk (one syncfs of root's file system, where there is one); the
// caller syncs the directory that holds root and renames. After an error root
// holds a part of the tree, which the caller removes.
//
// Files are 0644, or 0755 when the archive says executable, and directories
// 0755, whatever the umask is. Their mtime is want.CreatedAt: the archive's
// own is the same for all builds, and web servers make ETags from mtime and
// length.
//
// Refused (fault.Check), with the entry's name: absolute names and names with
// "..", links that lead out of the tree, hard links, devices, set-id and sticky
// modes, names that come twice or lie in no directory of the archive, a
// top-level RELEASE; and more, or fewer, bytes or entries than want says. No
// more than want's bytes are ever written.
func Unpack(ctx context.Context, r io.Reader, want Manifest, root *os.Root) error {
	if err := want.Check(); err != nil {
		return fmt.Errorf("unpacking build: manifest: %w", err)
	}
	err := unpack(ctx, r, want, root)
	if err == nil {
		err = syncTree(root)
	}
	if err != nil {
		return fmt.Errorf("unpacking build %s: %w", want.ID.Short(), classify(err))
	}
	return nil
}

// unpack is Unpack without the sync.
func unpack(ctx context.Context, r io.Reader, want Manifest, root *os.Root) error {
	source := &digest{r: until(ctx, r), sum: sha256.New(), want: want}
	tree := newTree(want, root)
	err := extract(source, tree)
	if source.err != nil { // the source failed, whatever that looked like further up
		return source.err
	}
	var broken *writeError
	if errors.As(err, &broken) {
		return err
	}
	// Bytes that are not the build's explain everything else, so they come first.
	if derr := source.finish(); derr != nil {
		return derr
	}
	if err != nil {
		return err
	}
	return tree.finish()
}

// extract decodes source into tree.
func extract(source io.Reader, tree *tree) error {
	// No goroutines but ours: when extract returns, nobody else reads source.
	zr, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	defer zr.Close()
	limit := tree.want.UnpackedSize + int64(tree.want.Files)*entryOverhead + entryOverhead
	plain := readAhead(zr)
	defer plain.close() // before zr's
	return tree.extract(&bounded{r: plain, left: limit})
}

// errBomb ends the decoding of more than the manifest can account for.
var errBomb = errors.New("it unpacks to more bytes than the manifest says")

// bounded fails instead of reading more than left bytes.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBomb
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// digest hashes the artefact while it is read and fails as soon as it is
// longer than the manifest says.
type digest struct {
	r    io.Reader
	sum  hash.Hash
	n    int64
	want Manifest
	err  error // the first error of r that is not io.EOF, or that r is too long
}

func (d *digest) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.r.Read(p)
	d.n += int64(n)
	d.sum.Write(p[:n])
	switch {
	case d.n > d.want.Size:
		d.err = fmt.Errorf("the artefact is longer than the %d bytes of the manifest", d.want.Size)
		return 0, d.err
	case err != nil && !errors.Is(err, io.EOF):
		d.err = &readError{err}
		return n, d.err
	}
	return n, err
}

// finish reads what is left and compares length and digest.
func (d *digest) finish() error {
	if _, err := io.Copy(io.Discard, d); err != nil {
		return err
	}
	if d.n < d.want.Size {
		return fmt.Errorf("the artefact is cut off: %d of %d bytes", d.n, d.want.Size)
	}
	if got := hex.EncodeToString(d.sum.Sum(nil)); got != string(d.want.ID) {
		return fmt.Errorf("the bytes do not match the digest: they are %s, the build is %s", got, d.want.ID)
	}
	return nil
}

// readError is an error of the source, writeError one of the disk; all others
// are faults of the artefact.
type readError struct{ err error }

func (e *readError) Error() string { return "reading artefact: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

type writeError struct {
	name string
	err  error
}

func (e *writeError) Error() string { return "writing " + e.name + ": " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

func classify(err error) error {
	var read *readError
	var write *writeError
	switch {
	case errors.As(err, &read):
		return err // the caller's own error, with its own kind
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.Check, "free space on the disk of the app, or keep fewer releases", err)
	case errors.As(err, &write):
		return err
	}
	return fault.New(fault.Check, "push the build again from a clean tree and promote that", err)
}
