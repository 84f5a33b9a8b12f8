package config

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"bakehouse/internal/nearest"
	"bakehouse/internal/yamltree"
)

// reader walks the syntax tree of one file. It does the decoder's work
// itself, since only the tree knows where a value stands.
type reader struct {
	file   string
	checks map[string]check
	where  map[string]string // positions of what was read, by path
}

func parse(file string, b []byte, into *Config) error {
	top, err := yamltree.Parse(file, b)
	if err != nil || top == nil {
		return err
	}
	return reader{file, checks(), into.Where}.section(top, reflect.ValueOf(into).Elem(), "")
}

func (r reader) errorf(t *token.Token, next, format string, args ...any) error {
	return yamltree.Errorf(r.file, t, next, format, args...)
}

func (r reader) position(t *token.Token) string { return yamltree.Place(r.file, t) }

// entries returns a mapping's pairs; an empty value is an empty mapping.
func (r reader) entries(n ast.Node, path string) ([]*ast.MappingValueNode, error) {
	if pairs, ok := yamltree.Pairs(n); ok {
		return pairs, nil
	}
	switch n.(type) {
	case *ast.NullNode, *ast.CommentGroupNode:
		return nil, nil
	}
	return nil, r.errorf(n.GetToken(), "indent KEY: VALUE lines below it", "%s: expected a section, got a %s", named(path), yamltree.Kind(n))
}

