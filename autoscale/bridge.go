package autoscale

import (
	"reflect"
	"slices"
	"strings"
	"time"
)

// The file's types say by the tag aws where a value stands in AWS's types:
//
//	A.B     member B of structure A, which is made when B is written
//	A[0].B  member B of the only element of list A
//	A[].B   a list here of what are structures there, of which only B is used
//	A.B|C   A.B where A is given, else C
//	-       nowhere, or in a way that convert.go writes out
//
// A section without the tag has its fields in the structure around it. A map
// here is a list of structures there; the tag key names the member that the
// keys are, or it is Name, Key or ResourceType. A member that an AWS type does
// not have is left out: the same section serves several types.

// write puts what from, a struct of the file, sets into a structure of AWS.
func write(from, into reflect.Value) {
	for i := range from.NumField() {
		f, v := from.Type().Field(i), from.Field(i)
		path := f.Tag.Get("aws")
		switch {
		case path == "-" || v.IsNil():
		case path != "":
			if place, inner, ok := reach(into, path); ok {
				put(v, place, inner, f.Tag.Get("key"))
			}
		case v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct:
			write(v.Elem(), into)
		}
	}
}

// reach finds the member at path and makes the structures above it. inner is
// the member of a list's elements that path ends with.
func reach(at reflect.Value, path string) (place reflect.Value, inner string, ok bool) {
	if first, second, two := strings.Cut(path, "|"); two {
		if above, _, _ := strings.Cut(first, "."); at.FieldByName(above).IsValid() && !at.FieldByName(above).IsNil() {
			return reach(at, first)
		}
		return reach(at, second)
	}
	segment, rest, more := strings.Cut(path, ".")
	name, index, _ := strings.Cut(segment, "[")
	place = at.FieldByName(name)
	switch {
	case !place.IsValid():
		return place, "", false
	case index == "]":
		return place, rest, true
	case index == "0]":
		if place.Len() == 0 {
			place.Set(reflect.MakeSlice(place.Type(), 1, 1))
		}
		return reach(place.Index(0), rest)
	case !more:
		return place, "", true
	}
	if place.IsNil() {
		place.Set(reflect.New(place.Type().Elem()))
	}
	return reach(place.Elem(), rest)
}

// put writes v, which is set, at place.
func put(v, place reflect.Value, inner, key string) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if place.Kind() == reflect.Pointer {
		if v.Kind() == reflect.Bool && place.Type().Elem().Kind() == reflect.String && !v.Bool() {
			return // a mark that is only there when it is true
		}
		fresh := reflect.New(place.Type().Elem())
		put(v, fresh.Elem(), inner, key)
		place.Set(fresh)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		write(v, place)
	case reflect.Map:
		putMap(v, place, key)
	case reflect.Slice:
		place.Set(reflect.MakeSlice(place.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			to := place.Index(i)
			if inner != "" {
				to, _, _ = reach(to, inner)
			}
			put(v.Index(i), to, "", "")
		}
	case reflect.Int:
		place.SetInt(v.Int())
	case reflect.Float64:
		place.SetFloat(v.Float())
	case reflect.Bool:
		if place.Kind() == reflect.Bool {
			place.SetBool(v.Bool())
		}
	case reflect.String:
		if place.Type() != reflect.TypeFor[time.Time]() {
			place.SetString(v.String())
		} else if t, err := time.Parse(time.RFC3339, v.String()); err == nil { // Parse has refused what does not read
			place.Set(reflect.ValueOf(t))
		}
	}
}

func putMap(v, place reflect.Value, key string) {
	place.Set(reflect.MakeSlice(place.Type(), v.Len(), v.Len()))
	for i, k := range sortedKeys(v) {
		to, elem := place.Index(i), v.MapIndex(reflect.ValueOf(k))
		name, rest := keyed(to.Type(), key)
		put(reflect.ValueOf(k), to.FieldByName(name), "", "")
		if elem.Kind() == reflect.Struct {
			write(elem, to)
		} else {
			put(elem, to.FieldByName(rest), "", "")
		}
	}
}

// keyed names the member of t that a map's keys are, and the other one.
func keyed(t reflect.Type, key string) (name, rest string) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case !f.IsExported():
		case f.Name == key || key == "" && slices.Contains([]string{"Name", "Key", "ResourceType"}, f.Name):
			name = f.Name
		default:
			rest = f.Name
		}
	}
	return name, rest
}

