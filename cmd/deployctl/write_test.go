package main

import (
	"io"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestAReportThatCannotBeWrittenIsSaidAsSuch(t *testing.T) {
	t.Parallel()
	report := func(w io.Writer) error { _, err := io.WriteString(w, "<testsuites/>"); return err }
	for _, path := range []string{"/dev/full", "/nowhere/report.xml"} {
		err := (&rolling{}).write(path, report)
		if err == nil || fault.KindOf(err) != fault.Unpublished || !strings.HasPrefix(err.Error(), "writing report: ") || !strings.Contains(fault.NextOf(err), "the rollout itself is over") {
			t.Errorf("%s: %v, next %q", path, err, fault.NextOf(err))
		}
	}
}
