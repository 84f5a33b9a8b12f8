package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
)

// liveForm is for terminals: finished lines stay, below them is one line for
// each running step, redrawn in place.
type liveForm struct {
	width func() int
	color bool
	drawn int // live lines on the screen now
	ticks int // frames so far, turns the spinner
}

// nameWidth is the column of the durations.
const nameWidth = 30

// Colours of the terminal's own palette.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
	dim    = "2"
)

func (f *liveForm) paint(code, text string) string {
	if !f.color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (f *liveForm) started(*step, time.Time) string  { return "" }
func (f *liveForm) progress(*step, time.Time) string { return "" }

func (f *liveForm) log(s *step, line string, _ time.Time) string {
	if strings.TrimSpace(line) != "" {
		s.detail = strings.TrimSpace(line)
	}
	return ""
}

func (f *liveForm) done(s *step, took time.Duration, err error, _ time.Time) string {
	head := runewidth.FillRight(s.name, nameWidth) + " " + span(took) + "\n"
	if err == nil {
		return f.paint(green, "✓") + " " + head
	}
	var b strings.Builder
	b.WriteString(f.paint(red, "✗") + " " + head)
	for _, line := range s.tail {
		b.WriteString(f.paint(dim, "  | "+line) + "\n")
	}
	b.WriteString("  " + f.paint(red, clean(oneLine(err))) + "\n")
	return b.String()
}

func (f *liveForm) unfinished(s *step, now time.Time) string {
	return f.paint(dim, "– "+runewidth.FillRight(s.name, nameWidth)+" "+span(now.Sub(s.started))+"  not finished") + "\n"
}

func (f *liveForm) info(line string, _ time.Time) string { return line + "\n" }

func (f *liveForm) frame(text string, running []*step, now time.Time) string {
	var b strings.Builder
	if f.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", f.drawn) // up to the first live line, and erase below
	}
	b.WriteString(text)
	f.drawn = 0
	for _, s := range running {
		for _, line := range append([]string{f.live(s, now)}, f.cells(s)...) {
			b.WriteString(line + "\n")
			f.drawn++
		}
	}
	f.ticks++
	return b.String()
}

func (f *liveForm) columns() int {
	if f.width != nil && f.width() > 0 {
		return f.width()
	}
	return 80
}

// live renders a running step within the terminal's width: a line that wraps
// would be two lines, and the next frame would leave its upper half behind.
func (f *liveForm) live(s *step, now time.Time) string {
	width := f.columns()
	spinner := []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}
	elapsed := fmt.Sprintf("%ds", int(now.Sub(s.started).Seconds()))
	if now.Sub(s.started) >= time.Minute {
		elapsed = span(now.Sub(s.started))
	}
	room := width - 3 // spinner, space, and the last column, where terminals wrap
	head := runewidth.Truncate(runewidth.FillRight(s.name, nameWidth)+" "+elapsed, max(room, 0), "…")
	detail := ""
	if room -= runewidth.StringWidth(head) + 2; s.detail != "" && room > 3 {
		detail = "  " + f.paint(dim, runewidth.Truncate(s.detail, room, "…"))
	}
	return f.paint(cyan, spinner[f.ticks%len(spinner)]) + " " + head + detail
}
