package autoscale

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// schema is one node of a JSON Schema, draft 2020-12 (json-schema.org). The
// order of the fields is the order in the file.
type schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // a word, or several
	Const       any                `json:"const,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Names       *schema            `json:"propertyNames,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Others      any                `json:"additionalProperties,omitempty"` // false, or the schema of a map's values
	Required    []string           `json:"required,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	OneOf       []*schema          `json:"oneOf,omitempty"`
	Not         *schema            `json:"not,omitempty"`
	If          *schema            `json:"if,omitempty"`
	Then        *schema            `json:"then,omitempty"`
	Else        *schema            `json:"else,omitempty"`
	Defs        map[string]*schema `json:"$defs,omitempty"`
}

// Schema renders the JSON Schema of the file, for editors: what Parse admits,
// the schema admits; Parse is the stricter of the two.
func Schema() ([]byte, error) {
	w := schemaWriter{defs: map[string]*schema{}, of: map[string]reflect.Type{}}
	now, old := w.section(reflect.TypeFor[fileV2](), nil), w.section(reflect.TypeFor[file2013](), nil)
	now.Required, old.Required = []string{"version", "region", "groups"}, []string{"groups"}
	now.Properties["version"].Const = 2
	w.defs["File"], w.defs["FileOf2013"] = now, old
	root := &schema{Dialect: "https://json-schema.org/draft/2020-12/schema", Title: "autoscale.yaml", Defs: w.defs,
		// A file that is just begun is completed in the format of today.
		If:   &schema{Required: []string{"groups"}, Not: &schema{Required: []string{"version"}}},
		Then: &schema{Ref: "#/$defs/FileOf2013"}, Else: &schema{Ref: "#/$defs/File"}}
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering the schema: %w", err)
	}
	return append(b, '\n'), nil
}

// schemaWriter keeps the sections that stand by name in the schema.
type schemaWriter struct {
	defs map[string]*schema
	of   map[string]reflect.Type // the type of AWS that a definition was made with
}

func (w schemaWriter) section(t, sdk reflect.Type) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}, Others: false}
	for i, key := range keysOf(t) {
		if key != "-" {
			s.Properties[key] = w.field(t.Field(i), sdk)
		}
	}
	return s
}

func (w schemaWriter) field(f reflect.StructField, sdk reflect.Type) *schema {
	s := w.value(f.Type, words(f, sdk), place(f, sdk))
	if f.Name == "Groups" {
		s.Names = &schema{Pattern: `^[^|:]{1,200}$`}
	}
	s.Description = f.Tag.Get("doc")
	return s
}

// value is the schema of a type. Text takes numbers and truth values as they
// are written, as Parse does.
func (w schemaWriter) value(t reflect.Type, words []string, sdk reflect.Type) *schema {
	switch {
	case t == reflect.TypeFor[lines]():
		return &schema{OneOf: []*schema{w.value(reflect.TypeFor[string](), nil, nil), {Type: "array", Items: w.value(reflect.TypeFor[string](), nil, nil)}}}
	case t == reflect.TypeFor[Desired]():
		return &schema{Type: "string", Pattern: `^(initial|enforce):[0-9]+$`}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.value(t.Elem(), words, sdk)
	case reflect.Slice:
		return &schema{Type: "array", Items: w.value(t.Elem(), words, sdk)}
	case reflect.Map:
		return &schema{Type: "object", Others: w.value(t.Elem(), words, sdk)}
	case reflect.Struct:
		return w.named(t, sdk)
	case reflect.Int:
		return &schema{Type: "integer"}
	case reflect.Float64:
		return &schema{Type: "number"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	}
	if words != nil {
		return &schema{Type: "string", Enum: append(slices.Clone(words), "")}
	}
	return &schema{Type: []string{"string", "number", "boolean"}}
}

// named refers to the definition of a section, and makes it when it is new.
// One that stands for several types of AWS has a definition for each, as the
// words differ.
func (w schemaWriter) named(t, sdk reflect.Type) *schema {
	name := t.Name()
	if of, taken := w.of[name]; taken && of != sdk && !reflect.DeepEqual(w.section(t, sdk), w.section(t, of)) {
		name += "Of" + sdk.Name()
	}
	if _, known := w.of[name]; !known {
		w.of[name] = sdk
		w.defs[name] = w.section(t, sdk)
		switch reflect.New(t).Interface().(type) {
		case *Tag:
			w.defs[name] = &schema{OneOf: []*schema{w.value(reflect.TypeFor[string](), nil, nil), w.defs[name]}}
		case *Override:
			w.defs[name] = &schema{OneOf: []*schema{{Type: "string", Pattern: `^[^=]+(=[1-9][0-9]{0,2})?$`}, w.defs[name]}}
		case *Mixed, *WarmPool:
			w.defs[name] = &schema{OneOf: []*schema{{Const: "none"}, w.defs[name]}}
		}
	}
	return &schema{Ref: "#/$defs/" + name}
}
