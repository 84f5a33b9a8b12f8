package config

import (
	"reflect"
	"strings"
)

// Key documents one key of the file.
type Key struct {
	Path    string // for example bake.instance_type or apps.NAME.bucket
	Type    string // in words, for example "path" or "auto, public or private"
	Default string // empty: none
	Doc     string // what it means, no full stop
}

// Describe lists every key, in the order of the structs.
func Describe() []Key { return describe(reflect.TypeFor[Config](), "", checks()) }

func describe(t reflect.Type, prefix string, kinds map[string]check) []Key {
	var out []Key
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("yaml")
		switch {
		case key == "-":
		case f.Tag.Get("like") != "":
			out = append(out, Key{prefix + key, "the keys of " + f.Tag.Get("like"), "", f.Tag.Get("doc")})
		case f.Type.Kind() == reflect.Struct:
			out = append(out, describe(f.Type, prefix+key+".", kinds)...)
		case f.Type.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.Struct:
			out = append(out, describe(f.Type.Elem(), prefix+key+".NAME.", kinds)...)
		default:
			out = append(out, Key{prefix + key, typeName(f, kinds[f.Tag.Get("is")].what), f.Tag.Get("default"), f.Tag.Get("doc")})
		}
	}
	return out
}

// typeName says in words what a key takes.
func typeName(f reflect.StructField, what string) string {
	switch f.Type.Kind() {
	case reflect.Map:
		return "map of " + what
	case reflect.Slice:
		if f.Tag.Get("one") != "" {
			return what + ", or a list of them"
		}
		return "list of " + what + "s"
	}
	return what
}

// keysOf lists the keys of a section's struct.
func keysOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "-" {
			out = append(out, key)
		}
	}
	return out
}

// elsewhere finds the section that a key belongs in, or "".
func elsewhere(key string) string {
	for _, k := range Describe() {
		if section, found := strings.CutSuffix(k.Path, "."+key); found {
			return section
		}
	}
	return ""
}
