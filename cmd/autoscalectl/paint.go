package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"

	"bakehouse/internal/cliapp"
)

// color is a colour of the terminal's own palette; "" leaves text as it is.
type color string

const (
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	cyan   color = "36"
	bold   color = "1"
	dim    color = "2"
)

// painter colours text, or does not.
type painter bool

func (p painter) in(c color, text string) string {
	if !p || c == "" || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// paints says whether results may be coloured: on a terminal that is not
// dumb, without NO_COLOR, and not where --output plain was asked for.
func (d deps) paints(o common) painter {
	return painter(d.colors() && !d.NoColor() && d.Getenv("TERM") != "dumb" && o.output != cliapp.Plain)
}

// cell is a field of a table.
type cell struct {
	text string
	in   color
}

// tabulate aligns rows by what is seen, whatever the colours. The last column
// is not padded.
func tabulate(w io.Writer, p painter, rows [][]cell) error {
	var widths []int
	for _, row := range rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], runewidth.StringWidth(c.text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, c := range row {
			line += p.in(c.in, c.text)
			if i < len(row)-1 {
				line += strings.Repeat(" ", widths[i]-runewidth.StringWidth(c.text)+2)
			}
		}
		fmt.Fprintln(&b, strings.TrimRight(line, " "))
	}
	return printed(io.WriteString(w, b.String()))
}
