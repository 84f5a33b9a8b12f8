package inventory

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
)

//go:embed diff.html
var page embed.FS

// AddTemplates gives a page the templates "diff", which renders a Diff, and
// "diff-style", its style, which expects the page's colours.
func AddTemplates(t *template.Template) (*template.Template, error) {
	return t.ParseFS(page, "diff.html")
}

// HTML renders the diff as one page that needs nothing else: no script, no
// font, no network.
func (d Diff) HTML() ([]byte, error) {
	t, err := AddTemplates(template.New("diff.html"))
	if err != nil {
		return nil, fmt.Errorf("reading the page of the diff: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "diff.html", d); err != nil {
		return nil, fmt.Errorf("rendering the page of the diff: %w", err)
	}
	return b.Bytes(), nil
}
