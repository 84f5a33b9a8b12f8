package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// schema is one node of a JSON Schema, draft 2020-12 (json-schema.org). The
// order of the fields is the order in the file.
type schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        []string           `json:"type,omitempty"`
	Default     any                `json:"default,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Minimum     int                `json:"minimum,omitempty"`
	Maximum     int                `json:"maximum,omitempty"`
	Names       *schema            `json:"propertyNames,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Others      any                `json:"additionalProperties,omitempty"` // false, or the schema of a map's values
	Items       *schema            `json:"items,omitempty"`
	OneOf       []*schema          `json:"oneOf,omitempty"`
}

// Schema renders the JSON Schema of bakehouse.yaml, for editors. It admits
// whatever Load admits; Load is the stricter of the two.
func Schema() ([]byte, error) {
	root := section(reflect.TypeFor[Config](), checks())
	root.Dialect, root.Title = "https://json-schema.org/draft/2020-12/schema", "bakehouse.yaml"
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering the schema: %w", err)
	}
	return append(b, '\n'), nil
}

// section is the schema of a struct. A key without a value counts as left out,
// so null is fine everywhere.
func section(t reflect.Type, kinds map[string]check) *schema {
	s := &schema{Type: []string{"object", "null"}, Properties: map[string]*schema{}, Others: false}
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("yaml"); key != "-" {
			s.Properties[key] = field(f, kinds)
		}
	}
	return s
}

func field(f reflect.StructField, kinds map[string]check) *schema {
	doc, kind := f.Tag.Get("doc"), kinds[f.Tag.Get("is")]
	if like := f.Tag.Get("like"); like != "" {
		return &schema{Ref: "#/properties/" + like, Description: doc}
	}
	var s *schema
	switch f.Type.Kind() {
	case reflect.Struct:
		return section(f.Type, kinds)
	case reflect.Map:
		s = mapping(f.Type, kind, kinds)
	case reflect.Slice:
		s = list(f, kind)
	default:
		s = leaf(f.Type, kind)
	}
	s.Description = doc
	if text := f.Tag.Get("default"); text != "" {
		s.Default = typed(f.Type, text)
	}
	return s
}

// mapping is the schema of a map: of sections by name, or of plain texts.
func mapping(t reflect.Type, kind check, kinds map[string]check) *schema {
	s := &schema{Type: []string{"object", "null"}}
	if t.Elem().Kind() == reflect.Struct {
		s.Names, s.Others = &schema{Pattern: kind.pattern}, section(t.Elem(), kinds)
		return s
	}
	s.Others = &schema{Type: []string{"string", "number", "boolean", "null"}}
	return s
}

func list(f reflect.StructField, kind check) *schema {
	one := leaf(f.Type.Elem(), kind)
	s := &schema{Type: []string{"array", "null"}, Items: one}
	if f.Tag.Get("one") == "" {
		return s
	}
	return &schema{OneOf: []*schema{s, {Type: []string{"string"}, Pattern: one.Pattern, Enum: one.Enum}}}
}

// leaf is the schema of a plain value.
func leaf(t reflect.Type, kind check) *schema {
	s := &schema{Pattern: kind.pattern, Minimum: kind.low, Maximum: kind.high}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		s.Type, s.Pattern = []string{"string", "null"}, `^([0-9.]+(ns|us|ms|s|m|h|d))+$`
	case t.Kind() == reflect.Int:
		s.Type = []string{"integer", "null"}
	case t.Kind() == reflect.Bool:
		s.Type = []string{"boolean", "null"}
	default:
		// YAML reads 0123 or 1.2 as a number; the reader takes it as it is written.
		s.Type = []string{"string", "number", "null"}
		for _, v := range kind.one {
			s.Enum = append(s.Enum, v)
		}
	}
	if s.Enum != nil {
		s.Enum = append(s.Enum, nil)
	}
	return s
}

// typed is a default as JSON knows it.
func typed(t reflect.Type, text string) any {
	var v any
	if k := t.Kind(); (k == reflect.Int || k == reflect.Bool) && json.Unmarshal([]byte(text), &v) == nil {
		return v
	}
	return text
}
