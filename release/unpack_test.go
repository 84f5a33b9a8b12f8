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
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/klauspost/compress/zstd"

	"bakehouse/internal/fault"
)

func created() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// item is one entry of a hand-made archive.
type item struct {
	name, link string
	kind       byte // 0: a file
	mode       int64
	body       string
}

func archive(t testing.TB, items ...item) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, i := range items {
		h := &tar.Header{Name: i.name, Linkname: i.link, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(i.body))}
		if i.kind != 0 {
			h.Typeflag = i.kind
		}
		if i.mode != 0 {
			h.Mode = i.mode
		}
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, i.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func squeeze(t testing.TB, b []byte) []byte {
	t.Helper()
	zw, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return zw.EncodeAll(b, nil)
}

// manifestOf describes artifact with generous bounds.
func manifestOf(artifact []byte) Manifest {
	sum := sha256.Sum256(artifact)
	return NewManifest("web", Packed{ID: ID(hex.EncodeToString(sum[:])), Size: int64(len(artifact)), UnpackedSize: 1 << 10, Files: 10}, created())
}

// into opens a fresh root one level below a directory that must stay empty otherwise.
func into(t testing.TB) (root *os.Root, dir string) {
	t.Helper()
	dir = filepath.Join(memoryDir(t), "release")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, dir
}

// memoryDir is a temporary directory in memory where there is one: the code
// under test makes and syncs many files, and a busy disk would make the suite slow.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "release-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// onlyRelease fails when something was written beside the root.
func onlyRelease(t testing.TB, dir string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(list) != 1 {
		t.Fatalf("beside the release lies %v (%v)", list, err)
	}
}

func TestUnpackGivesBackWhatPackTook(t *testing.T) {
	t.Parallel()
	artifact, p := mustPack(t, plant(t, sample()))
	root, dir := into(t)
	// One byte a read: the shape of the source does not matter.
	if err := Unpack(context.Background(), iotest.OneByteReader(bytes.NewReader(artifact)), NewManifest("web", p, created()), root); err != nil {
		t.Fatal(err)
	}
	if _, again := mustPack(t, dir); again != p {
		t.Errorf("packed again it is %+v, was %+v", again, p)
	}
	for name, mode := range map[string]fs.FileMode{"web": 0o755, "public/index.html": 0o644, "public": 0o755 | fs.ModeDir, "public/empty": 0o755 | fs.ModeDir} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v (%v)", name, info.Mode(), mode, err)
		}
		if !info.IsDir() && !info.ModTime().Equal(created()) {
			t.Errorf("%s has mtime %v, want the manifest's %v", name, info.ModTime(), created())
		}
	}
}

func TestUnpackRefusesEntries(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 2<<10)
	many := make([]item, 11)
	for i := range many {
		many[i] = item{name: string(rune('a' + i))}
	}
	cases := []struct {
		name  string
		items []item
		want  string
	}{
		{"an absolute path", []item{{name: "/etc/x"}}, `entry "/etc/x": the name is absolute`},
		{"a path with ..", []item{{name: "../x"}}, `entry "../x": the name leads out of the tree`},
		{"a path with .. inside", []item{{name: "a/../../x"}}, "the name leads out of the tree"},
		{"a path not cleaned", []item{{name: "a/../x"}}, "not in its shortest form"},
		{"the top itself", []item{{name: "./", kind: tar.TypeDir}}, "not in its shortest form"},
		{"a link outside", []item{{name: "l", kind: tar.TypeSymlink, link: "../x"}}, `entry "l": link to "../x" leaves the tree`},
		{"an absolute link", []item{{name: "l", kind: tar.TypeSymlink, link: "/etc"}}, `link to the absolute path "/etc"`},
		{"a link outside through a link", []item{{name: "d/", kind: tar.TypeDir}, {name: "d/out", kind: tar.TypeSymlink, link: "up/../x"},
			{name: "d/up", kind: tar.TypeSymlink, link: ".."}}, `entry "d/out": link to "up/../x" leaves the tree`},
		{"a file through a link", []item{{name: "d/", kind: tar.TypeDir}, {name: "l", kind: tar.TypeSymlink, link: "d"}, {name: "l/x"}},
			`entry "l/x": no directory of the archive holds it`},
		{"a hard link outside", []item{{name: "h", kind: tar.TypeLink, link: "../x"}}, `entry "h": it is a hard link`},
		{"a device", []item{{name: "null", kind: tar.TypeChar}}, `entry "null": it is a device`},
		{"a disk", []item{{name: "sda", kind: tar.TypeBlock}}, `entry "sda": it is a device`},
		{"a pipe", []item{{name: "p", kind: tar.TypeFifo}}, "it is a named pipe"},
		{"setuid", []item{{name: "s", mode: 0o4755}}, "mode 04755 has set-id or sticky bits"},
		{"setgid directory", []item{{name: "s/", kind: tar.TypeDir, mode: 0o2755}}, "mode 02755 has set-id"},
		{"a name twice", []item{{name: "x"}, {name: "x"}}, `entry "x": the name comes twice`},
		{"a directory over a file", []item{{name: "x"}, {name: "x/", kind: tar.TypeDir}}, "the name comes twice"},
		{"RELEASE", []item{{name: "RELEASE"}}, "the agent writes that file itself"},
		{"too many entries", many, "more entries than the manifest's 10"},
		{"too many bytes", []item{{name: "big", body: big}}, `entry "big": its 2048 bytes are more than the manifest says (1024 in all)`},
	}
	for _, c := range cases {
		root, dir := into(t)
		artifact := squeeze(t, archive(t, c.items...))
		err := Unpack(context.Background(), bytes.NewReader(artifact), manifestOf(artifact), root)
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Check {
			t.Errorf("%s: error %v, want a check fault with %q", c.name, err, c.want)
		}
		onlyRelease(t, dir)
	}
}

