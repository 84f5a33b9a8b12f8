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
	large *maker
	small *writers // while extract runs
}

func newTree(want Manifest, root *os.Root) *tree {
	return &tree{want: want, root: root, dirs: map[string]bool{".": true}, buf: make([]byte, copyBuffer), large: newMaker(root, want.CreatedAt)}
}

// errStopped ends the reading once a small file could not be written.
var errStopped = errors.New("a file could not be written")

// extract writes every entry of the archive r, which must end with it. When it
// returns, nobody writes any more.
func (t *tree) extract(r io.Reader) error {
	defer t.large.close()
	t.small = startWriters(t.root, t.want.CreatedAt)
	err := t.entries(r)
	if name, werr := t.small.finish(); werr != nil {
		return entryError(name, werr) // of an entry before the one that ended the reading
	}
	return err
}

// entries goes through the archive.
func (t *tree) entries(r io.Reader) error {
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
	return entryError(h.Name, err)
}

// entryError says which entry an error is about.
func entryError(name string, err error) error {
	switch broken := (*writeError)(nil); {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("entry %q: the name comes twice", name)
	case err == nil, errors.As(err, &broken):
		return err
	}
	return fmt.Errorf("entry %q: %w", name, err)
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
	if h.Size > smallFile {
		return t.stream(name, mode, content)
	}
	space := t.small.room(int(h.Size))
	if space == nil {
		return errStopped
	}
	if _, err := io.ReadFull(content, space); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	t.small.add(small{entry: t.files, name: name, mode: mode, content: space})
	return nil
}

// stream writes a large file while it is decoded.
func (t *tree) stream(name string, mode fs.FileMode, content io.Reader) error {
	f, err := t.large.create(name, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(disk{f}, content, t.buf)
	var broken *diskError
	switch cerr := t.large.done(f, mode); {
	case errors.As(err, &broken):
		return &writeError{name, bare(broken.err)}
	case err != nil:
		return fmt.Errorf("decoding: %w", err)
	case cerr != nil:
		return &writeError{name, bare(cerr)}
	}
	return nil
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
