package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

//go:embed plan.html
var planPage string

// planView is what plan.html shows.
type planView struct {
	File, Region string
	At           time.Time
	Signs        map[string]int
	Groups       []groupView
	Total        string
	Warnings     []autoscale.Warning
	Promises     []autoscale.Promise
}

// groupView is one group's changes.
type groupView struct {
	Name    string // as AWS has it
	Heading string
	Changes []autoscale.Change
}

func viewOf(p planned, at time.Time) planView {
	v := planView{File: p.file, Region: p.spec.Region, At: at.UTC(), Total: "Nothing to change", Warnings: p.plan.Warnings, Promises: p.plan.Promises}
	v.Signs, _ = tallyOf(p.plan)
	if !p.plan.Empty() {
		v.Total = total(p.plan)
	}
	regions := regionsOf(p.plan)
	for _, c := range p.plan.Changes {
		name := c.Group
		if regions > 1 {
			name += " in " + c.Region
		}
		i := slices.IndexFunc(v.Groups, func(g groupView) bool { return g.Name == name })
		if i < 0 {
			v.Groups = append(v.Groups, groupView{Name: name, Heading: heading(c, regions)})
			i = len(v.Groups) - 1
		}
		v.Groups[i].Changes = append(v.Groups[i].Changes, c)
	}
	return v
}

// writePage writes the plan as a page of its own: no scripts, nothing from
// elsewhere. The file is replaced whole or not at all.
func writePage(path string, v planView) error {
	t, err := template.New("plan").Funcs(template.FuncMap{
		"sign": sign,
		"class": func(s string) string {
			return map[string]string{"+": "new", "-": "gone", "~": "changed", "…": "dim"}[s]
		},
		"diff":  func(f autoscale.Field) []diffRow { return rowsOf(folded(textDiff(f.Before, f.After))) },
		"plain": func(all []autoscale.Field) []autoscale.Field { return pick(all, false) },
		"texts": func(all []autoscale.Field) []autoscale.Field { return pick(all, true) },
		"group": func(n int) string { return many(n, "change") },
	}).Parse(planPage)
	if err != nil {
		return fmt.Errorf("reading the page's template: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, v); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".plan-*")
	if err != nil {
		return unwritable(path, err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.WriteString(b.String())
	if cerr := temporary.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Chmod(temporary.Name(), 0o644)
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	return unwritable(path, err)
}

func unwritable(path string, err error) error {
	if err == nil {
		return nil
	}
	return fault.Newf(fault.Usage, "name a file in a folder that can be written to", "--html %s: %w", path, err)
}

// diffRow is a diffLine as the page sees it.
type diffRow struct{ Mark, Text string }

func rowsOf(all []diffLine) []diffRow {
	var out []diffRow
	for _, l := range all {
		out = append(out, diffRow{l.mark, l.text})
	}
	return out
}

// pick takes the fields that are texts of several lines, or the others.
func pick(all []autoscale.Field, texts bool) []autoscale.Field {
	var out []autoscale.Field
	for _, f := range all {
		if strings.Contains(f.Before+f.After, "\n") == texts {
			out = append(out, f)
		}
	}
	return out
}

// checkPage refuses a folder that does not exist before AWS is asked.
func checkPage(path string) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return cliapp.Usagef("--html %s: it is a folder", path)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return cliapp.Usagef("--html %s: there is no folder %s", path, filepath.Dir(path))
	}
	return nil
}
