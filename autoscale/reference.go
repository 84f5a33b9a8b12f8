package autoscale

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference lists every key of the file of today in Markdown: a table for each
// section, in the order of the file. A section that stands in several places
// has one table.
func Reference() []byte {
	w := &referenceWriter{titles: map[reflect.Type]string{}}
	w.b.WriteString("# Keys of autoscale.yaml\n\nWritten by `autoscalectl schema --keys`; [autoscale.md](autoscale.md) says what the file is for.\n\n")
	w.table("the file", reflect.TypeFor[fileV2](), nil)
	return []byte(strings.TrimSuffix(w.b.String(), "\n"))
}

type referenceWriter struct {
	b      strings.Builder
	titles map[reflect.Type]string // of the tables written or begun
}

// table writes one section, then those that it has in it.
func (w *referenceWriter) table(title string, t, sdk reflect.Type) {
	w.titles[t] = title
	fmt.Fprintf(&w.b, "## %s\n\n| key | takes | meaning |\n|---|---|---|\n", title)
	type below struct {
		title  string
		t, sdk reflect.Type
	}
	var todo []below
	for i, key := range keysOf(t) {
		f := t.Field(i)
		inner, at := bare(f.Type), place(f, sdk)
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[Desired]() {
			if _, known := w.titles[inner]; !known {
				name := strings.TrimPrefix(join(strings.TrimSuffix(title, " of a group"), key), "the file.")
				if inner == reflect.TypeFor[Group]() {
					name = "a group"
				}
				w.titles[inner] = strings.TrimPrefix(name, "a group.")
				todo = append(todo, below{w.titles[inner], inner, at})
			}
		}
		fmt.Fprintf(&w.b, "| `%s` | %s | %s |\n", key, cell(w.takes(f.Type, words(f, sdk))), cell(f.Tag.Get("doc")))
	}
	w.b.WriteString("\n")
	for _, b := range todo {
		w.table(b.title, b.t, b.sdk)
	}
}

// takes says in words what a key takes.
func (w *referenceWriter) takes(t reflect.Type, words []string) string {
	switch {
	case t == reflect.TypeFor[*Desired]():
		return "`initial:N` or `enforce:N`"
	case t == reflect.TypeFor[*Mixed]() || t == reflect.TypeFor[*WarmPool]():
		return "[" + w.titles[t.Elem()] + "](#" + anchor(w.titles[t.Elem()]) + "), or `none`"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.takes(t.Elem(), words)
	case reflect.Slice:
		return "list of " + w.takes(t.Elem(), words)
	case reflect.Map:
		return "by name, " + w.takes(t.Elem(), words)
	case reflect.Struct:
		return "[" + w.titles[t] + "](#" + anchor(w.titles[t]) + ")"
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Bool:
		return "true or false"
	}
	if words == nil {
		return "text"
	}
	return "`" + strings.Join(words, "`, `") + "`"
}

// cell keeps a text within its cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// anchor is what a heading is linked by.
func anchor(title string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(title), ".", ""), " ", "-")
}