// read puts what a structure of AWS has into into, a struct of the file.
func read(from, into reflect.Value) {
	for i := range into.NumField() {
		f := into.Type().Field(i)
		path := f.Tag.Get("aws")
		switch {
		case path == "-":
		case path != "":
			for _, p := range strings.Split(path, "|") {
				if v, inner, ok := lookUp(from, p); ok && into.Field(i).IsNil() {
					get(v, into.Field(i), inner, f.Tag.Get("key"))
				}
			}
		case f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct:
			section := reflect.New(f.Type.Elem())
			read(from, section.Elem())
			if !section.Elem().IsZero() {
				into.Field(i).Set(section)
			}
		}
	}
}

// lookUp finds the member at path when it is there.
func lookUp(at reflect.Value, path string) (v reflect.Value, inner string, ok bool) {
	segment, rest, more := strings.Cut(path, ".")
	name, index, _ := strings.Cut(segment, "[")
	v = at.FieldByName(name)
	switch {
	case !v.IsValid() || v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0:
		return v, "", false
	case index == "]":
		return v, rest, true
	case index == "0]":
		return lookUp(v.Index(0), rest)
	case !more:
		return v, "", true
	}
	return lookUp(v.Elem(), rest)
}

// get reads v, which is there, into into.
func get(v, into reflect.Value, inner, key string) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if into.Kind() == reflect.Pointer {
		fresh := reflect.New(into.Type().Elem())
		get(v, fresh.Elem(), inner, key)
		into.Set(fresh)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		read(v, into)
	case reflect.Map:
		getMap(v, into, key)
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		into.Set(reflect.MakeSlice(into.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			if inner == "" {
				get(v.Index(i), into.Index(i), "", "")
			} else if part, _, ok := lookUp(v.Index(i), inner); ok {
				get(part, into.Index(i), "", "")
			}
		}
	case reflect.Int:
		into.SetInt(v.Int())
	case reflect.Float64:
		into.SetFloat(v.Float())
	case reflect.Bool:
		into.SetBool(v.Kind() != reflect.Bool || v.Bool())
	case reflect.String:
		if t, ok := v.Interface().(time.Time); ok {
			into.SetString(t.UTC().Format(time.RFC3339))
		} else {
			into.SetString(v.String())
		}
	}
}

func getMap(v, into reflect.Value, key string) {
	if v.Len() == 0 {
		return
	}
	into.Set(reflect.MakeMap(into.Type()))
	for i := range v.Len() {
		name, rest := keyed(v.Index(i).Type(), key)
		elem := reflect.New(into.Type().Elem()).Elem()
		if elem.Kind() == reflect.Struct {
			read(v.Index(i), elem)
		} else {
			get(v.Index(i).FieldByName(rest), elem, "", "")
		}
		k := reflect.New(reflect.TypeFor[string]()).Elem()
		get(v.Index(i).FieldByName(name), k, "", "")
		into.SetMapIndex(k, elem)
	}
}

// toAWS writes section, a pointer to a struct of the file, into a structure of
// AWS; a nil section writes nothing.
func toAWS[T any](section *T, into any) {
	if section != nil {
		write(reflect.ValueOf(section).Elem(), reflect.ValueOf(into).Elem())
	}
}

// fromAWS reads a structure of AWS into section.
func fromAWS(from any, section any) {
	read(reflect.ValueOf(from), reflect.ValueOf(section).Elem())
}

// keep empties every member of a structure of AWS that wanted does not name.
func keep(in any, wanted map[string]bool) {
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && !wanted[f.Name] {
			v.Field(i).SetZero()
		}
	}
}

// members are the members of a structure of AWS that touched fields of a file
// stand in; t is the section's type at path.
func members(t reflect.Type, path string, touched func(path string) bool) map[string]bool {
	out := map[string]bool{}
	for i, key := range keysOf(t) {
		f, at := t.Field(i), join(path, key)
		tag := f.Tag.Get("aws")
		switch {
		case tag == "-" || !touched(at):
		case tag != "":
			name, _, _ := strings.Cut(strings.FieldsFunc(tag, func(r rune) bool { return r == '.' || r == '|' })[0], "[")
			out[name] = true
		case f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct:
			for name := range members(f.Type.Elem(), at, touched) {
				out[name] = true
			}
		}
	}
	return out
}
