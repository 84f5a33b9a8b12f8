package release

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"bakehouse/internal/fault"
)

// plant writes a tree: "dir/" makes a directory, "name" a file with the given
// text, "name@" a link to it, "name*" an executable file.
func plant(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(mapKeys(files)) {
		text, full := files[name], filepath.Join(dir, strings.TrimRight(name, "@*"))
		err := os.MkdirAll(filepath.Dir(full), 0o755)
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(full, 0o755)
		case strings.HasSuffix(name, "@"):
			err = os.Symlink(text, full)
		case strings.HasSuffix(name, "*"):
			err = os.WriteFile(full, []byte(text), 0o755)
		default:
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func sample() map[string]string {
	return map[string]string{"web*": "binary", "public/index.html": "<h1>", "public/empty/": "", "current@": "public/index.html", "tmp@": "not/there"}
}

func mustPack(t *testing.T, dir string) ([]byte, Packed) {
	t.Helper()
	var buf bytes.Buffer
	p, err := Pack(context.Background(), dir, &buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes(), p
}

// entries lists an artefact as "mode name[ -> target]" lines.
func entries(t *testing.T, artifact []byte) []string {
	t.Helper()
	zr, err := zstd.NewReader(bytes.NewReader(artifact))
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	var list []string
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		line := fs.FileMode(h.Mode).String() + " " + h.Name
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || !h.ModTime.Equal(packedTime()) {
			t.Errorf("%s carries an owner or a time: %+v", h.Name, h)
		}
		list = append(list, line)
	}
}

func TestPackSortsAndNormalises(t *testing.T) {
	t.Parallel()
	artifact, p := mustPack(t, plant(t, sample()))
	want := []string{"-rwxrwxrwx current -> public/index.html", "-rwxr-xr-x public/", "-rwxr-xr-x public/empty/",
		"-rw-r--r-- public/index.html", "-rwxrwxrwx tmp -> not/there", "-rwxr-xr-x web"}
	if got := entries(t, artifact); !slices.Equal(got, want) {
		t.Errorf("entries\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	sum := sha256.Sum256(artifact)
	if string(p.ID) != hex.EncodeToString(sum[:]) || p.Size != int64(len(artifact)) || p.UnpackedSize != 10 || p.Files != 6 {
		t.Errorf("packed %+v does not describe the %d bytes", p, len(artifact))
	}
}

func TestPackGivesTheSameIDForTheSameTree(t *testing.T) {
	t.Parallel()
	_, want := mustPack(t, plant(t, sample()))
	other := plant(t, sample())
	when := time.Now().Add(-100 * time.Hour)
	for name, mode := range map[string]fs.FileMode{"web": 0o711, "public/index.html": 0o600, "public": 0o700} {
		full := filepath.Join(other, name)
		if err := errors.Join(os.Chmod(full, mode), os.Chtimes(full, when, when)); err != nil {
			t.Fatal(err)
		}
	}
	if _, got := mustPack(t, other); got != want {
		t.Errorf("times and modes changed the build: %+v, want %+v", got, want)
	}
	if err := os.Chmod(filepath.Join(other, "web"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, got := mustPack(t, other); got.ID == want.ID {
		t.Error("the executable bit does not count")
	}
}

// TestIDsStayTheSame pins the bytes over machines, Go and library versions. A
// new zstd that compresses otherwise is no fault: put the new id here and say
// in the change that every unchanged tree will be uploaded once more.
func TestIDsStayTheSame(t *testing.T) {
	t.Parallel()
	files := sample()
	files["big.txt"] = strings.Repeat("the same words again and again, ", 200_000)
	_, p := mustPack(t, plant(t, files))
	if want := ID("e27e71e20528d061e94d60c2b51c051d747265fe1f1b41f698f1e99a25d399d1"); p.ID != want {
		t.Errorf("id is %s, was %s", p.ID, want)
	}
}

func TestPackLeavesOutWhatDeployignoreNames(t *testing.T) {
	t.Parallel()
	dir := plant(t, map[string]string{
		IgnoreFile: "# what stays here\n\n*.log\n!keep.log\n/top.txt\nlogs/\ncache/**\n!cache/seed\na/**/z\n",
		"x.log":    "", "a/x.log": "", "keep.log": "k", "top.txt": "", "a/top.txt": "t", "logs/x": "", "a/logs": "file",
		"cache/y": "", "cache/seed": "s", "a/z": "", "a/b/c/z": "", "a/b/zz": "z", ".git/HEAD": "", "sub/.git": "",
	})
	artifact, _ := mustPack(t, dir)
	var got []string
	for _, line := range entries(t, artifact) {
		if name := strings.Fields(line)[1]; !strings.HasSuffix(name, "/") {
			got = append(got, name)
		}
	}
	if want := []string{"a/b/zz", "a/logs", "a/top.txt", "cache/seed", "keep.log"}; !slices.Equal(got, want) {
		t.Errorf("packed %q, want %q", got, want)
	}
}

func TestPackRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"an empty tree", map[string]string{"a/b/": ""}, "there is no file to pack"},
		{"a tree of ignored files", map[string]string{"a": "", IgnoreFile: "a"}, "there is no file to pack"},
		{"an absolute link", map[string]string{"f": "", "a/l@": "/etc/passwd"}, `a/l: link to the absolute path "/etc/passwd"`},
		{"a link out of the tree", map[string]string{"f": "", "a/l@": "../../x"}, `a/l: link to "../../x" leaves the tree`},
		{"a link that leaves through another", map[string]string{"f": "", "d/up@": "..", "d/out@": "up/../x"}, `d/out: link to "up/../x" leaves the tree`},
		{"a link in a circle", map[string]string{"f": "", "l@": "l"}, `l: link to "l" leaves the tree or has no end`},
		{"a RELEASE file", map[string]string{"RELEASE": ""}, "RELEASE: the agent writes a file of that name"},
		{"a malformed pattern", map[string]string{"f": "", IgnoreFile: "\n[a"}, `.deployignore:2: "[a": the pattern is malformed`},
		{"a pattern that climbs", map[string]string{"f": "", IgnoreFile: "../x"}, `.deployignore:1: "../x": element ".."`},
	}
	for _, c := range cases {
		_, err := Pack(context.Background(), plant(t, c.files), io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: error %v (kind %d), want a usage fault with %q", c.name, err, fault.KindOf(err), c.want)
		}
	}
}

func TestPackRefusesSpecialFiles(t *testing.T) {
	t.Parallel()
	dir := plant(t, map[string]string{"f": ""})
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pack(context.Background(), dir, io.Discard); err == nil || !strings.Contains(err.Error(), "pipe: it is a named pipe") {
		t.Errorf("a named pipe: %v", err)
	}
	// A socket's path is short (108 bytes), so it gets a directory of its own.
	short, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	l, err := net.Listen("unix", filepath.Join(short, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Pack(context.Background(), short, io.Discard); err == nil || !strings.Contains(err.Error(), "sock: it is a socket") {
		t.Errorf("a socket: %v", err)
	}
}

func TestPackNamesADirectoryThatIsNone(t *testing.T) {
	t.Parallel()
	dir := plant(t, map[string]string{"f": ""})
	for path, want := range map[string]string{dir + "/f": "not a directory", dir + "/none": "no such file or directory"} {
		_, err := Pack(context.Background(), path, io.Discard)
		if err == nil || err.Error() != "packing "+path+": "+want || fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v, want a usage fault %q", path, err, want)
		}
	}
}

func TestPackEndsWithItsContextAndItsWriter(t *testing.T) {
	t.Parallel()
	dir := plant(t, sample())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Pack(ctx, dir, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("disk full")
	if _, err := Pack(context.Background(), dir, failing{full}); !errors.Is(err, full) {
		t.Errorf("failing writer: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// growing appends to a file of the tree while the tree is packed.
type growing struct{ path string }

func (g growing) Write(b []byte) (int, error) {
	return len(b), os.WriteFile(g.path, []byte("longer than before"), 0o644)
}

func TestPackNoticesAFileThatChanges(t *testing.T) {
	t.Parallel()
	// The first file is larger than the encoder's buffers, so that its bytes
	// reach the writer before the last file is opened.
	big := make([]byte, 16<<20)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	dir := plant(t, map[string]string{"a": string(big), "z": "short"})
	_, err := Pack(context.Background(), dir, growing{filepath.Join(dir, "z")})
	if err == nil || !strings.Contains(err.Error(), "z: changed while it was packed") {
		t.Errorf("a file that grew: %v", err)
	}
}
