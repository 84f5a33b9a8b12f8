package inventory

import (
	"os/exec"
	"strings"
	"testing"
)

// versionPairs are a, how dpkg sorts it against b, and b.
func versionPairs() [][3]string {
	return [][3]string{
		{"1.0", "=", "1.0"}, {"1.0", "<", "1.1"}, {"1.9", "<", "1.10"}, {"1.0-1", "<", "1.0-2"}, {"1.0", "=", "1.0-0"}, {"1.0~rc1-1", "<", "1.0-1"},
		{"1.0~~", "<", "1.0~"}, {"1.0~", "<", "1.0"}, {"1:0.1", ">", "9.9"}, {"0:1.0", "=", "1.0"}, {"2:1.0-1", ">", "1:9.0-9"}, {"1.0a", ">", "1.0"},
		{"1.0a", "<", "1.0+"}, {"1.0+b1", ">", "1.0"}, {"1.0.", ">", "1.0"}, {"1.0-1ubuntu1", "<", "1.0-1ubuntu1.1"}, {"1.0-1~deb12u1", "<", "1.0-1"},
		{"2.36-9+deb12u9", "<", "2.36-9+deb12u10"}, {"007", "=", "7"}, {"1.0-0ubuntu3", "<", "1.0-1"}, {"1.2.3-4-5", ">", "1.2.3-4-4"},
		{"20240101", "<", "20250101"}, {"99999999999999999999999999", "<", "100000000000000000000000000"}, {"1.0A", "<", "1.0a"}, {"1.0Z", "<", "1.0a"},
		{"1:1.2.13.dfsg-1", "<", "1:1.2.13.dfsg-1+b1"}, {"5.36.0-7+deb12u1", "<", "5.36.0-7+deb12u2"},
	}
}

func TestVersionsSortAsDpkgSortsThem(t *testing.T) {
	t.Parallel()
	sign := func(c int) string {
		switch {
		case c < 0:
			return "<"
		case c > 0:
			return ">"
		}
		return "="
	}
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Logf("no dpkg on this machine: the table alone is compared")
	}
	for _, p := range versionPairs() {
		if got := sign(CompareVersions(p[0], p[2])); got != p[1] {
			t.Errorf("%s %s %s, want %s", p[0], got, p[2], p[1])
		}
		if got := sign(-CompareVersions(p[2], p[0])); got != p[1] {
			t.Errorf("%s against %s is not the reverse", p[2], p[0])
		}
		if err != nil {
			continue
		}
		if out, err := exec.Command(dpkg, "--compare-versions", p[0], p[1], p[2]).CombinedOutput(); err != nil {
			t.Errorf("dpkg disagrees: %v: %v\n%s", p, err, out)
		}
	}
}

// with is the sample with packages instead of its own.
func with(t *testing.T, change func(*Inventory)) Inventory {
	t.Helper()
	i := sample(t)
	i.Packages = []Package{{Name: "nginx", Version: "1.22.1-9", Arch: "amd64"}, {Name: "tzdata", Version: "2025b", Arch: "all"}}
	change(&i)
	return i
}

func TestTheDiffSaysWhatChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Inventory)
		want   string // group: name how was -> now; empty: nothing
	}{
		"nothing":      {func(*Inventory) {}, ""},
		"another bake": {func(i *Inventory) { i.BakeID, i.ImageName = "01JZ0000000000000000000002", "web-2" }, ""},
		"up":           {func(i *Inventory) { i.Packages[0].Version = "1.22.1-10" }, "Packages: nginx up 1.22.1-9 -> 1.22.1-10"},
		"down":         {func(i *Inventory) { i.Packages[0].Version = "1.22.1-9~bpo" }, "Packages: nginx down 1.22.1-9 -> 1.22.1-9~bpo"},
		"removed":      {func(i *Inventory) { i.Packages = i.Packages[1:] }, "Packages: nginx removed 1.22.1-9"},
		"added": {func(i *Inventory) {
			i.Packages = append(i.Packages, Package{Name: "jq", Version: "1.6", Arch: "amd64"})
		}, "Packages: jq added 1.6"},
		"foreign arch": {func(i *Inventory) {
			i.Packages = append(i.Packages, Package{Name: "nginx", Version: "1.0", Arch: "i386"})
		}, "Packages: nginx:i386 added 1.0"},
		"now for all":     {func(i *Inventory) { i.Packages[0].Arch = "all" }, ""},
		"broken":          {func(i *Inventory) { i.Packages[0].Status = "half-configured" }, "Packages: nginx changed 1.22.1-9 -> 1.22.1-9 (half-configured)"},
		"cookbook up":     {func(i *Inventory) { i.Cookbooks[1].Version = "1.10.0" }, "Cookbooks: web up 1.2.3 -> 1.10.0"},
		"same version":    {func(i *Inventory) { i.Cookbooks[1].Digest = "cccccccccccccccc" }, "Cookbooks: web changed 1.2.3, content bbbbbbbbbbbb -> 1.2.3, content cccccccccccc"},
		"another source":  {func(i *Inventory) { i.Cookbooks[1].Digest, i.Settings["chef_mode"] = "cccccccccccccccc", "local" }, "Settings: chef_mode added local"},
		"digest unknown":  {func(i *Inventory) { i.Cookbooks[1].Digest = "" }, ""},
		"setting":         {func(i *Inventory) { i.Settings["root_volume_gb"] = "30" }, "Settings: root_volume_gb changed 20 -> 30"},
		"setting dropped": {func(i *Inventory) { delete(i.Settings, "environment") }, "Settings: environment removed prod"},
		"kernel":          {func(i *Inventory) { i.Kernel = "6.1.0-37-amd64" }, "System: kernel up 6.1.0-35-amd64 -> 6.1.0-37-amd64"},
		"no kernel":       {func(i *Inventory) { i.Kernel = "" }, "System: kernel removed 6.1.0-35-amd64"},
		"agent":           {func(i *Inventory) { i.Agent = "boot-agent 0.9.0" }, "System: boot-agent down boot-agent 0.9.1 -> boot-agent 0.9.0"},
		"Chef":            {func(i *Inventory) { i.Chef = Chef{"chef", "18.0"} }, "System: Chef changed cinc 18.7.10-1 -> chef 18.0"},
		"base":            {func(i *Inventory) { i.BaseID = "ami-other" }, "System: base image changed ami-base ubuntu-24.04 -> ami-other ubuntu-24.04"},
	} {
		d := Compare(Named{"old", with(t, func(*Inventory) {})}, Named{"new", with(t, c.change)})
		var got []string
		for _, g := range d.Groups() {
			for _, x := range g.Changes {
				got = append(got, g.Title+": "+x.Name+" "+string(x.How)+" "+x.values())
			}
		}
		if all := strings.Join(got, "; "); all != c.want || d.Empty() != (c.want == "") {
			t.Errorf("%s: %q, want %q", name, all, c.want)
		}
	}
}

// changed is a diff with something in every group, some of it unfriendly.
func changed(t *testing.T) Diff {
	t.Helper()
	now := with(t, func(i *Inventory) {
		i.BakeID, i.ImageName = "01JZ0000000000000000000002", "web-2"
		i.Packages[0].Version = "1.24.0-1"
		i.Packages = append(i.Packages, Package{Name: "<script>alert(1)</script>", Version: "\x1b[31m1.0", Arch: "amd64"})
		i.Cookbooks, i.Kernel = i.Cookbooks[:1], "6.1.0-37-amd64"
		i.Settings["environment"] = `"><img src=x>`
	})
	return Compare(Named{"ami-0aaa", with(t, func(*Inventory) {})}, Named{"ami-0bbb", now})
}

func TestTheTextIsForPeople(t *testing.T) {
	t.Parallel()
	text := changed(t).Text()
	golden(t, "diff.txt", []byte(text))
	if strings.ContainsRune(text, 0x1b) {
		t.Error("a package's version drives the terminal")
	}
	same := sample(t)
	if text := Compare(Named{"a", same}, Named{"b", same}).Text(); !strings.Contains(text, "nothing changed") {
		t.Errorf("of the same: %s", text)
	}
}

func TestThePageNeedsNothingElseAndEscapes(t *testing.T) {
	t.Parallel()
	b, err := changed(t).HTML()
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"ami-0aaa", "web-2", "1.24.0-1", "&lt;script&gt;alert(1)", "removed", `name="viewport"`, "prefers-color-scheme"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "<img", "http://", "https://", "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}
