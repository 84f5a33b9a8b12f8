package ui

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// screen is a terminal that knows what liveForm uses: newline, carriage
// return, cursor up and erase below. It shows what a person sees.
type screen struct {
	lines  []string
	row    int
	widest int // of the lines that were erased or drawn over: the live ones
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := 2 + strings.IndexAny(text[2:], "AJm")
			s.control(text[2:end], text[end])
			text = text[end+1:]
		case text[0] == '\n':
			s.row++
			text = text[1:]
		case text[0] == '\r':
			text = text[1:]
		default:
			end := strings.IndexAny(text, "\x1b\n\r")
			if end < 0 {
				end = len(text)
			}
			for len(s.lines) <= s.row {
				s.lines = append(s.lines, "")
			}
			s.lines[s.row] += text[:end]
			if strings.ContainsAny(s.lines[s.row], "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏") {
				s.widest = max(s.widest, runewidth.StringWidth(s.lines[s.row]))
			}
			text = text[end:]
		}
	}
	return len(p), nil
}

func (s *screen) control(arg string, op byte) {
	switch op {
	case 'A':
		up := 0
		for _, d := range arg {
			up = 10*up + int(d-'0')
		}
		s.row -= up
	case 'J':
		s.lines = s.lines[:min(s.row, len(s.lines))]
	}
}

func (s *screen) String() string {
	if len(s.lines) == 0 {
		return ""
	}
	return strings.Join(s.lines, "\n") + "\n"
}
