package release

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// crowd is an archive of many small files, and a few large ones between them.
func crowd(t *testing.T, n int, alter func(i int, e *item)) (artifact []byte, want Manifest, items []item) {
	t.Helper()
	var bytes int64
	for i := range n {
		if i%300 == 0 {
			items = append(items, item{name: fmt.Sprintf("d%03d/", i/300), kind: tar.TypeDir, mode: 0o755})
		}
		size := i % 7000
		if i%400 == 399 {
			size = smallFile + i
		}
		e := item{name: fmt.Sprintf("d%03d/f%05d", i/300, i), body: strings.Repeat(string(rune('a'+i%26)), size)}
		if i%3 == 0 {
			e.mode = 0o755
		}
		if alter != nil {
			alter(i, &e)
		}
		bytes += int64(len(e.body))
		items = append(items, e)
	}
	artifact = squeeze(t, archive(t, items...))
	want = manifestOf(artifact)
	want.Files, want.UnpackedSize = len(items), bytes
	return artifact, want, items
}

// wrote compares a tree with the items that it was made of.
func wrote(t *testing.T, dir string, items []item) {
	t.Helper()
	for _, i := range items {
		if i.kind != 0 {
			continue
		}
		mode := fs.FileMode(0o644)
		if i.mode != 0 {
			mode = fs.FileMode(i.mode)
		}
		path := filepath.Join(dir, i.name)
		got, err := os.ReadFile(path)
		if err != nil || string(got) != i.body {
			t.Fatalf("%s: %d bytes (%v), want the %d of the archive", i.name, len(got), err, len(i.body))
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != mode || !info.ModTime().Equal(created()) {
			t.Fatalf("%s: %v (%v), want %v and the manifest's time", i.name, info, err, mode)
		}
	}
}

func TestManyFilesAreWrittenWhole(t *testing.T) {
	t.Parallel()
	artifact, want, items := crowd(t, 2000, nil)
	root, dir := into(t)
	if err := Unpack(context.Background(), bytes.NewReader(artifact), want, root); err != nil {
		t.Fatal(err)
	}
	wrote(t, dir, items)
}

// No t.Parallel: the umask is the process's.
func TestTheUmaskDoesNotShow(t *testing.T) {
	artifact, want, items := crowd(t, 500, nil)
	root, dir := into(t)
	defer syscall.Umask(syscall.Umask(0o077))
	if err := Unpack(context.Background(), bytes.NewReader(artifact), want, root); err != nil {
		t.Fatal(err)
	}
	wrote(t, dir, items)
	if info, err := os.Stat(filepath.Join(dir, "d000")); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("a directory: %v (%v)", info, err)
	}
}

// Several files that cannot be written are told by the first in the archive,
// although they are written side by side.
func TestTheFirstOfSeveralErrorsIsTold(t *testing.T) {
	t.Parallel()
	artifact, want, _ := crowd(t, 2000, func(i int, e *item) {
		if i == 500 || i == 600 || i == 1000 || i > 1500 {
			e.name = fmt.Sprintf("d000/%05d", i) + strings.Repeat("n", 300) // no file system takes it
		}
	})
	for range 10 {
		root, dir := into(t)
		err := unpack(context.Background(), bytes.NewReader(artifact), want, root)
		if err == nil || !strings.Contains(err.Error(), "writing d000/00500nnn") {
			t.Fatalf("error is %v, want the name of the first bad entry", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "d000/f00002")); err != nil {
			t.Fatalf("a file before the first bad one: %v", err)
		}
	}
}
