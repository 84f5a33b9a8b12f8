package autoscale

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Field is one value that a change writes. Before is "" where there was none.
type Field struct {
	Path   string `json:"path"`
	Before string `json:"before"`
	After  string `json:"after"`
	// Note says where the value comes from when the file only refers to it.
	Note string `json:"note,omitempty"`
}

// flat is a value taken apart: what it sets, and what AWS means at the same
// places when it says nothing, both by path.
type flat struct{ set, normal map[string]string }

func flatten(path string, v any) flat {
	f := flat{map[string]string{}, map[string]string{}}
	f.add(path, reflect.ValueOf(v))
	return f
}

// compare lists the fields that want sets and have differs in. Lists are
// sets, except for those that ordered names. A value that AWS would mean
// anyway does not differ from none.
func compare(path string, want, have any) []Field {
	w, h := flatten(path, want), flatten(path, have)
	var out []Field
	for _, p := range slices.Sorted(maps.Keys(w.set)) {
		if w.set[p] != h.set[p] && (h.set[p] != "" || w.set[p] != w.normal[p]) {
			out = append(out, Field{Path: p, Before: h.set[p], After: w.set[p]})
		}
	}
	return out
}

// reversed turns what would be written into what will be gone.
func reversed(fields []Field) []Field {
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = Field{Path: f.Path, Before: f.After, After: f.Before}
	}
	return out
}

// ordered says that the list at path means something by its order.
func ordered(path string) bool {
	return slices.ContainsFunc([]string{"termination_policies", "mixed.types", "on_demand_segments"}, func(end string) bool { return strings.HasSuffix(path, end) })
}

// add writes what v sets as path and text.
func (f flat) add(path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Invalid:
	case reflect.Pointer:
		if d, ok := v.Interface().(*Desired); ok && d != nil {
			f.set[path] = d.String()
		} else if !v.IsNil() {
			f.add(path, v.Elem())
		}
	case reflect.Struct:
		for i, key := range keysOf(v.Type()) {
			tag := v.Type().Field(i).Tag
			if tag.Get("compare") == "never" {
				continue
			}
			f.add(join(path, key), v.Field(i))
			f.normal[join(path, key)] = tag.Get("normal")
		}
	case reflect.Map:
		if !v.IsNil() {
			f.set[path] = entries(v)
		}
	case reflect.Slice:
		if !v.IsNil() {
			f.set[path] = items(path, v)
		}
	case reflect.Float64:
		f.set[path] = strconv.FormatFloat(v.Float(), 'g', -1, 64)
	default:
		f.set[path] = fmt.Sprint(v.Interface())
	}
}

// meant leaves out what AWS means anyway.
func (f flat) meant() map[string]string {
	out := maps.Clone(f.set)
	maps.DeleteFunc(out, func(path, text string) bool { return text == "" || text == f.normal[path] })
	return out
}

func entries(v reflect.Value) string {
	var out []string
	for _, k := range sortedKeys(v) {
		out = append(out, k+"="+one("", v.MapIndex(reflect.ValueOf(k))))
	}
	return strings.Join(out, ", ")
}

func items(path string, v reflect.Value) string {
	var out []string
	for i := range v.Len() {
		out = append(out, one(path, v.Index(i)))
	}
	if !ordered(path) {
		slices.SortFunc(out, natural)
		out = slices.Compact(out)
	}
	return strings.Join(out, ", ")
}

// natural orders texts with numbers in them as people do: 9 before 10.
func natural(a, b string) int {
	for a != "" && b != "" {
		x, y := digits(a), digits(b)
		if x == "" || y == "" {
			if a[0] != b[0] {
				return int(a[0]) - int(b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		m, n := strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(len(m)-len(n), strings.Compare(m, n), len(x)-len(y)); c != 0 {
			return c
		}
		a, b = a[len(x):], b[len(y):]
	}
	return len(a) - len(b)
}

// digits is the number that text begins with; "" when it begins with none.
func digits(text string) string { return text[:len(text)-len(strings.TrimLeft(text, "0123456789"))] }

// one writes a whole value of a list or a map in one line.
func one(path string, v reflect.Value) string {
	if s, ok := v.Interface().(shortForm); ok {
		if text, short := s.short(); short {
			return text
		}
	}
	switch v.Kind() {
	case reflect.Slice:
		return "[" + items(path, v) + "]"
	case reflect.Map:
		return "{" + entries(v) + "}"
	case reflect.Struct:
		flat := flatten("", v.Interface()).meant()
		var out []string
		for _, k := range slices.Sorted(maps.Keys(flat)) {
			out = append(out, k+":"+flat[k])
		}
		return "{" + strings.Join(out, " ") + "}"
	}
	text := flatten("", v.Interface()).set[""]
	if strings.Contains(text, ", ") || strings.HasPrefix(text, `"`) {
		return strconv.Quote(text) // else one text could look like two
	}
	return text
}

// contentHash is the same for two launch template versions that mean the same.
func contentHash(l Launch) string {
	l.Template = nil
	flat := flatten("", l).meant()
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(flat)) {
		fmt.Fprintf(h, "%s\x00%s\x00", k, flat[k])
	}
	return hex.EncodeToString(h.Sum(nil))
}
