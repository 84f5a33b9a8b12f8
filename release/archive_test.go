package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"bakehouse/internal/fault"
)

// archived is a small tree as a tar: a directory entry, an executable, a link, a
// hard link.
func archived(t *testing.T, extra ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	tw := tar.NewWriter(&b)
	for _, h := range append([]*tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/run", Typeflag: tar.TypeReg, Mode: 0o755, Size: 3},
		{Name: "start", Typeflag: tar.TypeSymlink, Linkname: "bin/run"},
		{Name: "twin", Typeflag: tar.TypeLink, Linkname: "./bin/run"},
	}, extra...) {
		if err := tw.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(bytes.Repeat([]byte("x"), int(h.Size))); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zipped is the same tree as a zip.
func zipped(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	add := func(name string, mode os.FileMode, content string) {
		h := &zip.FileHeader{Name: name}
		h.SetMode(mode)
		w, err := zw.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(w, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("bin/run", 0o755, "xxx")
	add("start", 0o777|os.ModeSymlink, "bin/run")
	add("twin", 0o755, "xxx")
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compressed(t *testing.T, b []byte, open func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var out bytes.Buffer
	w := open(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// expandTo expands content under a file name and packs what came of it.
func expandTo(t *testing.T, name string, content []byte) (Packed, error) {
	t.Helper()
	file, dir := filepath.Join(t.TempDir(), name), t.TempDir()
	if err := os.WriteFile(file, content, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := Expand(context.Background(), file, root); err != nil {
		return Packed{}, err
	}
	return Pack(context.Background(), dir, io.Discard)
}

func TestEveryKindOfArchiveIsTheSameBuild(t *testing.T) {
	t.Parallel()
	plain := archived(t)
	ids := map[ID]string{}
	for name, content := range map[string][]byte{
		"app.tar": plain, "app.zip": zipped(t),
		"app.tgz": compressed(t, plain, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }),
		"APP.tar.zst": compressed(t, plain, func(w io.Writer) io.WriteCloser {
			zw, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return zw
		}),
	} {
		p, err := expandTo(t, name, content)
		if err != nil || p.Files != 4 || p.UnpackedSize != 6 {
			t.Fatalf("%s: %+v, %v", name, p, err)
		}
		ids[p.ID] = name
	}
	if len(ids) != 1 {
		t.Errorf("they are several builds: %v", ids)
	}
	if p, err := expandTo(t, "app.jar", zipped(t)); err != nil || p.Files != 1 {
		t.Errorf("a file that is no archive by its name: %+v, %v", p, err)
	}
}

func TestExpandRefuses(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		name    string
		content []byte
		says    string
	}{
		"a way out":      {"a.tar", archived(t, &tar.Header{Name: "../evil", Typeflag: tar.TypeReg, Mode: 0o644}), `"../evil": the name leads out`},
		"an absolute":    {"a.tar", archived(t, &tar.Header{Name: "/etc/evil", Typeflag: tar.TypeReg, Mode: 0o644}), "the name leads out"},
		"a link out":     {"a.tar", archived(t, &tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "/etc"}), "out"},
		"through a link": {"a.tar", archived(t, &tar.Header{Name: "up", Typeflag: tar.TypeSymlink, Linkname: ".."}, &tar.Header{Name: "up/evil", Typeflag: tar.TypeReg}), "up/evil"},
		"a device":       {"a.tar", archived(t, &tar.Header{Name: "null", Typeflag: tar.TypeChar}), `"null": it is a device`},
		"a name twice":   {"a.tar", archived(t, &tar.Header{Name: "bin/run", Typeflag: tar.TypeReg}), "comes twice"},
		"a cut archive":  {"a.tar", archived(t)[:1000], "unexpected EOF"},
		"no gzip":        {"a.tgz", archived(t), "gzip"},
		"no zip":         {"a.zip", archived(t), "zip"},
		"a hard way out": {"a.tar", archived(t, &tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../../etc/passwd"}), "leads out"},
	} {
		_, err := expandTo(t, c.name, c.content)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want a refusal that says %q", what, err, c.says)
		}
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := Expand(context.Background(), "/dev/null", root); fault.KindOf(err) != fault.Usage {
		t.Errorf("a device as archive: %v", err)
	}
}
