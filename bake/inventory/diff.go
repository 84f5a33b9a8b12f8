package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// How is what became of one thing between two images.
type How string

// The values of How.
const (
	Added   How = "added"
	Removed How = "removed"
	Up      How = "up"
	Down    How = "down"
	Changed How = "changed" // of what has no order
)

// Change is one thing that is not the same in both images.
type Change struct {
	Name string `json:"name"`
	How  How    `json:"how"`
	Was  string `json:"was,omitempty"`
	Now  string `json:"now,omitempty"`
}

// Side is one of the two images.
type Side struct {
	Label     string `json:"label"` // as it was asked for: an AMI or a file
	BakeID    string `json:"bake_id,omitempty"`
	Role      string `json:"role,omitempty"`
	ImageName string `json:"image_name,omitempty"`
	BakedAt   string `json:"baked_at,omitempty"` // RFC 3339, UTC
	Packages  int    `json:"packages"`
}

// Diff is what changed between two images. Its lists are never nil.
type Diff struct {
	Old       Side     `json:"old"`
	New       Side     `json:"new"`
	System    []Change `json:"system"` // distribution, base image, kernel, Chef, agent
	Packages  []Change `json:"packages"`
	Cookbooks []Change `json:"cookbooks"`
	Settings  []Change `json:"settings"`
}

// Named is an inventory and what it was asked for by.
type Named struct {
	Label string
	Inventory
}

// Compare says what changed from was to now. Packages of an image's own
// architecture are the same package whatever that architecture is.
func Compare(was, now Named) Diff {
	d := Diff{Old: side(was), New: side(now), System: []Change{}, Cookbooks: []Change{}, Settings: []Change{},
		Packages: compare(was.packageVersions(), now.packageVersions())}
	if was.BakeID != "" && now.BakeID != "" { // another tool's SBOM knows packages alone
		d.System = compare(was.system(), now.system())
		d.Cookbooks = cookbooks(was.Cookbooks, now.Cookbooks, was.Settings[settingMode] == now.Settings[settingMode])
		d.Settings = settings(was.Settings, now.Settings)
	}
	return d
}

func side(n Named) Side {
	s := Side{Label: n.Label, BakeID: n.BakeID, Role: n.Role, ImageName: n.ImageName, Packages: len(n.Packages)}
	if !n.BakedAt.IsZero() {
		s.BakedAt = n.BakedAt.UTC().Format("2006-01-02T15:04:05Z")
	}
	return s
}

// system is what is in an image once.
func (i Inventory) system() map[string]string {
	all := map[string]string{"distribution": i.OS.Name, "architecture": i.Arch, "base image": strings.TrimSpace(i.BaseID + " " + i.BaseName),
		"base serial": i.Serial, "kernel": i.Kernel, "boot-agent": i.Agent, "Chef": strings.TrimSpace(i.Chef.Name + " " + i.Chef.Version)}
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return all
}

func (i Inventory) packageVersions() map[string]string {
	all := map[string]string{}
	for _, p := range i.Packages {
		name := p.Name
		if p.Arch != i.Arch && p.Arch != "all" && p.Arch != "" {
			name += ":" + p.Arch
		}
		if all[name] = p.Version; p.Status != "" {
			all[name] += " (" + p.Status + ")"
		}
	}
	return all
}

// compare finds what differs, by name.
func compare(was, now map[string]string) []Change {
	names := maps.Clone(was)
	maps.Copy(names, now)
	out := []Change{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if c := change(name, was, now); c.How != "" {
			out = append(out, c)
		}
	}
	return out
}

// change says what became of one name; How is empty when nothing did.
func change(name string, was, now map[string]string) Change {
	w, there := was[name]
	n, here := now[name]
	c := Change{Name: name, Was: w, Now: n}
	switch {
	case !there:
		c.How = Added
	case !here:
		c.How = Removed
	case w == n:
	default:
		c.How = direction(w, n)
	}
	return c
}

