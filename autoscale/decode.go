package autoscale

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"bakehouse/internal/fault"
	"bakehouse/internal/nearest"
	"bakehouse/internal/yamltree"
)

// decoder reads a syntax tree into structs and remembers where each value
// stood: the library's own decoder forgets, and a check that comes later
// (min > max) has to point at a line too.
type decoder struct {
	file  string
	at    positions
	under map[string][]string // what a group stands on, nearest first, by the group's path
	old   []string            // the groups of a file of 2013, whose keys are others
}

// positions says where the value of a path stands.
type positions map[string]*token.Token

// scalarSetter is a type with a short form in one word.
type scalarSetter interface{ setScalar(string) error }

func (d *decoder) errorf(t *token.Token, next, format string, args ...any) error {
	if next == "" {
		next = "correct the file there; autoscalectl validate checks it without asking AWS"
	}
	return yamltree.Errorf(d.file, t, next, format, args...)
}

// wrong is errorf at the value of path, or at the nearest section above it.
// What a group has from a template or the defaults is found there.
func (d *decoder) wrong(path, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	path = d.written(path)
	for p := path; p != ""; p = p[:max(0, strings.LastIndexByte(p, '.'))] {
		for _, at := range d.standing(p) {
			if t := d.at[at]; t != nil {
				return d.errorf(t, "", "%s: %s", path, text)
			}
		}
	}
	return d.errorf(nil, "", "%s: %s", path, text)
}

// standing lists where the value of path may be written, nearest first.
func (d *decoder) standing(path string) []string {
	out := []string{path}
	for group, under := range d.under {
		if rest, ok := strings.CutPrefix(path, group+"."); ok {
			for _, u := range under {
				out = append(out, u+"."+rest)
			}
		}
	}
	return out
}

// pairs returns the entries of a section; no key may stand twice.
func (d *decoder) pairs(n ast.Node, path string) ([]*ast.MappingValueNode, error) {
	pairs, ok := yamltree.Pairs(n)
	if !ok {
		return nil, d.errorf(n.GetToken(), "indent KEY: VALUE lines below it", "%s: expected a section, got a %s", orFile(path), yamltree.Kind(n))
	}
	seen := map[string]bool{}
	for _, p := range pairs {
		key, ok := yamltree.Scalar(p.Key)
		if !ok || p.Key.IsMergeKey() {
			return nil, d.errorf(p.Key.GetToken(), "write the keys out", "a key must be plain text")
		}
		if seen[key] {
			return nil, d.errorf(p.Key.GetToken(), "keep one of the two", "%s stands twice", join(path, key))
		}
		seen[key] = true
		d.at[join(path, key)] = p.Key.GetToken()
	}
	return pairs, nil
}

// value reads n into into.
func (d *decoder) value(n ast.Node, into reflect.Value, path string) error {
	if _, null := n.(*ast.NullNode); null {
		return d.errorf(n.GetToken(), "leave the key out to leave it alone; write [] or {} for none", "%s has no value", orFile(path))
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		return d.value(n, into.Elem(), path)
	}
	if set, ok := into.Addr().Interface().(scalarSetter); ok {
		if text, plain := yamltree.Scalar(n); plain {
			if err := set.setScalar(text); err != nil {
				return d.errorf(n.GetToken(), fault.NextOf(err), "%s: %v", path, err)
			}
			return nil
		}
	}
	switch into.Kind() {
	case reflect.Struct:
		return d.section(n, into, path)
	case reflect.Map:
		return d.mapping(n, into, path)
	case reflect.Slice:
		return d.list(n, into, path)
	}
	return d.plain(n, into, path)
}

func (d *decoder) section(n ast.Node, into reflect.Value, path string) error {
	pairs, err := d.pairs(n, path)
	if err != nil {
		return err
	}
	known := keysOf(into.Type())
	for _, p := range pairs {
		key, _ := yamltree.Scalar(p.Key)
		i := indexOf(known, key)
		if i < 0 {
			return d.unknown(p.Key.GetToken(), key, path, known)
		}
		if err := d.value(p.Value, into.Field(i), join(path, key)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) mapping(n ast.Node, into reflect.Value, path string) error {
	pairs, err := d.pairs(n, path)
	if err != nil {
		return err
	}
	into.Set(reflect.MakeMap(into.Type()))
	for _, p := range pairs {
		key, _ := yamltree.Scalar(p.Key)
		elem := reflect.New(into.Type().Elem()).Elem()
		if err := d.value(p.Value, elem, join(path, key)); err != nil {
			return err
		}
		into.SetMapIndex(reflect.ValueOf(key), elem)
	}
	return nil
}

func (d *decoder) list(n ast.Node, into reflect.Value, path string) error {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		return d.errorf(n.GetToken(), "write [A, B]", "%s: expected a list, got a %s", path, yamltree.Kind(n))
	}
	into.Set(reflect.MakeSlice(into.Type(), len(seq.Values), len(seq.Values)))
	for i, v := range seq.Values {
		at := path + "." + strconv.Itoa(i)
		d.at[at] = v.GetToken()
		if err := d.value(v, into.Index(i), at); err != nil {
			return err
		}
	}
	return nil
}

// plain reads a number, a truth value or text. Text takes numbers as they are
// written: an account id or a version needs no quotes.
func (d *decoder) plain(n ast.Node, into reflect.Value, path string) error {
	text, ok := yamltree.Scalar(n)
	var err error
	want := "text"
	switch into.Kind() {
	case reflect.Int:
		want = "a whole number"
		var i int64
		if _, number := n.(*ast.IntegerNode); !number {
			ok = false
		} else if i, err = strconv.ParseInt(text, 10, 32); err == nil { // AWS has no more bits
			into.SetInt(i)
		}
	case reflect.Float64:
		want = "a number"
		var f float64
		if f, err = strconv.ParseFloat(text, 64); err == nil {
			into.SetFloat(f)
		}
		ok = ok && !math.IsNaN(f) && !math.IsInf(f, 0)
	case reflect.Bool:
		want = "true or false"
		if _, truth := n.(*ast.BoolNode); !truth {
			ok = false
		}
		into.SetBool(text == "true")
	default:
		into.SetString(text)
	}
	if !ok || err != nil {
		next := ""
		if yamltree.Kind(n) == "section" { // [a:b] is read as one
			next = "a text with a colon needs quotes there"
		}
		return d.errorf(n.GetToken(), next, "%s: expected %s, got %s", path, want, shown(n, text))
	}
	return nil
}

func (d *decoder) unknown(t *token.Token, key, path string, known []string) error {
	guess := nearest.Word(key, known)
	if guess != "" {
		guess = ", did you mean " + strconv.Quote(guess) + "?"
	}
	return d.errorf(t, "known keys there are "+strings.Join(known, ", "), "unknown key %q in %s%s", key, orFile(path), guess)
}

// keysOf names the keys of a section, in the order of its fields.
func keysOf(t reflect.Type) []string {
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("yaml")
	}
	return keys
}

func indexOf(keys []string, key string) int {
	for i, k := range keys {
		if k == key && key != "-" {
			return i
		}
	}
	return -1
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func orFile(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

func shown(n ast.Node, text string) string {
	if _, plain := yamltree.Scalar(n); plain {
		return strconv.Quote(text)
	}
	return "a " + yamltree.Kind(n)
}
