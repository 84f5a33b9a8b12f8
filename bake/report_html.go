package bake

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"bakehouse/bake/inventory"
)

//go:embed report.html
var page embed.FS

// HTML renders bakes as one page that needs nothing else: no script, no
// font, no network.
func HTML(reports []Report) ([]byte, error) {
	t, err := template.New("report.html").Funcs(template.FuncMap{
		"clock":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"s":      func(f float64) string { return fmt.Sprintf("%.1f", f) },
		"took":   took,
		"short":  short,
		"bars":   bars,
		"ticks":  ticks,
		"result": resultClass,
	}).ParseFS(page, "report.html")
	if err == nil {
		t, err = inventory.AddTemplates(t)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the report's page: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "report.html", reports); err != nil {
		return nil, fmt.Errorf("rendering the report's page: %w", err)
	}
	return b.Bytes(), nil
}

// took reads as 9.4 s or 12 min 3 s.
func took(seconds float64) string {
	if seconds < 100 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

// resultClass is the colour of a result.
func resultClass(result string) string {
	if slices.Contains([]string{"done", "reused"}, result) {
		return "done"
	}
	return "failed"
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
		left := max(0, min(99.6, s.Started.Sub(r.StartedAt).Seconds()/whole*100))
		out = append(out, bar{s, left, max(0.4, min(100-left, s.Seconds/whole*100))})
	}
	return out
}

// tick is a line of the timeline's scale.
type tick struct {
	Left float64 // in percent
	Text string
}

// ticks divides a report's time at round numbers, into three to seven parts.
func ticks(r Report) []tick {
	whole := r.EndedAt.Sub(r.StartedAt).Seconds()
	if whole <= 0 {
		return nil
	}
	steps := []float64{0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600, 7200}
	step := steps[len(steps)-1]
	for _, s := range steps {
		if whole/s <= 7 {
			step = s
			break
		}
	}
	var out []tick
	for n := 1.0; n*step < whole*0.97; n++ {
		at := math.Round(n*step*10) / 10
		text := fmt.Sprintf("%g s", at)
		if step >= 60 {
			text = fmt.Sprintf("%g min", at/60)
		}
		out = append(out, tick{at / whole * 100, text})
	}
	return out
}
