package inventory

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bakehouse/internal/fault"
)

// update rewrites the golden files instead of comparing with them.
var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares got with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (go test -update rewrites it):\n%s", name, d)
	}
}

// guest is what a real machine said, with some lines added.
func guest(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("testdata/guest.txt")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sample is an inventory of that machine.
func sample(t *testing.T) Inventory {
	t.Helper()
	f, err := Parse(guest(t))
	if err != nil {
		t.Fatal(err)
	}
	return Inventory{Format: Format, BakeID: "01JZ0000000000000000000001", Role: "web", ImageName: "web-1", Facts: f,
		BakedAt: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), BaseID: "ami-base", BaseName: "ubuntu-24.04",
		Cookbooks: []Cookbook{{"base", "1.0.0", "aaaaaaaaaaaaaaaaaaaa"}, {"web", "1.2.3", "bbbbbbbbbbbbbbbbbbbb"}},
		Settings:  map[string]string{"environment": "prod", "root_volume_gb": "20"}}
}

func TestTheGuestsAnswerIsRead(t *testing.T) {
	t.Parallel()
	i := sample(t)
	b, err := i.JSON()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "inventory.json", b)
	back, err := Decode("x", b)
	if err != nil || cmp.Diff(i, back) != "" {
		t.Errorf("it does not come back: %v\n%s", err, cmp.Diff(i, back))
	}
}

func TestHalfAnAnswerIsRefused(t *testing.T) {
	t.Parallel()
	whole := guest(t)
	change := func(old, to string) string { return strings.Replace(whole, old, to, 1) }
	for name, c := range map[string]struct{ out, want string }{
		"nothing":          {"", "ends before section [os]"},
		"cut off":          {whole[:len(whole)-20], "ends before section [end]"},
		"noise before":     {"sudo: hello\n" + whole, "line 1"},
		"noise after":      {whole + "more\n", "belongs to no section"},
		"section missing":  {change("[kernel]\n", ""), "ends before section"},
		"no distribution":  {change("\nID=debian\n", "\n"), "the distribution"},
		"no architecture":  {change("[arch]\namd64\n", "[arch]\n"), "the architecture"},
		"no agent":         {change("boot-agent 0.9.1\n", ""), "the agent's version"},
		"no Chef":          {change("cinc\t18.7.10-1\n", "cinc\n"), "the Chef client"},
		"odd package line": {change("dash\t0.5.12-2\t", "dash 0.5.12-2 "), "six words"},
		"no version":       {change("dash\t0.5.12-2\t", "dash\t\t"), "package dash"},
		"no package":       {whole[:strings.Index(whole, "[packages]")] + "[packages]\n[end]\n", "no package"},
	} {
		if _, err := Parse(c.out); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	b, err := os.ReadFile("testdata/guest.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("[os]\nID='a\n[arch]\n\n[base]\n[kernel]\n[agent]\nx\n[chef]\na\tb\n[packages]\na\tb\tc\tinstalled\t\t\n[end]\n")
	f.Fuzz(func(t *testing.T, out string) {
		facts, err := Parse(out)
		if err != nil {
			return
		}
		i := Inventory{BakeID: "b", Facts: facts}
		b, err := i.JSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode("x", b)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !Compare(Named{"a", back}, Named{"b", back}).Empty() {
			t.Error("an inventory differs from itself")
		}
		if _, err := i.SBOM(); err != nil {
			t.Error(err)
		}
	})
}

func TestFilesThatHoldNoInventoryAreRefused(t *testing.T) {
	t.Parallel()
	b, err := sample(t).JSON()
	if err != nil {
		t.Fatal(err)
	}
	whole := string(b)
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "no JSON"},
		"text":          {"ami-1", "no JSON"},
		"another JSON":  {`{"a": 1}`, "neither"},
		"a list":        {`[]`, "no JSON"},
		"later format":  {strings.Replace(whole, `"format": 1`, `"format": 2`, 1), "format is 2"},
		"no bake":       {strings.Replace(whole, `"bake_id": "01JZ0000000000000000000001"`, `"bake_id": ""`, 1), "no bake"},
		"wrong type":    {`{"format": 1, "packages": 3}`, "cannot unmarshal"},
		"failed report": {`{"result": "failed"}`, "without an inventory"},
		"two bakes":     {`{"result": "done", "bakes": [{"inventory": {}}, {"inventory": {}}]}`, "2 bakes"},
		"foreign SBOM":  {`{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [{"type": "library", "name": "x"}]}`, "no Debian package"},
		"broken SBOM":   {`{"bomFormat": "CycloneDX", "specVersion": "9.9"}`, "specification"},
	} {
		_, err := Decode("FILE", []byte(c.text))
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "reading FILE") || !strings.Contains(err.Error(), c.want) || fault.NextOf(err) == "" {
			t.Errorf("%s: %v (next: %s), want %q", name, err, fault.NextOf(err), c.want)
		}
	}
	for _, report := range []string{`{"result": "done", "inventory": ` + whole + `}`, `{"bakes": [{"inventory": ` + whole + `}]}`} {
		if i, err := Decode("report", []byte(report)); err != nil || i.BakeID != sample(t).BakeID {
			t.Errorf("a report: %v", errors.Join(err, errors.New(i.BakeID)))
		}
	}
}
