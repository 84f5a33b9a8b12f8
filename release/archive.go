package release

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"bakehouse/internal/fault"
)

// Archives lists the endings of the file names that Expand unpacks.
func Archives() []string {
	return []string{".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.zst", ".tzst", ".zip"}
}

// Expand puts what file holds into root, which should be empty, for Pack to
// pack: an archive, told by its name (Archives), is unpacked; any other regular
// file becomes the only file of the tree, under its own name, executable if it
// is. Hard links become files of their own.
//
// Refused (fault.Usage), with the entry's name: names that lead out of the
// tree, devices, sockets and pipes, names that come twice; and a damaged archive.
func Expand(ctx context.Context, file string, root *os.Root) error {
	err := expand(ctx, file, root)
	if err != nil && fault.NextOf(err) == "" && ctx.Err() == nil {
		err = fault.New(fault.Usage, "make the archive again, or give the directory that holds the built app", err)
	}
	if err != nil {
		return fmt.Errorf("unpacking %s: %w", file, err)
	}
	return nil
}

func expand(ctx context.Context, file string, root *os.Root) error {
	f, err := os.Open(file)
	if err != nil {
		return bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return bare(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("neither a directory nor a regular file")
	}
	x := &expansion{root: root}
	whole := until(ctx, f)
	name := strings.ToLower(filepath.Base(file))
	switch {
	case strings.HasSuffix(name, ".zip"):
		return x.zip(ctx, f, info.Size())
	case strings.HasSuffix(name, ".tar"):
		return x.tar(whole)
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		z, err := gzip.NewReader(whole)
		if err != nil {
			return err
		}
		return x.tar(z)
	case strings.HasSuffix(name, ".tar.bz2"), strings.HasSuffix(name, ".tbz2"):
		return x.tar(bzip2.NewReader(whole))
	case strings.HasSuffix(name, ".tar.zst"), strings.HasSuffix(name, ".tzst"):
		z, err := zstd.NewReader(whole, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return err
		}
		defer z.Close()
		return x.tar(z)
	}
	return x.write(filepath.Base(file), info.Mode(), whole)
}

// expansion is an archive being unpacked.
type expansion struct{ root *os.Root }

func (x *expansion) tar(r io.Reader) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.entry(h, tr); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
}

func (x *expansion) entry(h *tar.Header, content io.Reader) error {
	name, err := inside(h.Name)
	if err != nil || name == "." {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return x.root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		return x.write(name, h.FileInfo().Mode(), content)
	case tar.TypeSymlink:
		return x.link(name, h.Linkname)
	case tar.TypeLink:
		return x.copy(name, h.Linkname)
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("it is %s", typeName(h.Typeflag))
}

func (x *expansion) zip(ctx context.Context, f io.ReaderAt, size int64) error {
	zr, err := zip.NewReader(f, size)
	if err != nil {
		return err
	}
	for _, e := range zr.File {
		if err := x.zipped(ctx, e); err != nil {
			return fmt.Errorf("entry %q: %w", e.Name, err)
		}
	}
	return nil
}

func (x *expansion) zipped(ctx context.Context, e *zip.File) error {
	name, err := inside(e.Name)
	if err != nil || name == "." {
		return err
	}
	mode := e.Mode()
	if mode.IsDir() {
		return x.root.MkdirAll(name, 0o755)
	}
	r, err := e.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	switch {
	case mode&fs.ModeSymlink != 0:
		target, err := io.ReadAll(io.LimitReader(r, 4096))
		if err != nil {
			return err
		}
		return x.link(name, string(target))
	case !mode.IsRegular():
		return fmt.Errorf("it is %s", kindOf(mode))
	}
	return x.write(name, mode, until(ctx, r))
}

// inside returns an entry's name as a path below the tree.
func inside(name string) (string, error) {
	clean := path.Clean(strings.TrimSuffix(name, "/"))
	if !filepath.IsLocal(clean) || strings.ContainsRune(name, 0) {
		return "", errors.New("the name leads out of the tree")
	}
	return clean, nil
}

func (x *expansion) write(name string, mode fs.FileMode, content io.Reader) error {
	if err := x.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return bare(err)
	}
	f, err := x.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600|mode.Perm()&0o111)
	if errors.Is(err, fs.ErrExist) {
		return errors.New("the name comes twice")
	}
	if err != nil {
		return bare(err)
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// link makes a symbolic link; Pack refuses one that leads out of the tree.
func (x *expansion) link(name, target string) error {
	if err := x.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return bare(err)
	}
	return bare(x.root.Symlink(target, name))
}

// copy makes a file of its own of a hard link.
func (x *expansion) copy(name, target string) error {
	target, err := inside(target)
	if err != nil {
		return err
	}
	f, err := x.root.Open(target)
	if err != nil {
		return bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return bare(err)
	}
	return x.write(name, info.Mode(), f)
}
