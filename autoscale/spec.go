package autoscale

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"bakehouse/internal/fault"
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

// Names lists the groups in order.
func (s Spec) Names() []string { return slices.Sorted(maps.Keys(s.Groups)) }

// fileV2 is the format written today.
type fileV2 struct {
	Version  *int             `yaml:"version"`
	Region   *string          `yaml:"region"`
	Owner    *string          `yaml:"owner"`
	Defaults *Group           `yaml:"defaults"` // beneath every group: sections merge, lists and maps do not
	Groups   map[string]Group `yaml:"groups"`
}

// Parse reads a file of either format strictly: an unknown key, a wrong type
// or a value that cannot be is an error that names file, line and column. It
// asks nobody.
func Parse(file string, b []byte) (Spec, error) {
	d := &decoder{file: file, at: positions{}}
	root, err := d.root(b)
	if err != nil {
		return Spec{}, err
	}
	if root == nil {
		return Spec{}, fault.Newf(fault.Usage, "give it groups", "%s: the file is empty", file)
	}
	pairs, err := d.pairs(root, "")
	if err != nil {
		return Spec{}, err
	}
	spec, version := Spec{}, false
	for _, p := range pairs {
		if key, _ := scalar(p.Key); key == "version" {
			version = true
		}
	}
	if version {
		var f fileV2
		if err := d.section(root, reflect.ValueOf(&f).Elem(), ""); err != nil {
			return Spec{}, err
		}
		if spec, err = f.spec(d); err != nil {
			return Spec{}, err
		}
	} else {
		var f file2013
		if err := d.section(root, reflect.ValueOf(&f).Elem(), ""); err != nil {
			return Spec{}, err
		}
		if spec, err = f.spec(d); err != nil {
			return Spec{}, err
		}
	}
	if err := checkSpec(d, spec); err != nil {
		return Spec{}, err
	}
	spec.Warnings = warn(d, spec)
	return spec, nil
}

func (f fileV2) spec(d *decoder) (Spec, error) {
	if val(f.Version) != 2 {
		return Spec{}, d.wrong("version", "format %s is not known; this tool reads version 2 and, without the key, the format of 2013", strconv.Itoa(val(f.Version)))
	}
	if f.Region == nil {
		return Spec{}, d.errorf(nil, "add region: NAME", "the file names no region")
	}
	s := Spec{Version: 2, Region: *f.Region, Owner: val(f.Owner), Groups: map[string]Group{}}
	for name, g := range f.Groups {
		if f.Defaults != nil {
			g = stand(*f.Defaults, g)
		}
		s.Groups[name] = g
	}
	return s, nil
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