func TestUnpackComparesWithTheManifest(t *testing.T) {
	t.Parallel()
	plain := archive(t, item{name: "x", body: "hello"})
	good := squeeze(t, plain)
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	bomb := squeeze(t, append(bytes.Clone(plain), make([]byte, 64<<20)...))
	trailed := squeeze(t, append(bytes.Clone(plain), "hidden"...))
	exact := manifestOf(good)
	exact.Files, exact.UnpackedSize = 1, 5
	alike := func(artifact []byte) Manifest { // honest about the bytes of artifact, bounds of good
		m := manifestOf(artifact)
		m.Files, m.UnpackedSize = 1, 5
		return m
	}
	cases := []struct {
		name     string
		artifact []byte
		want     Manifest
		text     string
	}{
		{"other bytes", flipped, exact, "the bytes do not match the digest: they are "},
		{"cut off", good[:len(good)-4], exact, "the artefact is cut off: "},
		{"nothing", nil, exact, "the artefact is cut off: 0 of "},
		{"more behind", append(bytes.Clone(good), 'x'), exact, "the artefact is longer than the "},
		{"garbage behind the frame", append(bytes.Clone(good), "garbage"...), alike(append(bytes.Clone(good), "garbage"...)), "decoding: "},
		{"data behind the archive", trailed, alike(trailed), "more data follows after the end of the archive"},
		{"a bomb", bomb, alike(bomb), "more bytes than the manifest says"},
		{"no zstd", plain, alike(plain), "decoding: "},
		{"an archive cut off", squeeze(t, plain[:514]), alike(squeeze(t, plain[:514])), "decoding: "},
		{"fewer entries", good, manifestOf(good), "it holds 1 entries and 5 bytes, the manifest says 10 and 1024"},
		{"an unchecked manifest", good, Manifest{}, "manifest: format is 0"},
	}
	for _, c := range cases {
		root, dir := into(t)
		err := Unpack(context.Background(), bytes.NewReader(c.artifact), c.want, root)
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.text)
		}
		onlyRelease(t, dir)
	}
	root, _ := into(t)
	if err := Unpack(context.Background(), bytes.NewReader(good), exact, root); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestUnpackKeepsTheErrorOfItsSource(t *testing.T) {
	t.Parallel()
	artifact, p := mustPack(t, plant(t, sample()))
	m := NewManifest("web", p, created())
	reset := fault.New(fault.AWS, "try again", errors.New("connection reset"))
	root, _ := into(t)
	broken := io.MultiReader(bytes.NewReader(artifact[:40]), iotest.ErrReader(reset))
	if err := Unpack(context.Background(), broken, m, root); !errors.Is(err, reset) || fault.KindOf(err) != fault.AWS {
		t.Errorf("a broken connection: %v, want the source's own error and kind", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("host is going down"))
	if err := Unpack(ctx, bytes.NewReader(artifact), m, root); err == nil || !strings.Contains(err.Error(), "host is going down") {
		t.Errorf("cancelled: %v, want the cause", err)
	}
}

func TestUnpackSaysWhatItCouldNotWrite(t *testing.T) {
	t.Parallel()
	artifact, p := mustPack(t, plant(t, sample()))
	root, dir := into(t)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	err := Unpack(context.Background(), bytes.NewReader(artifact), NewManifest("web", p, created()), root)
	if err == nil || !strings.Contains(err.Error(), "writing current: no such file or directory") {
		t.Errorf("a vanished directory: %v", err)
	}
}

// FuzzUnpack throws archives at Unpack, as tar (whole) or as artefact bytes:
// whatever comes, nothing lies outside the root, and no link leads there.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, item{name: "d/", kind: tar.TypeDir, mode: 0o755}, item{name: "d/x", body: "hello"}, item{name: "l", kind: tar.TypeSymlink, link: "d/x"}), true)
	f.Add(archive(f, item{name: "../x", body: "out"}), true)
	f.Add(archive(f, item{name: "l", kind: tar.TypeSymlink, link: ".."}, item{name: "l/x", body: "out"}), true)
	f.Add(archive(f, item{name: "h", kind: tar.TypeLink, link: "/etc/passwd"}), true)
	f.Add(archive(f, item{name: strings.Repeat("n", 200), body: strings.Repeat("b", 2<<10)}), true)
	f.Add(squeeze(f, archive(f, item{name: "x", body: "hello"})), false)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd}, false)
	f.Fuzz(func(t *testing.T, data []byte, isTar bool) {
		artifact := data
		if isTar {
			artifact = squeeze(t, data)
		}
		root, dir := into(t)
		err := unpack(context.Background(), bytes.NewReader(artifact), manifestOf(artifact), root)
		onlyRelease(t, dir)
		if err != nil {
			return
		}
		top, err := filepath.EvalSymlinks(dir)
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.Type() != fs.ModeSymlink {
				return err
			}
			if to, err := filepath.EvalSymlinks(name); err == nil && to != top && !strings.HasPrefix(to, top+"/") {
				t.Errorf("%s leads to %s", name, to)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
