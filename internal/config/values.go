package config

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Value is what one key holds.
type Value struct {
	Path  string // for example bake.instance_type, bake.tags.team or apps.web.bucket
	Text  string // empty: neither set nor with a default
	Where string // FILE:LINE:COLUMN; empty: the file does not set it
}

// Values lists every key with its value or default, in the order of the
// structs. What roles of their own say is left out: see ForRole. Passwords in
// URLs are not shown.
func (c Config) Values() []Value { return c.values(reflect.ValueOf(c), "") }

func (c Config) values(v reflect.Value, prefix string) []Value {
	var out []Value
	for i := range v.NumField() {
		f := v.Type().Field(i)
		path, field := prefix+f.Tag.Get("yaml"), v.Field(i)
		switch {
		case f.Tag.Get("yaml") == "-" || path == "roles":
		case f.Type.Kind() == reflect.Struct:
			out = append(out, c.values(field, path+".")...)
		case f.Type.Kind() == reflect.Map:
			out = append(out, c.entries(field, path)...)
		default:
			text := f.Tag.Get("default")
			if _, set := c.Where[path]; set {
				text = show(field)
			}
			out = append(out, Value{path, text, c.Where[path]})
		}
	}
	return out
}

// entries lists a map by its keys; an empty one is one value without a text.
func (c Config) entries(m reflect.Value, path string) []Value {
	names := map[string]reflect.Value{}
	for _, k := range m.MapKeys() {
		names[k.String()] = m.MapIndex(k)
	}
	if len(names) == 0 {
		return []Value{{Path: path}}
	}
	var out []Value
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if at := join(path, name); names[name].Kind() == reflect.Struct {
			out = append(out, c.values(names[name], at+".")...)
		} else {
			out = append(out, Value{at, show(names[name]), c.Where[at]})
		}
	}
	return out
}

// show renders a value as the file would have it.
func show(v reflect.Value) string {
	switch v := v.Interface().(type) {
	case time.Duration:
		text := v.String() // 1h30m0s
		if strings.HasSuffix(text, "m0s") {
			text = strings.TrimSuffix(text, "0s")
		}
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	case []string:
		return strings.Join(v, ", ")
	case string:
		if u, err := url.Parse(v); err == nil && u.User != nil {
			return u.Redacted()
		}
		return v
	}
	return fmt.Sprint(v.Interface())
}
