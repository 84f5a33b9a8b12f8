package rootfs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bakehouse/internal/fault"
)

const debianDeb822 = `# comment
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib non-free
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: http://mirror.test/security
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.test/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://src.test/debian
Suites: bookworm
Components: main
`

const oneLine = `# deb http://old.test/debian bookworm main
deb-src http://src.test/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/u.gpg] https://mirror.test/ubuntu noble main restricted universe # end
deb https://other.test/apt cloud-tool-noble main
deb cdrom:[Debian]/ bookworm main
`

func aptDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSourcesGiveTheMirrorsOfOneSuite(t *testing.T) {
	t.Parallel()
	dir := aptDir(t, map[string]string{"sources.list": oneLine, "sources.list.d/debian.sources": debianDeb822})
	all, err := readSources(dir)
	if err != nil {
		t.Fatal(err)
	}
	for suite, want := range map[string][]string{
		"bookworm": {
			"deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.test/debian bookworm main",
			"deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.test/debian bookworm-updates main",
			"deb http://mirror.test/security bookworm-security main",
		},
		"noble": {"deb [signed-by=/usr/share/keyrings/u.gpg] https://mirror.test/ubuntu noble main universe"},
		"sid":   nil,
	} {
		var got []string
		for _, s := range forSuite(all, suite) {
			got = append(got, s.line())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("mirrors for %s (-want +got):\n%s", suite, diff)
		}
	}
}

func TestSourcesOfAnEmptyMachine(t *testing.T) {
	t.Parallel()
	all, err := readSources(t.TempDir())
	if err != nil || len(all) != 0 {
		t.Fatalf("got %v, %v", all, err)
	}
	_, err = chooseSuite(all, "", "trixie")
	if err == nil || !strings.Contains(err.Error(), "offer none of bookworm, trixie") {
		t.Errorf("error %v does not name the suites", err)
	}
	if fault.KindOf(err) != fault.Usage || fault.NextOf(err) == "" {
		t.Errorf("error %v has no kind and next step", err)
	}
}

func TestChooseSuite(t *testing.T) {
	t.Parallel()
	mirror := func(suites ...string) (all []source) {
		for _, s := range suites {
			all = append(all, source{URI: "http://mirror.test", Suite: s, Components: []string{"main"}})
		}
		return all
	}
	for _, c := range []struct {
		name, asked, host, want string
		have                    []source
	}{
		{name: "bookworm first", host: "trixie", have: mirror("trixie", "bookworm"), want: "bookworm"},
		{name: "else the machine's", host: "noble", have: mirror("noble", "noble-updates"), want: "noble"},
		{name: "asked beats both", asked: "trixie", host: "bookworm", have: mirror("bookworm", "trixie"), want: "trixie"},
		{name: "asked and absent", asked: "trixie", host: "bookworm", have: mirror("bookworm"), want: ""},
		{name: "a machine without a name", have: mirror("sid"), want: ""},
		{name: "updates alone are no suite", host: "bookworm", have: mirror("bookworm-updates"), want: ""},
	} {
		got, err := chooseSuite(c.have, c.asked, c.host)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v", c.name, got, err)
		}
	}
}

func TestHostCodename(t *testing.T) {
	t.Parallel()
	dir := aptDir(t, map[string]string{"a": "NAME=\"X\"\nVERSION_CODENAME=\"noble\"\n", "b": "NAME=x\n"})
	for name, want := range map[string]string{"a": "noble", "b": "", "missing": ""} {
		if got := hostCodename(filepath.Join(dir, name)); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
