package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// screen redraws a text in place, cut to the terminal's size: a line that
// wraps, or one that scrolls off, could not be erased again.
type screen struct {
	out   io.Writer
	size  func() (columns, rows int)
	live  bool // it is a terminal that obeys cursor codes
	buf   bytes.Buffer
	drawn int // lines on the screen now
}

// Write gathers what the next draw shows.
func (s *screen) Write(b []byte) (int, error) { return s.buf.Write(b) }

// draw replaces what was drawn by what fill writes, in one piece.
func (s *screen) draw(fill func(*screen) error) error {
	s.buf.Reset()
	if err := fill(s); err != nil {
		return err
	}
	columns, rows := s.size()
	if columns <= 0 || rows <= 0 {
		columns, rows = 80, 24
	}
	all := strings.Split(strings.TrimRight(s.buf.String(), "\n"), "\n")
	if room := max(rows-1, 2); len(all) > room {
		more := len(all) - room + 1
		all = append(all[:room-1], fmt.Sprintf("… %d more lines; name fewer groups, or make the window taller", more))
	}
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", s.drawn)
	}
	for _, line := range all {
		b.WriteString(clip(line, columns-1) + "\n")
	}
	s.drawn = len(all)
	return printed(io.WriteString(s.out, b.String()))
}

// clip cuts a line to width columns and keeps its colour codes, which take no
// room, so that none stays switched on.
func clip(line string, width int) string {
	var b strings.Builder
	used, code := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			code = true
			b.WriteRune(r)
		case code:
			b.WriteRune(r)
			code = r != 'm'
		case used+runewidth.RuneWidth(r) <= width:
			used += runewidth.RuneWidth(r)
			b.WriteRune(r)
		default:
			used = width + 1 // a narrower rune must not slip in behind
		}
	}
	return b.String()
}
