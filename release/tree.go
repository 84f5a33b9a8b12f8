package release

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// tree is what is being unpacked: the bounds and what has been written.
type tree struct {
	want  Manifest
	root  *os.Root
	dirs  map[string]bool
	links []string
	files int
	bytes int64
	buf   []byte
	at    string   // the directory that was written to last
	atDir *os.Root // at, opened; nil: none
}

func newTree(want Manifest, root *os.Root) *tree {
	return &tree{want: want, root: root, dirs: map[string]bool{".": true}, buf: make([]byte, copyBuffer)}
}

// extract writes every entry of the archive r, which must end with it.
func (t *tree) extract(r io.Reader) error {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("decoding: %w", err)
		}
		if err := t.add(h, tr); err != nil {
			return err
		}
	}
	switch n, err := io.Copy(io.Discard, r); {
	case err != nil:
		return fmt.Errorf("decoding: %w", err)
	case n > 0:
		return errors.New("more data follows after the end of the archive")
	}
	return nil
}

func (t *tree) add(h *tar.Header, content io.Reader) error {
	if t.files++; t.files > t.want.Files {
		return fmt.Errorf("it holds more entries than the manifest's %d", t.want.Files)
	}
	name, err := t.checkName(h)
	if err != nil {
		return fmt.Errorf("entry %q: %w", h.Name, err)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		err = t.mkdir(name)
	case tar.TypeReg:
		err = t.write(name, h, content)
	case tar.TypeSymlink:
		err = t.symlink(name, h.Linkname)
	default:
		err = fmt.Errorf("it is %s; a build holds files, directories and symbolic links", typeName(h.Typeflag))
	}
	switch broken := (*writeError)(nil); {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("entry %q: the name comes twice", h.Name)
	case err == nil, errors.As(err, &broken):
		return err
	}
	return fmt.Errorf("entry %q: %w", h.Name, err)
}

// checkName refuses names and modes that Pack never makes.
func (t *tree) checkName(h *tar.Header) (string, error) {
	name := h.Name
	if h.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	switch {
	case path.IsAbs(name):
		return "", errors.New("the name is absolute")
	case !filepath.IsLocal(name) || strings.ContainsRune(name, 0):
		return "", errors.New("the name leads out of the tree")
	case name == "." || path.Clean(name) != name:
		return "", errors.New("the name is not in its shortest form")
	case name == FileName:
		return "", errors.New("the agent writes that file itself")
	case h.Mode&^0o777 != 0:
		return "", fmt.Errorf("mode %#o has set-id or sticky bits", h.Mode)
	case !t.dirs[path.Dir(name)]:
		return "", errors.New("no directory of the archive holds it")
	}
	return name, nil
}

func (t *tree) mkdir(name string) error {
	if err := t.root.Mkdir(name, 0o755); err != nil {
		return &writeError{name, bare(err)}
	}
	t.dirs[name] = true
	if err := t.root.Chmod(name, 0o755); err != nil { // past the umask
		return &writeError{name, bare(err)}
	}
	return nil
}

func (t *tree) write(name string, h *tar.Header, content io.Reader) error {
	if h.Size > t.want.UnpackedSize-t.bytes {
		return fmt.Errorf("its %d bytes are more than the manifest says (%d in all)", h.Size, t.want.UnpackedSize)
	}
	t.bytes += h.Size
	mode := fs.FileMode(0o644)
	if h.Mode&0o100 != 0 {
		mode = 0o755
	}
	dir, err := t.parent(name)
	if err != nil {
		return &writeError{name, bare(err)}
	}
	f, err := dir.OpenFile(path.Base(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return &writeError{name, bare(err)}
	}
	_, err = io.CopyBuffer(disk{f}, content, t.buf)
	var broken *diskError
	switch cerr := errors.Join(f.Chmod(mode), setTime(dir, f, t.want.CreatedAt), f.Close()); {
	case errors.As(err, &broken):
		return &writeError{name, bare(broken.err)}
	case err != nil:
		return fmt.Errorf("decoding: %w", err)
	case cerr != nil:
		return &writeError{name, bare(cerr)}
	}
	return nil
}

// parent opens the directory that holds name, once for all files that follow
// each other in it: os.Root would walk down to it with every call.
func (t *tree) parent(name string) (*os.Root, error) {
	dir := path.Dir(name)
	switch {
	case dir == ".":
		return t.root, nil
	case t.atDir != nil && t.at == dir:
		return t.atDir, nil
	}
	t.close()
	opened, err := t.root.OpenRoot(dir)
	if err == nil {
		t.at, t.atDir = dir, opened
	}
	return opened, err
}

// close lets go of the directory that was written to last.
func (t *tree) close() {
	if t.atDir != nil {
		_ = t.atDir.Close() // it was only looked through
		t.atDir = nil
	}
}

func (t *tree) symlink(name, target string) error {
	if err := checkTarget(name, target); err != nil {
		return err
	}
	if err := t.root.Symlink(target, name); err != nil {
		return &writeError{name, bare(err)}
	}
	t.links = append(t.links, name)
	return nil
}

// finish follows the links, which is possible only now, because each may lead
// through others, and compares the whole tree with the manifest.
func (t *tree) finish() error {
	for _, name := range t.links {
		target, err := t.root.Readlink(name)
		if err != nil {
			return &writeError{name, bare(err)}
		}
		if err := checkLink(t.root, name, target); err != nil {
			return fmt.Errorf("entry %q: %w", name, err)
		}
	}
	if t.files != t.want.Files || t.bytes != t.want.UnpackedSize {
		return fmt.Errorf("it holds %d entries and %d bytes, the manifest says %d and %d",
			t.files, t.bytes, t.want.Files, t.want.UnpackedSize)
	}
	return nil
}

// disk marks the errors of writing, so that they are told from those of reading.
type disk struct{ f *os.File }

func (d disk) Write(b []byte) (int, error) {
	n, err := d.f.Write(b)
	if err != nil {
		return n, &diskError{err}
	}
	return n, nil
}

type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }

func typeName(flag byte) string {
	switch flag {
	case tar.TypeLink:
		return "a hard link"
	case tar.TypeChar, tar.TypeBlock:
		return "a device"
	case tar.TypeFifo:
		return "a named pipe"
	}
	return fmt.Sprintf("of type %q", flag)
}