func named(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// section reads a mapping into a struct.
func (r reader) section(n ast.Node, into reflect.Value, path string) error {
	pairs, err := r.entries(n, path)
	if err != nil {
		return err
	}
	for _, pair := range pairs {
		key, err := r.key(pair)
		if err != nil {
			return err
		}
		field, ok := fieldOf(into.Type(), key)
		if !ok {
			return r.unknown(pair.Key.GetToken(), key, path, keysOf(into.Type()))
		}
		if err := r.value(pair.Value, into.FieldByIndex(field.Index), field, join(path, key)); err != nil {
			return err
		}
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func fieldOf(t reflect.Type, key string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("yaml") == key && key != "-" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func (r reader) key(pair *ast.MappingValueNode) (string, error) {
	if pair.Key.IsMergeKey() {
		return "", r.errorf(pair.Key.GetToken(), "write the keys out", "merge keys are not supported")
	}
	text, ok := yamltree.Scalar(pair.Key)
	if !ok {
		return "", r.errorf(pair.Key.GetToken(), "", "a key must be plain text")
	}
	return text, nil
}

func (r reader) unknown(t *token.Token, key, path string, known []string) error {
	where := "at the top level"
	if path != "" {
		where = "in " + path
	}
	next := "known keys " + where + " are " + strings.Join(known, ", ")
	if guess := nearest.Word(key, known); guess != "" {
		return r.errorf(t, next, "unknown key %q %s, did you mean %q?", key, where, guess)
	}
	if section := elsewhere(key); section != "" {
		return r.errorf(t, "move it there", "unknown key %q %s, it belongs in %s", key, where, section)
	}
	return r.errorf(t, next, "unknown key %q %s", key, where)
}

// value reads one value into a field. A key without a value counts as left out.
func (r reader) value(n ast.Node, into reflect.Value, f reflect.StructField, path string) error {
	if _, null := n.(*ast.NullNode); null {
		return nil
	}
	switch into.Kind() {
	case reflect.Struct:
		return r.section(n, into, path)
	case reflect.Map:
		return r.mapping(n, into, f, path)
	case reflect.Slice:
		r.where[path] = r.position(n.GetToken())
		return r.list(n, into, f, path)
	}
	r.where[path] = r.position(n.GetToken())
	text, err := r.checked(n, f.Tag.Get("is"), path)
	if err != nil {
		return err
	}
	return r.set(into, text)
}

func (r reader) mapping(n ast.Node, into reflect.Value, f reflect.StructField, path string) error {
	pairs, err := r.entries(n, path)
	if err != nil {
		return err
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, pair := range pairs {
		key, err := r.key(pair)
		if err != nil {
			return err
		}
		elem := reflect.New(into.Type().Elem()).Elem()
		if elem.Kind() == reflect.Struct {
			if c := r.checks[f.Tag.Get("is")]; c.bad(key) {
				return r.errorf(pair.Key.GetToken(), "", "%s: expected %s, got %s", path, c.what, quoted(key))
			}
			err = r.section(pair.Value, elem, join(path, key))
		} else {
			err = r.pair(pair, key, elem, f, path)
		}
		if err != nil {
			return err
		}
		into.SetMapIndex(reflect.ValueOf(key), elem)
	}
	return nil
}

// pair reads KEY: VALUE of a map of strings and checks both together.
func (r reader) pair(pair *ast.MappingValueNode, key string, elem reflect.Value, f reflect.StructField, path string) error {
	text := ""
	if _, null := pair.Value.(*ast.NullNode); !null {
		var ok bool
		if text, ok = yamltree.Scalar(pair.Value); !ok {
			return r.errorf(pair.Value.GetToken(), "", "%s: expected text, got a %s", join(path, key), yamltree.Kind(pair.Value))
		}
	}
	if c := r.checks[f.Tag.Get("is")]; c.bad(key + "=" + text) {
		return r.errorf(pair.Key.GetToken(), "", "%s: expected %s, got %s", path, c.what, quoted(key+": "+text))
	}
	elem.SetString(text)
	r.where[join(path, key)] = r.position(pair.Key.GetToken())
	return nil
}

func (r reader) list(n ast.Node, into reflect.Value, f reflect.StructField, path string) error {
	seq, ok := n.(*ast.SequenceNode)
	if _, plain := yamltree.Scalar(n); plain && f.Tag.Get("one") != "" {
		seq, ok = &ast.SequenceNode{Values: []ast.Node{n}}, true
	}
	if !ok {
		return r.errorf(n.GetToken(), "write "+last(path)+": [A, B]", "%s: expected a list, got a %s", path, yamltree.Kind(n))
	}
	for i, v := range seq.Values {
		at := path
		if v != n {
			at += "[" + strconv.Itoa(i) + "]"
		}
		text, err := r.checked(v, f.Tag.Get("is"), at)
		if err != nil {
			return err
		}
		into.Set(reflect.Append(into, reflect.ValueOf(text)))
	}
	return nil
}

func last(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// checked returns a scalar's text if it passes the check that is named.
func (r reader) checked(n ast.Node, is, path string) (string, error) {
	c := r.checks[is]
	text, ok := yamltree.Scalar(n)
	if !ok {
		return "", r.errorf(n.GetToken(), "", "%s: expected %s, got a %s", path, c.what, yamltree.Kind(n))
	}
	if !c.bad(text) {
		return text, nil
	}
	if guess := nearest.Word(text, c.one); guess != "" {
		return "", r.errorf(n.GetToken(), "", "%s: expected %s, got %s, did you mean %q?", path, c.what, quoted(text), guess)
	}
	return "", r.errorf(n.GetToken(), "", "%s: expected %s, got %s", path, c.what, quoted(text))
}

// quoted shows a value, or its beginning, without the password of a URL:
// somebody may have pasted a key.
func quoted(s string) string {
	s = regexp.MustCompile(`://\S*@`).ReplaceAllString(s, "://xxxxx@")
	if r := []rune(s); len(r) > 40 {
		s = string(r[:12]) + "…"
	}
	return strconv.Quote(s)
}

// set stores a text that was checked.
func (r reader) set(into reflect.Value, text string) error {
	switch {
	case into.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		into.SetInt(int64(d))
		return err
	case into.Kind() == reflect.Bool:
		into.SetBool(text == "true")
		return nil
	case into.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		into.SetInt(int64(n))
		return err
	}
	into.SetString(text)
	return nil
}
