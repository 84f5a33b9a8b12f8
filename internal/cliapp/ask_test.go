package cliapp

import (
	"bytes"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestAskWantsAYes(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{"y\n": true, "YES\n": true, " yes \n": true, "yes": true, "\n": false, "no\n": false, "": false, "yeah\n": false} {
		var errs bytes.Buffer
		err := Process{Stdin: strings.NewReader(answer), Stderr: &errs}.Ask(true, "Remove 3 builds?")
		if (err == nil) != want || err != nil && fault.KindOf(err) != fault.Usage {
			t.Errorf("answer %q: %v", answer, err)
		}
		if !strings.HasPrefix(errs.String(), "Remove 3 builds? [y/N] ") {
			t.Errorf("it asked %q", errs.String())
		}
	}
}

func TestAskWithoutATerminalAsksNobody(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	p := Process{Stdin: strings.NewReader("y\n"), Stderr: &errs}
	if err := p.Ask(p.Interactive(), "Remove?"); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "--yes") || errs.Len() > 0 {
		t.Errorf("asking without a terminal: %v, printed %q", err, errs.String())
	}
}
