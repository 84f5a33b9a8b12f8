package ui

import (
	"fmt"
	"io"
	"strings"

	"bakehouse/internal/fault"
)

// maxErrorLines bounds what PrintError prints.
const maxErrorLines = 5

// PrintError prints err as "TOOL: error: …", and its next step, if it has one,
// as "  next: …": at most five lines in all, but whole when it says what was left
// behind, because that list is what remains to be done. A nil err prints nothing.
func PrintError(w io.Writer, tool string, err error) {
	if err != nil {
		_, _ = io.WriteString(w, errorText(tool, err))
	}
}

func errorText(tool string, err error) string {
	var lines []string
	for _, l := range strings.Split(err.Error(), "\n") {
		if l = strings.TrimSpace(clean(l)); l != "" {
			lines = append(lines, l)
		}
	}
	room, next := maxErrorLines, fault.NextOf(err)
	if next != "" {
		room--
	}
	if len(lines) > room && fault.KindOf(err) != fault.Leftover {
		more := len(lines) - room + 1
		lines = append(lines[:room-1], fmt.Sprintf("… and %d more lines", more))
	}
	text := tool + ": error: " + strings.Join(lines, "\n  ") + "\n"
	if next != "" {
		text += "  next: " + clean(strings.ReplaceAll(next, "\n", " ")) + "\n"
	}
	return text
}
