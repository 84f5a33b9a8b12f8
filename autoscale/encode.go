package autoscale

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/goccy/go-yaml"
)

// Encode writes s in the format of version 2; Parse of it gives the same
// groups. What is nil is left out.
func Encode(s Spec) ([]byte, error) {
	f := fileV2{Version: ptr(2), Region: &s.Region, Groups: s.Groups}
	if s.Owner != "" {
		f.Owner = &s.Owner
	}
	b, err := yaml.MarshalWithOptions(tree(reflect.ValueOf(f)), yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("writing groups as YAML: %w", err)
	}
	return b, nil
}

// tree turns v into what the YAML library writes in a stable order.
func tree(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if d, ok := v.Interface().(*Desired); ok {
			return d.String()
		}
		return tree(v.Elem())
	case reflect.Struct:
		if s, ok := v.Interface().(shortForm); ok {
			if text, short := s.short(); short {
				return text
			}
		}
		out := yaml.MapSlice{}
		for i, key := range keysOf(v.Type()) {
			if f := v.Field(i); !f.IsNil() {
				out = append(out, yaml.MapItem{Key: key, Value: tree(f)})
			}
		}
		return out
	case reflect.Map:
		out := yaml.MapSlice{}
		for _, k := range sortedKeys(v) {
			out = append(out, yaml.MapItem{Key: k, Value: tree(v.MapIndex(reflect.ValueOf(k)))})
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = tree(v.Index(i))
		}
		return out
	}
	return v.Interface()
}

func sortedKeys(v reflect.Value) []string {
	keys := map[string]bool{}
	for _, k := range v.MapKeys() {
		keys[k.String()] = true
	}
	return slices.Sorted(maps.Keys(keys))
}
