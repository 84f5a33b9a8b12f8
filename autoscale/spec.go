package autoscale

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"bakehouse/internal/fault"
	"bakehouse/internal/yamltree"
)

// Spec is what a file asks for, whichever format it was written in.
type Spec struct {
	Version int // of the format: 1 is that of 2013
	Region  string
	Owner   string // marks the groups that prune may delete; "" marks none
	Groups  map[string]Group
	// Warnings are what can be said of the file without asking anybody; it is
	// valid nevertheless.
	Warnings []Warning
}

var regionName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d+$`)

// Names lists the groups in order.
func (s Spec) Names() []string { return slices.Sorted(maps.Keys(s.Groups)) }

// fileV2 is the format written today.
type fileV2 struct {
	Version   *int             `yaml:"version" doc:"of the format; 2"`
	Region    *string          `yaml:"region" doc:"AWS region of all groups of this file"`
	Owner     *string          `yaml:"owner" doc:"marks the groups that prune may delete"`
	Defaults  *Group           `yaml:"defaults" doc:"beneath every group: sections merge, lists and maps are replaced"`
	Templates map[string]Group `yaml:"templates" doc:"parts of groups by name, which a group stands on with use"`
	Groups    map[string]Group `yaml:"groups" doc:"the groups, by name"`
}

// Parse reads a file of either format strictly: an unknown key, a wrong type
// or a value that cannot be is an error that names file, line and column. It
// asks nobody.
func Parse(file string, b []byte) (Spec, error) {
	s, _, err := parse(file, b)
	return s, err
}

// versionless is the error of a file that only lacks its version; nil when it
// has no key that is new in version 2.
func (d *decoder) versionless(pairs []*ast.MappingValueNode) error {
	newer := func(path, key string, p *ast.MappingValueNode, now, then reflect.Type) error {
		if indexOf(keysOf(now), key) < 0 || indexOf(keysOf(then), key) >= 0 {
			return nil
		}
		return d.errorf(p.Key.GetToken(), "begin the file with version: 2", "%s is a key of version 2, and a file without a version is one of 2013", join(path, key))
	}
	for _, p := range pairs {
		key, _ := yamltree.Scalar(p.Key)
		if err := newer("", key, p, reflect.TypeFor[fileV2](), reflect.TypeFor[file2013]()); err != nil {
			return err
		}
		if key != "groups" {
			continue
		}
		groups, _ := d.pairs(p.Value, key) // what is no section is told as such elsewhere
		for _, g := range groups {
			name, _ := yamltree.Scalar(g.Key)
			parts, _ := d.pairs(g.Value, key+"."+name)
			for _, part := range parts {
				word, _ := yamltree.Scalar(part.Key)
				if err := newer(key+"."+name, word, part, reflect.TypeFor[Group](), reflect.TypeFor[group2013]()); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func parse(file string, b []byte) (Spec, *decoder, error) {
	d := &decoder{file: file, at: positions{}, under: map[string][]string{}}
	root, err := yamltree.Parse(file, b)
	if err != nil {
		return Spec{}, d, err
	}
	if root == nil {
		return Spec{}, d, fault.Newf(fault.Usage, "give it groups", "%s: the file is empty", file)
	}
	pairs, err := d.pairs(root, "")
	if err != nil {
		return Spec{}, d, err
	}
	var form interface{ spec(*decoder) (Spec, error) } = &file2013{}
	for _, p := range pairs {
		if key, _ := yamltree.Scalar(p.Key); key == "version" {
			form = &fileV2{}
		}
	}
	if err := d.section(root, reflect.ValueOf(form).Elem(), ""); err != nil {
		if _, old := form.(*file2013); old {
			err = cmp.Or(d.versionless(pairs), err)
		}
		return Spec{}, d, err
	}
	s, err := form.spec(d)
	if err == nil {
		err = checkSpec(d, s)
	}
	if err != nil {
		return Spec{}, d, err
	}
	s.Warnings = warn(d, s)
	return s, d, nil
}

// File is a file with its name.
type File struct {
	Name string
	Text []byte
}

// ParseFiles reads several files, each with its own region, into one Spec
// each. A group may stand in one file of a region alone.
func ParseFiles(files []File) ([]Spec, error) {
	var all []Spec
	places := map[[2]string]string{} // of groups, by region and name
	for _, f := range files {
		s, d, err := parse(f.Name, f.Text)
		if err != nil {
			return nil, err
		}
		for _, name := range Expand(s).Names() {
			id := [2]string{s.Region, name}
			written := strings.TrimSuffix(name, BackstopSuffix)
			if _, there := s.Groups[name]; there {
				written = name
			}
			at := d.at["groups."+written]
			if other, twice := places[id]; twice {
				return nil, d.errorf(at, "keep one of the two", "group %s of region %s stands in %s, too", name, s.Region, other)
			}
			places[id] = yamltree.Place(d.file, at)
		}
		all = append(all, s)
	}
	return all, nil
}

// Together puts files of one region, owner and format into one Spec, which
// takes fewer calls, and lets prune see all that an owner has. The order is
// that of the first of each.
func Together(all []Spec) []Spec {
	var out []Spec
	for _, s := range all {
		i := slices.IndexFunc(out, func(o Spec) bool { return o.Region == s.Region && o.Owner == s.Owner && o.Version == s.Version })
		if i < 0 {
			s.Groups, s.Warnings = maps.Clone(s.Groups), slices.Clone(s.Warnings)
			out = append(out, s)
			continue
		}
		maps.Copy(out[i].Groups, s.Groups)
		out[i].Warnings = append(out[i].Warnings, s.Warnings...)
	}
	return out
}

func (f fileV2) spec(d *decoder) (Spec, error) {
	if val(f.Version) != 2 {
		return Spec{}, d.wrong("version", "format %s is not known; this tool reads version 2 and, without the key, the format of 2013", strconv.Itoa(val(f.Version)))
	}
	if f.Region == nil {
		return Spec{}, d.errorf(nil, "add region: NAME", "the file names no region")
	}
	if err := d.region(*f.Region); err != nil {
		return Spec{}, err
	}
	if f.Defaults != nil && f.Defaults.Use != nil {
		return Spec{}, d.wrong("defaults.use", "only a group stands on templates")
	}
	for _, name := range slices.Sorted(maps.Keys(f.Templates)) {
		if f.Templates[name].Use != nil {
			return Spec{}, d.wrong("templates."+name+".use", "only a group stands on templates")
		}
	}
	s := Spec{Version: 2, Region: *f.Region, Owner: val(f.Owner), Groups: map[string]Group{}}
	for _, name := range slices.Sorted(maps.Keys(f.Groups)) {
		g, err := f.group(d, name)
		if err != nil {
			return Spec{}, err
		}
		s.Groups[name] = g
	}
	return s, nil
}

func (d *decoder) region(name string) error {
	if !regionName.MatchString(name) {
		return d.wrong("region", "expected the name of a region, such as us-east-1, got %q", name)
	}
	return nil
}

// group is a written group on its templates and the defaults.
func (f fileV2) group(d *decoder, name string) (Group, error) {
	g, at := f.Groups[name], "groups."+name
	base, under := val(f.Defaults), []string{"defaults"}
	for i, use := range g.Use {
		t, known := f.Templates[use]
		if !known {
			return Group{}, d.wrong(at+".use."+strconv.Itoa(i), "there is no template %q in this file", use)
		}
		base = stand(base, t)
		under = append([]string{"templates." + use}, under...)
	}
	d.under[at] = under
	g = stand(base, g)
	g.Use = nil
	return g, nil
}

// stand puts a group on defaults or a template. What it gives pushes out what
// excludes it.
func stand(base, over Group) Group {
	out := overlay(base, over)
	if l := over.Launch; l != nil {
		launch := *out.Launch
		switch {
		case l.Requirements != nil && l.Type == nil:
			launch.Type = nil
		case l.Type != nil && l.Requirements == nil:
			launch.Requirements = nil
		}
		out.Launch = &launch
	}
	if n := over.Network; n != nil {
		network := *out.Network
		switch {
		case n.ZoneIDs != nil && n.Zones == nil:
			network.Zones = nil
		case n.Zones != nil && n.ZoneIDs == nil:
			network.ZoneIDs = nil
		}
		out.Network = &network
	}
	return out
}

// overlay puts over on base: what over leaves nil stays base's. Sections
// merge; lists, maps and single values are replaced whole.
func overlay[T any](base, over T) T {
	out := base
	overlayValue(reflect.ValueOf(&out).Elem(), reflect.ValueOf(over))
	return out
}

func overlayValue(into, over reflect.Value) {
	for i := range over.NumField() {
		to, from := into.Field(i), over.Field(i)
		switch {
		case from.IsNil():
		case from.Kind() == reflect.Pointer && mergeable(from.Type().Elem()) && !to.IsNil():
			merged := reflect.New(from.Type().Elem())
			merged.Elem().Set(to.Elem())
			overlayValue(merged.Elem(), from.Elem())
			to.Set(merged)
		default:
			to.Set(from)
		}
	}
}

// mergeable says that t is a section; Desired is a single value.
func mergeable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[Desired]()
}

// PolicyName is the name in AWS of a policy of group.
func PolicyName(group, key string, p Policy) string {
	if p.Name != nil {
		return *p.Name
	}
	return group + "|" + key
}

// AlarmName is the name in AWS of an alarm of group. One over metric math is
// named after the query that returns data.
func AlarmName(group string, a Alarm) string {
	if a.Name != nil {
		return *a.Name
	}
	what := val(a.Metric)
	for _, q := range a.Queries {
		if q.Return == nil || *q.Return {
			what = val(q.ID)
		}
	}
	return fmt.Sprintf("%s|%s|%s", group, val(a.Policy), what)
}
