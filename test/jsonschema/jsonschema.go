// Package jsonschema holds YAML texts against a schema that our code renders,
// for the tests of the two files that have one.
package jsonschema

import (
	"bytes"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Schema is a compiled one.
type Schema struct {
	t testing.TB
	s *jsonschema.Schema
}

// Compile compiles what render gives.
func Compile(t testing.TB, render func() ([]byte, error)) Schema {
	t.Helper()
	text, err := render()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return Schema{t, s}
}

// Admits says what the schema has against a YAML text; nil is nothing.
func (s Schema) Admits(text string) error {
	s.t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		s.t.Fatalf("%v in\n%s", err, text)
	}
	return s.s.Validate(v)
}