// direction orders two values that look like versions: both begin with a digit,
// or with the same word before one.
func direction(was, now string) How {
	w, n := was, now
	if name, version, ok := strings.Cut(was, " "); ok && strings.HasPrefix(now, name+" ") {
		w, n = version, strings.TrimPrefix(now, name+" ")
	}
	if w == "" || n == "" || !isDigit(w[0]) || !isDigit(n[0]) || strings.Contains(w+n, " ") {
		return Changed
	}
	switch c := CompareVersions(w, n); {
	case c < 0:
		return Up
	case c > 0:
		return Down
	}
	return Changed
}

// settingMode is where a cookbook came from. A Chef server and a chef-repo on
// disk hash the same files in their own ways.
const settingMode = "chef_mode"

// cookbooks compares versions, and content where that can be: a version can be
// uploaded again with other files.
func cookbooks(was, now []Cookbook, content bool) []Change {
	versions := func(all []Cookbook) (v, d map[string]string) {
		v, d = map[string]string{}, map[string]string{}
		for _, c := range all {
			v[c.Name], d[c.Name] = c.Version, c.Digest
		}
		return v, d
	}
	wv, wd := versions(was)
	nv, nd := versions(now)
	out := compare(wv, nv)
	for name, v := range wv {
		if content && nv[name] == v && wd[name] != nd[name] && wd[name] != "" && nd[name] != "" {
			out = append(out, Change{Name: name, How: Changed, Was: v + ", content " + short(wd[name]), Now: v + ", content " + short(nd[name])})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// settings compares values as they are: a larger number is not an upgrade.
func settings(was, now map[string]string) []Change {
	out := []Change{}
	for _, c := range compare(was, now) {
		if c.How == Up || c.How == Down {
			c.How = Changed
		}
		out = append(out, c)
	}
	return out
}

func short(digest string) string { return digest[:min(12, len(digest))] }

// Empty says that nothing changed.
func (d Diff) Empty() bool {
	return len(d.System)+len(d.Packages)+len(d.Cookbooks)+len(d.Settings) == 0
}

// Group is one list of a diff, with its heading.
type Group struct {
	Title   string
	Changes []Change
}

// Groups are the lists in which something changed.
func (d Diff) Groups() []Group {
	all := []Group{{"System", d.System}, {"Packages", d.Packages}, {"Cookbooks", d.Cookbooks}, {"Settings", d.Settings}}
	return slices.DeleteFunc(all, func(g Group) bool { return len(g.Changes) == 0 })
}

// Counts says how many changes of each sort there are: "3 up, 1 added".
func (g Group) Counts() string {
	n := map[How]int{}
	for _, c := range g.Changes {
		n[c.How]++
	}
	var out []string
	for _, how := range []How{Up, Down, Added, Removed, Changed} {
		if n[how] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[how], how))
		}
	}
	return strings.Join(out, ", ")
}

// Text renders the diff for people.
func (d Diff) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "old: %s\nnew: %s\n", d.Old.text(), d.New.text())
	if d.Empty() {
		b.WriteString("\nnothing changed\n")
		return b.String()
	}
	for _, g := range d.Groups() {
		fmt.Fprintf(&b, "\n%s: %s\n", g.Title, g.Counts())
		width := 0
		for _, c := range g.Changes {
			width = max(width, min(32, len(c.Name)))
		}
		for _, c := range g.Changes {
			fmt.Fprintf(&b, "  %-7s  %-*s  %s\n", c.How, width, clean(c.Name), clean(c.values()))
		}
	}
	return b.String()
}

func (s Side) text() string {
	out := s.Label
	for _, more := range []string{s.ImageName, s.BakedAt} {
		if more != "" && more != s.Label {
			out += ", " + more
		}
	}
	return clean(fmt.Sprintf("%s, %d packages", out, s.Packages))
}

func (c Change) values() string {
	switch c.How {
	case Added:
		return c.Now
	case Removed:
		return c.Was
	}
	return c.Was + " -> " + c.Now
}

// clean keeps what a guest wrote from driving a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
