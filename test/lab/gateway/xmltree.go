package gateway

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// node is one XML element. EC2's documents have no mixed content, so text and
// kids never both matter. Names keep their prefix; namespaces are not resolved.
type node struct {
	name string
	attr []xml.Attr
	text string
	kids []*node
}

// parseXML reads one document.
func parseXML(b []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(b))
	root := &node{}
	stack := []*node{root}
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading XML reply: %w", err)
		}
		top := stack[len(stack)-1]
		switch t := t.(type) {
		case xml.StartElement:
			n := &node{name: qualified(t.Name), attr: t.Copy().Attr}
			top.kids = append(top.kids, n)
			stack = append(stack, n)
		case xml.EndElement:
			if len(stack) < 2 || top.name != qualified(t.Name) {
				return nil, fmt.Errorf("reading XML reply: unexpected end of %s", t.Name.Local)
			}
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(t)
		}
	}
	if len(stack) != 1 || len(root.kids) != 1 {
		return nil, errors.New("reading XML reply: no single root element")
	}
	return root.kids[0], nil
}

func qualified(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// bytes renders the document that n is the root of.
func (n *node) bytes() []byte {
	var b strings.Builder
	b.WriteString(xml.Header)
	n.write(&b)
	return []byte(b.String())
}

func (n *node) write(b *strings.Builder) {
	b.WriteString("<" + n.name)
	for _, a := range n.attr {
		b.WriteString(" " + qualified(a.Name) + `="` + escape(a.Value) + `"`)
	}
	if len(n.kids) == 0 && n.text == "" {
		b.WriteString("/>")
		return
	}
	b.WriteString(">")
	if len(n.kids) == 0 {
		b.WriteString(escape(n.text))
	}
	for _, k := range n.kids {
		k.write(b)
	}
	b.WriteString("</" + n.name + ">")
}

// at walks down by names and returns the first such element, or nil.
func (n *node) at(path ...string) *node {
	for _, name := range path {
		if n = n.kid(name); n == nil {
			return nil
		}
	}
	return n
}

func (n *node) kid(name string) *node {
	if n == nil {
		return nil
	}
	for _, k := range n.kids {
		if k.name == name {
			return k
		}
	}
	return nil
}

// value is the text at path, "" when there is none.
func (n *node) value(path ...string) string {
	if n = n.at(path...); n == nil {
		return ""
	}
	return n.text
}

// items are the elements named item below path.
func (n *node) items(path ...string) []*node {
	if n = n.at(path...); n == nil {
		return nil
	}
	var out []*node
	for _, k := range n.kids {
		if k.name == "item" {
			out = append(out, k)
		}
	}
	return out
}

// set gives the element at path the text, making what is missing on the way.
func (n *node) set(text string, path ...string) {
	n = n.make(path...)
	n.text, n.kids = text, nil
}

// make returns the element at path, made when missing.
func (n *node) make(path ...string) *node {
	for _, name := range path {
		k := n.kid(name)
		if k == nil {
			k = &node{name: name}
			n.kids = append(n.kids, k)
		}
		n = k
	}
	return n
}

// drop removes the kids with one of the names.
func (n *node) drop(names ...string) {
	n.keep(func(k *node) bool {
		for _, name := range names {
			if k.name == name {
				return false
			}
		}
		return true
	})
}

// keep removes the kids that ok refuses.
func (n *node) keep(ok func(*node) bool) {
	if n == nil {
		return
	}
	kept := n.kids[:0:0]
	for _, k := range n.kids {
		if ok(k) {
			kept = append(kept, k)
		}
	}
	n.kids = kept
}

// walk visits n and everything below it.
func (n *node) walk(visit func(*node)) {
	visit(n)
	for _, k := range n.kids {
		k.walk(visit)
	}
}
