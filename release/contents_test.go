package release

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

// packed packs a small tree and returns artefact and manifest.
func packed(t *testing.T) ([]byte, Manifest) {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"run": 0o755, "lib/data": 0o644} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("run", filepath.Join(dir, "start")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := Pack(context.Background(), dir, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), NewManifest("web", p, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
}

func TestContentsNamesEveryEntry(t *testing.T) {
	t.Parallel()
	body, m := packed(t)
	got := map[string]Entry{}
	if err := Contents(context.Background(), bytes.NewReader(body), m, func(e Entry) { got[e.Name] = e }); err != nil {
		t.Fatal(err)
	}
	if len(got) != m.Files || !got["lib"].Directory || got["start"].Link != "run" || !got["run"].Executable || got["lib/data"].Executable {
		t.Errorf("entries are %+v", got)
	}
	if e := got["lib/data"]; e.Size != 19 || len(e.SHA256) != 64 || e.SHA256 == got["run"].SHA256 {
		t.Errorf("lib/data is %+v", e)
	}
}

func TestContentsRefusesOtherBytes(t *testing.T) {
	t.Parallel()
	body, m := packed(t)
	for what, bad := range map[string][]byte{
		"cut off":  body[:len(body)-3],
		"too long": append(bytes.Clone(body), 0),
		"changed":  append(bytes.Clone(body[:len(body)-1]), body[len(body)-1]^1),
		"no zstd":  bytes.Repeat([]byte{7}, len(body)),
	} {
		err := Contents(context.Background(), bytes.NewReader(bad), m, func(Entry) {})
		if fault.KindOf(err) != fault.Check {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := Contents(context.Background(), bytes.NewReader(body), Manifest{}, func(Entry) {}); err == nil {
		t.Error("an empty manifest passes")
	}
}
