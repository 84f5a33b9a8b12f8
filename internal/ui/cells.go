package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

// Cell is what one of a step's many parts is at: one sign on the screen, so
// that a thousand hosts are seen at a glance.
type Cell byte

// The cells, from the one that matters least. The sign tells as much as the
// colour does.
const (
	Waiting  Cell = '.'
	Good     Cell = '+'
	UnderWay Cell = 'o'
	Undone   Cell = '<'
	Bad      Cell = 'x'
)

// Bounds of the picture of cells.
const (
	maxCellLines = 14
	maxCellWidth = 100
	cellIndent   = 2
)

// StepCells replaces the picture of a step's parts, and the lines below it.
// Terminals alone show it; elsewhere StepLog and StepProgress say the same.
func (r *Reporter) StepCells(name string, cells []Cell, note ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.find(name); s != nil { // the next frame shows it: a fleet changes more often than a screen
		s.cells, s.note = append(s.cells[:0], cells...), note
	}
}

// rank orders cells by how much they matter.
func (c Cell) rank() int { return slices.Index([]Cell{Waiting, Good, UnderWay, Undone, Bad}, c) }

func (c Cell) color() string {
	return map[Cell]string{Waiting: dim, Good: green, UnderWay: cyan, Undone: yellow, Bad: red}[c]
}

// cells renders a step's picture within the terminal's width and a fixed number
// of lines. Where there are more parts than signs, a sign stands for several of
// them and shows the one that matters most: a failure is never hidden.
func (f *liveForm) cells(s *step) []string {
	if len(s.cells) == 0 {
		return nil
	}
	width := max(10, min(f.columns()-cellIndent-1, maxCellWidth))
	each := (len(s.cells) + width*maxCellLines - 1) / (width * maxCellLines)
	var lines []string
	for row := range slices.Chunk(shrink(s.cells, each), width) {
		lines = append(lines, strings.Repeat(" ", cellIndent)+f.row(row))
	}
	note := s.note
	if each > 1 {
		note = append([]string{fmt.Sprintf("a sign is up to %d, and shows the worst of them", each)}, note...)
	}
	for _, n := range note {
		lines = append(lines, strings.Repeat(" ", cellIndent)+f.paint(dim, runewidth.Truncate(clean(n), width, "…")))
	}
	return lines
}

// shrink puts each neighbouring cells into one.
func shrink(cells []Cell, each int) []Cell {
	if each <= 1 {
		return cells
	}
	var out []Cell
	for group := range slices.Chunk(cells, each) {
		out = append(out, slices.MaxFunc(group, func(a, b Cell) int { return a.rank() - b.rank() }))
	}
	return out
}

// row paints runs of the same cell.
func (f *liveForm) row(cells []Cell) string {
	var b strings.Builder
	for len(cells) > 0 {
		n := 1
		for n < len(cells) && cells[n] == cells[0] {
			n++
		}
		b.WriteString(f.paint(cells[0].color(), strings.Repeat(string(rune(cells[0])), n)))
		cells = cells[n:]
	}
	return b.String()
}
