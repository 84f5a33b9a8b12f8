package bake

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"time"
)

//go:embed report.html
var page embed.FS

// HTML renders bakes as one page that needs nothing else: no script, no
// font, no network.
func HTML(reports []Report) ([]byte, error) {
	t, err := template.New("report.html").Funcs(template.FuncMap{
		"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"s":     func(f float64) string { return fmt.Sprintf("%.1f", f) },
		"short": short,
		"bars":  bars,
	}).ParseFS(page, "report.html")
	if err != nil {
		return nil, fmt.Errorf("reading the report's page: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, reports); err != nil {
		return nil, fmt.Errorf("rendering the report's page: %w", err)
	}
	return b.Bytes(), nil
}

// bar is one step of the timeline, placed in percent of the whole.
type bar struct {
	StepTime
	Left, Width float64
}

// bars lays the steps of a report out on its time.
func bars(r Report) []bar {
	whole := max(r.EndedAt.Sub(r.StartedAt).Seconds(), 0.001)
	var out []bar
	for _, s := range r.Steps {
		left := max(0, min(100, s.Started.Sub(r.StartedAt).Seconds()/whole*100))
		out = append(out, bar{s, left, max(0.4, min(100-left, s.Seconds/whole*100))})
	}
	return out
}
