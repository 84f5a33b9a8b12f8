package chefrepo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"bakehouse/internal/fault"
)

// readRole reads one role file. Unknown keys are refused although Chef would
// let them pass: a role with "runlist" bakes an image with nothing in it.
func readRole(path string) (Role, error) {
	var role Role
	b, err := readObject(path, &role, "name", "description", "json_class", "chef_type",
		"default_attributes", "override_attributes", "run_list", "env_run_lists")
	if err != nil {
		return Role{}, err
	}
	if role.Name, err = nameOf(path, b, role.Name); err != nil {
		return Role{}, err
	}
	lists := [][]string{role.RunList}
	for _, l := range role.EnvRunLists {
		lists = append(lists, l)
	}
	for _, item := range slices.Concat(lists...) {
		if _, err := ParseItem(item); err != nil {
			return Role{}, fmt.Errorf("%s: %w", locate(path, b, item), err)
		}
	}
	role.Path = path
	return role, nil
}

func readEnvironment(path string) (Environment, error) {
	var env Environment
	b, err := readObject(path, &env, "name", "description", "json_class", "chef_type",
		"default_attributes", "override_attributes", "cookbook_versions")
	if err != nil {
		return Environment{}, err
	}
	if env.Name, err = nameOf(path, b, env.Name); err != nil {
		return Environment{}, err
	}
	for name, constraint := range env.CookbookVersions {
		if _, err := parseConstraint(constraint); err != nil {
			return Environment{}, fmt.Errorf("%s: cookbook_versions: %s: %w", locate(path, b, constraint), name, err)
		}
	}
	env.Path = path
	return env, nil
}

// nameOf wants the name inside to be the file's: tools look a role up by
// either, and must find the same one.
func nameOf(path string, b []byte, name string) (string, error) {
	base := strings.TrimSuffix(filepath.Base(path), ".json")
	if name == "" || name == base {
		return base, nil
	}
	return "", fmt.Errorf("%s: the name is %q but the file is called %s", locate(path, b, name), name, filepath.Base(path))
}

// readObject decodes the JSON object in path into v and returns its bytes.
func readObject(path string, v any, keys ...string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, positioned(path, b, err)
	}
	return b, checkKeys(path, b, keys)
}

// positioned turns an error of encoding/json into one that says where.
func positioned(path string, b []byte, err error) error {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fault.Newf(fault.Usage, "correct the JSON there", "%s: %s", at(path, b, int(syntax.Offset)-1), plain(syntax, len(b)))
	case errors.As(err, &typ):
		return fault.Newf(fault.Usage, "", "%s: %s must be %s, not %s",
			at(path, b, int(typ.Offset)-1), subject(typ.Field), typeName(typ.Type.String()), typ.Value)
	}
	return fmt.Errorf("%s: %w", path, err)
}

func subject(field string) string {
	if field == "" {
		return "the file"
	}
	return field
}

func plain(e *json.SyntaxError, size int) string {
	if int(e.Offset) >= size && strings.Contains(e.Error(), "unexpected end") {
		return "the JSON ends too early: a brace, bracket or quote is not closed"
	}
	return "not JSON: " + e.Error()
}

func typeName(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list of strings"
	case strings.HasPrefix(goType, "map[") || strings.Contains(goType, "."):
		return "an object"
	}
	return "a " + goType
}

// checkKeys refuses top-level keys that are unknown or there twice.
func checkKeys(path string, b []byte, known []string) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		key, _ := tok.(string)
		where := at(path, b, int(dec.InputOffset())-len(key)-2)
		if !slices.Contains(known, key) {
			return fault.Newf(fault.Usage, "known keys are "+strings.Join(known, ", "), "%s: unknown key %q", where, key)
		}
		if seen[key] {
			return fmt.Errorf("%s: key %q is there twice", where, key)
		}
		seen[key] = true
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// at renders path:line:col of a byte offset; columns count characters from 1.
func at(path string, b []byte, offset int) string {
	offset = max(0, min(offset, len(b)))
	line := 1 + bytes.Count(b[:offset], []byte("\n"))
	start := 1 + bytes.LastIndexByte(b[:offset], '\n')
	return fmt.Sprintf("%s:%d:%d", path, line, 1+utf8.RuneCount(b[start:offset]))
}

// locate renders the place where text stands as a JSON string, or path alone.
func locate(path string, b []byte, text string) string {
	quoted, err := json.Marshal(text)
	if i := bytes.Index(b, quoted); err == nil && i >= 0 {
		return at(path, b, i)
	}
	return path
}
