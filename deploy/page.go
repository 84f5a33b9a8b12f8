package deploy

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

// page is what page.html shows.
type page struct {
	*Rollout
}

// Class is the phase as a CSS class.
func (p page) Class() string { return strings.Fields(string(p.Phase))[0] }

// Lasted is how long the rollout took, or that it is under way.
func (p page) Lasted() string {
	if p.Ended.IsZero() {
		return "not over"
	}
	return p.Ended.Sub(p.Started).Round(time.Second).String()
}

// Plan is the strategy in words.
func (p page) Plan() string {
	s := p.Strategy
	text := fmt.Sprintf("canary %s, waves of %s, %s failures borne with, %d at a time", s.Canary, s.Wave, s.MaxUnhealthy, s.Parallel)
	if s.PerZone {
		text += ", zone by zone"
	}
	if s.Pause > 0 {
		text += fmt.Sprintf(", pause of %s", s.Pause)
	}
	return text
}

// HTML writes r as a page of its own: no scripts, nothing from elsewhere.
func (r *Rollout) HTML(w io.Writer) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return fmt.Errorf("reading the page's template: %w", err)
	}
	if err := t.Execute(w, page{r}); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}
