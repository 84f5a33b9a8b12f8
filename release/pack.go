package release

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"

	"bakehouse/internal/fault"
)

// The settings that make the bytes. Changing one, or the version of the zstd
// library, may change the ids of unchanged trees: harmless (the build is
// uploaded once more), and TestIDsStayTheSame tells.
const (
	level      = zstd.SpeedDefault
	windowSize = 4 << 20 // bytes; Unpack needs about as much memory
	copyBuffer = 256 << 10
)

// packedTime stands in every header, because file times differ from checkout to checkout.
func packedTime() time.Time { return time.Unix(946684800, 0) } // 2000-01-01 UTC

// Packed is what Pack wrote.
type Packed struct {
	ID           ID
	Size         int64 // bytes written
	UnpackedSize int64 // bytes of all regular files
	Files        int   // entries: files, directories and links
}

// Pack writes the tree below dir to w as a tar in a zstd frame and returns
// what it wrote. The same tree gives the same bytes anywhere: names sorted,
// times and owners fixed, modes 0755 (directories, and files that their owner
// may execute) or 0644. See IgnoreFile for what is left out.
//
// Refused with the path (fault.Usage): links that lead out of the tree,
// sockets, pipes and devices, a top-level file named RELEASE, and a tree
// without any file. Hard links become files of their own. Nothing is held in
// memory whole; a file that changes while it is packed is an error.
func Pack(ctx context.Context, dir string, w io.Writer) (Packed, error) {
	p, err := pack(ctx, dir, w)
	if err != nil {
		return Packed{}, fmt.Errorf("packing %s: %w", dir, err)
	}
	return p, nil
}

func pack(ctx context.Context, dir string, w io.Writer) (Packed, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return Packed{}, fault.New(fault.Usage, "give the directory that holds the built app", bare(err))
	}
	if !info.IsDir() {
		return Packed{}, fault.New(fault.Usage, "give the directory that holds the built app", errors.New("not a directory"))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Packed{}, bare(err)
	}
	defer root.Close()
	entries, err := scan(ctx, root)
	if err != nil {
		return Packed{}, err
	}
	out := &counter{w: w}
	sum := sha256.New()
	zw, err := zstd.NewWriter(io.MultiWriter(out, sum), zstd.WithEncoderLevel(level), zstd.WithWindowSize(windowSize),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return Packed{}, err
	}
	p := Packed{Files: len(entries)}
	p.UnpackedSize, err = writeTar(ctx, root, entries, zw)
	if err := errors.Join(err, zw.Close()); err != nil {
		return Packed{}, err
	}
	p.ID, p.Size = ID(hex.EncodeToString(sum.Sum(nil))), out.n
	return p, nil
}

func writeTar(ctx context.Context, root *os.Root, entries []entry, w io.Writer) (bytes int64, err error) {
	tw := tar.NewWriter(w)
	buf := make([]byte, copyBuffer)
	for _, e := range entries {
		if err := tw.WriteHeader(header(e)); err != nil {
			return 0, fmt.Errorf("%s: %w", e.name, err)
		}
		if !e.mode.IsRegular() {
			continue
		}
		if err := writeFile(ctx, root, e, tw, buf); err != nil {
			return 0, fmt.Errorf("%s: %w", e.name, err)
		}
		bytes += e.size
	}
	return bytes, tw.Close()
}

func header(e entry) *tar.Header {
	h := &tar.Header{Name: e.name, Mode: 0o644, ModTime: packedTime(), Typeflag: tar.TypeReg, Size: e.size}
	switch {
	case e.mode.IsDir():
		h.Typeflag, h.Name, h.Mode, h.Size = tar.TypeDir, e.name+"/", 0o755, 0
	case e.mode.Type() == fs.ModeSymlink:
		h.Typeflag, h.Linkname, h.Mode, h.Size = tar.TypeSymlink, e.link, 0o777, 0
	case e.mode&0o100 != 0:
		h.Mode = 0o755
	}
	return h
}

func writeFile(ctx context.Context, root *os.Root, e entry, w io.Writer, buf []byte) error {
	f, err := root.Open(e.name)
	if err != nil {
		return bare(err)
	}
	defer f.Close()
	n, err := io.CopyBuffer(onlyWriter{w}, until(ctx, io.LimitReader(f, e.size+1)), buf)
	switch {
	case errors.Is(err, tar.ErrWriteTooLong), err == nil && n != e.size:
		return fault.New(fault.Usage, "push when nothing writes to the tree any more", errors.New("changed while it was packed"))
	}
	return err
}

// bare takes the path off an error whose caller names it already.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	var l *os.LinkError
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// counter counts what passes.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// onlyWriter hides ReadFrom, so that CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// readerFunc is a function that is an io.Reader.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// until reads r and ends with the cause of ctx's end once ctx has ended.
func until(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(b []byte) (int, error) {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		return r.Read(b)
	})
}
