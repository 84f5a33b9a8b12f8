package host

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCopyPutsTheWholeFileInPlace(t *testing.T) {
	t.Parallel()
	s := connect(t, startMachine(t))
	path := filepath.Join(t.TempDir(), "new dir", "it's")
	content := bytes.Repeat([]byte{0, 1, '\n', 0xff}, 100_000)
	for _, mode := range []os.FileMode{0o600, 0o755} { // the second time over the first
		err := s.Copy(t.Context(), CopySpec{Path: path, Mode: mode, Sudo: true, Size: int64(len(content)), Content: bytes.NewReader(content)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("read back %d bytes of %d, %v", len(got), len(content), err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("mode %v, want %v (%v)", info.Mode(), mode, err)
		}
	}
	if err := s.Copy(t.Context(), CopySpec{Path: path, Mode: 0o644, Content: strings.NewReader("")}); err != nil {
		t.Errorf("empty file: %v", err)
	}
}

func TestCopyLeavesTheOldFileWhenItFails(t *testing.T) {
	t.Parallel()
	s := connect(t, startMachine(t))
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk on fire")
	cases := []struct {
		name string
		spec CopySpec
		want string
	}{
		{"too short", CopySpec{Size: 5, Content: strings.NewReader("new")}, "got 3 bytes instead of 5"},
		{"too long", CopySpec{Size: 2, Content: strings.NewReader("new")}, "got 3 bytes instead of 2"},
		{"reader fails", CopySpec{Size: 5, Content: io.MultiReader(strings.NewReader("ne"), iotest.ErrReader(broken))}, "reading the content: disk on fire"},
		{"no such owner", CopySpec{Size: 3, Content: strings.NewReader("new"), Owner: "nobody-here"}, "nobody-here"},
		{"owner is no name", CopySpec{Size: 3, Content: strings.NewReader("new"), Owner: "-R /"}, "is not user or user:group"},
		{"no content", CopySpec{Size: 3}, "no content or size"},
	}
	for _, c := range cases {
		c.spec.Path, c.spec.Mode = path, 0o644
		err := s.Copy(t.Context(), c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "copying to "+path) {
			t.Errorf("%s: %v, want it to hold %q", c.name, err, c.want)
		}
		if got, _ := os.ReadFile(path); string(got) != "old" {
			t.Errorf("%s: the file now holds %q", c.name, got)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: something was left behind: %v", c.name, left)
		}
	}
	for _, bad := range []string{"", "rel", "/", "/a/../b", "/a/"} {
		if err := s.Copy(t.Context(), CopySpec{Path: bad, Content: strings.NewReader("")}); err == nil {
			t.Errorf("path %q was accepted", bad)
		}
	}
}
