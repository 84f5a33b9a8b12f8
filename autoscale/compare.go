package autoscale

import (
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
}

// compare lists the fields that want sets and have differs in. Lists are
// sets, except for those that ordered names.
func compare(path string, want, have any) []Field {
	w, h := map[string]string{}, map[string]string{}
	flatten(path, reflect.ValueOf(want), w)
	flatten(path, reflect.ValueOf(have), h)
	var out []Field
	for _, p := range slices.Sorted(maps.Keys(w)) {
		if w[p] != h[p] {
			out = append(out, Field{p, h[p], w[p]})
		}
	}
	return out
}

// reversed turns what would be written into what will be gone.
func reversed(fields []Field) []Field {
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = Field{f.Path, f.After, f.Before}
	}
	return out
}

// ordered says that the list at path means something by its order.
func ordered(path string) bool {
	return strings.HasSuffix(path, "termination_policies") || strings.HasSuffix(path, "mixed.types")
}

// flatten writes what v sets as path and text.
func flatten(path string, v reflect.Value, into map[string]string) {
	switch v.Kind() {
	case reflect.Invalid:
	case reflect.Pointer:
		if d, ok := v.Interface().(*Desired); ok && d != nil {
			into[path] = d.String()
		} else if !v.IsNil() {
			flatten(path, v.Elem(), into)
		}
	case reflect.Struct:
		for i, key := range keysOf(v.Type()) {
			flatten(join(path, key), v.Field(i), into)
		}
	case reflect.Map:
		if !v.IsNil() {
			into[path] = entries(v)
		}
	case reflect.Slice:
		if !v.IsNil() {
			into[path] = items(path, v)
		}
	case reflect.Float64:
		into[path] = strconv.FormatFloat(v.Float(), 'g', -1, 64)
	default:
		into[path] = fmt.Sprint(v.Interface())
	}
}

func entries(v reflect.Value) string {
	var out []string
	for _, k := range sortedKeys(v) {
		out = append(out, k+"="+one(v.MapIndex(reflect.ValueOf(k))))
	}
	return strings.Join(out, ", ")
}

func items(path string, v reflect.Value) string {
	var out []string
	for i := range v.Len() {
		out = append(out, one(v.Index(i)))
	}
	if !ordered(path) {
		slices.Sort(out)
		out = slices.Compact(out)
	}
	return strings.Join(out, ", ")
}

// one writes a whole value in one line.
func one(v reflect.Value) string {
	flat := map[string]string{}
	flatten("", v, flat)
	if plain, ok := flat[""]; ok && len(flat) == 1 {
		return plain
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(flat)) {
		out = append(out, k+":"+flat[k])
	}
	return "{" + strings.Join(out, " ") + "}"
}

// contentHash is the same for two launch template versions that mean the same.
func contentHash(l Launch) string {
	l.Template = nil
	flat := map[string]string{}
	flatten("", reflect.ValueOf(l), flat)
	h := sha256.New()
	for _, k := range slices.Sorted(maps.Keys(flat)) {
		if flat[k] != "" {
			fmt.Fprintf(h, "%s\x00%s\x00", k, flat[k])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
