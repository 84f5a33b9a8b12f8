// Package yamltree is what our two strict readers of YAML (bakehouse.yaml and
// autoscale.yaml) do alike: they walk the syntax tree themselves, as only the
// tree knows where a value stands, and every error names file, line and column.
package yamltree

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"bakehouse/internal/fault"
)

// Parse reads one document to its top node; nil for an empty file. Errors are
// fault.Usage, in one line: the parser's own quote the source.
func Parse(file string, b []byte) (ast.Node, error) {
	tree, err := parser.ParseBytes(b, 0)
	var bad yaml.Error
	switch {
	case errors.As(err, &bad):
		text := oneLine(strings.ReplaceAll(bad.GetMessage(), "'\t'", "TAB (indent with spaces)"))
		return nil, Errorf(file, bad.GetToken(), hint(text), "%s", text)
	case err != nil:
		return nil, fault.Newf(fault.Usage, "", "%s: %s", file, oneLine(err.Error()))
	}
	var top ast.Node
	for _, doc := range tree.Docs {
		if doc.Body == nil {
			continue
		}
		if top != nil {
			return nil, Errorf(file, doc.Body.GetToken(), "keep one document", "a second YAML document")
		}
		top = doc.Body
	}
	return top, nil
}

// hint says what is most likely behind a message of the YAML library.
func hint(text string) string {
	for part, next := range map[string]string{
		"invalid header option":        "put quotes around a value that begins with > or |",
		"cannot start any token":       "YAML takes spaces for indentation, not tabs",
		"mapping value is not allowed": "put quotes around a value with a colon and a space in it",
	} {
		if strings.Contains(text, part) {
			return next
		}
	}
	return "correct the YAML there, and check the indentation of the lines around it"
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Errorf is a fault.Usage at a token.
func Errorf(file string, at *token.Token, next, format string, args ...any) error {
	return fault.Newf(fault.Usage, next, "%s: %s", Place(file, at), fmt.Sprintf(format, args...))
}

// Place is FILE:LINE:COLUMN of a token, or the file alone.
func Place(file string, at *token.Token) string {
	if at == nil || at.Position == nil {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, at.Position.Line, at.Position.Column)
}

// Pairs are the entries of a section; ok is false for what is none.
func Pairs(n ast.Node) (pairs []*ast.MappingValueNode, ok bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode: // how the parser gives a single pair
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

// Scalar is a plain value as it is written: a port, a version or an account id
// that is meant as text needs no quotes.
func Scalar(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// Kind says in a word or two what a node is.
func Kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "section"
	case *ast.SequenceNode:
		return "list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "YAML anchor or alias (write the value out)"
	case *ast.TagNode:
		return "YAML tag"
	}
	return "single value"
}
