package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
)

// picture draws cells on a terminal of width columns, over some frames.
func picture(t *testing.T, width, n int, set func(i int) Cell) *screen {
	t.Helper()
	out := &screen{}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := newReporter(Options{Out: out, Terminal: true, NoColor: true, Now: func() time.Time { return now }, Width: func() int { return width }})
	r.StepStarted("wave 1")
	cells := make([]Cell, n)
	for i := range cells {
		cells[i] = Waiting
	}
	r.StepCells("wave 1", cells, "legend")
	r.redraw()
	for i := range cells {
		cells[i] = set(i)
	}
	r.StepCells("wave 1", cells, "legend", strings.Repeat("long ", 60))
	r.redraw()
	r.Info("a line above")
	r.redraw()
	return out
}

func TestAThousandHostsAreReadable(t *testing.T) {
	t.Parallel()
	for _, width := range []int{40, 80, 200} {
		s := picture(t, width, 1000, func(i int) Cell {
			return map[bool]Cell{true: Bad, false: Good}[i == 617]
		})
		text := s.String()
		lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
		if len(lines) > 1+1+maxCellLines+3 {
			t.Errorf("width %d: %d lines:\n%s", width, len(lines), text)
		}
		for _, l := range lines {
			if runewidth.StringWidth(l) >= width {
				t.Errorf("width %d: a line of %d: %q", width, runewidth.StringWidth(l), l)
			}
		}
		if lines[0] != "a line above" || strings.Count(text, "x") != 1 || strings.Count(text, "legend") != 1 {
			t.Errorf("width %d:\n%s", width, text)
		}
	}
	if text := picture(t, 80, 1000, func(int) Cell { return Good }).String(); strings.Count(text, "+") != 1000 {
		t.Errorf("1000 hosts have no sign each in 80 columns:\n%s", text)
	}
	if text := picture(t, 80, 2000, func(int) Cell { return Good }).String(); strings.Count(text, "+") != 1000 || !strings.Contains(text, "a sign is up to 2") {
		t.Errorf("2000 hosts:\n%s", text)
	}
}

func TestTheMostImportantCellIsShown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"..+": "+", "+o": "o", "o<": "<", "<x+": "x", "...": "."} {
		if got := shrink([]Cell(in), 3); len(got) != 1 || string(rune(got[0])) != want {
			t.Errorf("%s is shown as %q, want %s", in, got, want)
		}
	}
}

func TestCellsAreColouredByRuns(t *testing.T) {
	t.Parallel()
	f := &liveForm{color: true}
	if got := f.row([]Cell("++x.")); got != "\x1b[32m++\x1b[0m\x1b[31mx\x1b[0m\x1b[2m.\x1b[0m" {
		t.Errorf("%q", got)
	}
}

func TestCellsAreForTerminalsAlone(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Plain, JSON} {
		var out strings.Builder
		r := newReporter(Options{Out: &out, Mode: mode, Now: time.Now})
		r.StepStarted("wave 1")
		before := out.String()
		r.StepCells("wave 1", []Cell{Good}, "note")
		r.StepCells("no such step", []Cell{Good})
		r.redraw()
		if out.String() != before {
			t.Errorf("mode %d prints cells: %q", mode, out.String())
		}
	}
}
