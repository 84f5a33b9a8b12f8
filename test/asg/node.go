package asg

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// node is a value of a Query call: text, or named children in order. A list is
// a node whose children are called member (Auto Scaling) or by their number.
type node struct {
	text  string
	names []string
	kids  map[string]*node
	items []*node // a list's
	list  bool
	item  string // what a list calls its elements, when not as its service does
}

func text(s string) *node { return &node{text: s} }

func list(items ...*node) *node { return &node{list: true, items: items} }

// fields makes a node of name, value pairs.
func fields(pairs ...any) *node {
	n := &node{}
	for i := 0; i+1 < len(pairs); i += 2 {
		switch v := pairs[i+1].(type) {
		case *node:
			n.set(pairs[i].(string), v)
		case string:
			n.set(pairs[i].(string), text(v))
		default:
			n.set(pairs[i].(string), text(fmt.Sprint(v)))
		}
	}
	return n
}

func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	return n.kids[name]
}

// str is the text of a child, "" when there is none.
func (n *node) str(name string) string {
	if k := n.get(name); k != nil {
		return k.text
	}
	return ""
}

func (n *node) number(name string) int {
	i, err := strconv.Atoi(n.str(name))
	if err != nil {
		return 0
	}
	return i
}

func (n *node) has(name string) bool { return n.get(name) != nil }

func (n *node) set(name string, v *node) {
	if n.kids == nil {
		n.kids = map[string]*node{}
	}
	if n.kids[name] == nil {
		n.names = append(n.names, name)
	}
	n.kids[name] = v
}

func (n *node) drop(name string) {
	if n.has(name) {
		delete(n.kids, name)
		n.names = slices.DeleteFunc(n.names, func(s string) bool { return s == name })
	}
}

// all returns a list child's items.
func (n *node) all(name string) []*node {
	if k := n.get(name); k != nil {
		return k.items
	}
	return nil
}

// texts returns the texts of a list child.
func (n *node) texts(name string) []string {
	var out []string
	for _, i := range n.all(name) {
		out = append(out, i.text)
	}
	return out
}

// copy returns a copy of n, children by reference; an empty node of none.
func (n *node) copy() *node {
	if n == nil {
		return &node{}
	}
	out := &node{text: n.text, list: n.list, item: n.item, items: slices.Clone(n.items)}
	for _, name := range n.names {
		out.set(name, n.kids[name])
	}
	return out
}

// merge sets every child of over.
func (n *node) merge(over *node) {
	for _, name := range over.names {
		n.set(name, over.kids[name])
	}
}

// parseForm makes a tree of dotted names.
func parseForm(form url.Values) *node {
	root := &node{}
	for name, values := range form {
		at := root
		parts := strings.Split(name, ".")
		for _, p := range parts {
			if at.get(p) == nil {
				at.set(p, &node{})
			}
			at = at.kids[p]
		}
		at.text = values[0]
	}
	for _, name := range []string{"Action", "Version"} {
		root.drop(name)
	}
	root.settle()
	return root
}

// settle sorts names and turns numbered children into lists.
func (n *node) settle() {
	slices.Sort(n.names)
	for _, name := range n.names {
		n.kids[name].settle()
	}
	inner := n
	item := ""
	if len(n.names) == 1 && (n.names[0] == "member" || n.names[0] == "item") {
		item = n.names[0]
		inner = n.kids[item]
		if inner.list {
			*n = *inner
			n.item = item
			return
		}
	}
	if len(inner.names) == 0 {
		return
	}
	items := map[int]*node{}
	most := 0
	for _, name := range inner.names {
		i, err := strconv.Atoi(name)
		if err != nil {
			return
		}
		items[i], most = inner.kids[name], max(most, i)
	}
	*n = node{list: true}
	for i := 1; i <= most; i++ {
		if items[i] != nil {
			n.items = append(n.items, items[i])
		}
	}
}

// render writes n's children as XML; item is what a list's elements are called.
func (n *node) render(b *strings.Builder, item string) {
	own := cmp.Or(n.item, item)
	for _, i := range n.items {
		b.WriteString("<" + own + ">")
		i.render(b, item)
		b.WriteString("</" + own + ">")
	}
	for _, name := range n.names {
		b.WriteString("<" + name + ">")
		n.kids[name].render(b, item)
		b.WriteString("</" + name + ">")
	}
	if n.text != "" {
		// Writing to a Builder cannot fail.
		_ = xml.EscapeText(b, []byte(n.text))
	}
}

// writeXML answers in the shape of the service.
func writeXML(w http.ResponseWriter, service, action string, out *node, err error) {
	var b strings.Builder
	w.Header().Set("Content-Type", "text/xml")
	if err != nil {
		code, status := "InternalFailure", 500
		message := err.Error()
		if r, ok := err.(*refusal); ok {
			code, status, message = r.code, r.status, r.message
		}
		inner := fields("Code", code, "Message", message)
		if service == "ec2" {
			fields("Response", fields("Errors", fields("Error", inner))).render(&b, "item")
		} else {
			fields("ErrorResponse", fields("Error", inner)).render(&b, "member")
		}
		w.WriteHeader(status)
		fmt.Fprint(w, b.String())
		return
	}
	if out == nil {
		out = &node{}
	}
	if service == "ec2" {
		out.set("requestId", text("lab"))
		fields(action+"Response", out).render(&b, "item")
	} else {
		fields(action+"Response", fields(action+"Result", out, "ResponseMetadata", fields("RequestId", "lab"))).render(&b, "member")
	}
	fmt.Fprint(w, b.String())
}
