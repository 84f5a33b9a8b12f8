//go:build bench

package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"
)

// row is one measured step.
type row struct {
	what  string
	took  time.Duration
	calls int
	rss   int64 // MiB
	loop  bool
	away  bool // each call waits as long as one to AWS does
}

// table renders the rows; those that read next to the loop of the same run.
func table(rows []row) string {
	loops := map[bool]row{}
	for _, r := range rows {
		if r.loop {
			loops[r.away] = r
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| what | seconds | API calls | peak memory, MiB | loop's seconds | loop's calls |\n|---|---:|---:|---:|---:|---:|")
	for _, r := range rows {
		slower, more := "–", "–"
		if l := loops[r.away]; !r.loop && !strings.HasPrefix(r.what, "apply") {
			slower, more = fmt.Sprintf("× %.1f", l.took.Seconds()/r.took.Seconds()), fmt.Sprintf("× %.0f", float64(l.calls)/float64(r.calls))
		}
		fmt.Fprintf(&b, "| %s | %.2f | %d | %d | %s | %s |\n", r.what, r.took.Seconds(), r.calls, r.rss, slower, more)
	}
	return b.String()
}

// heading says when and on what it was measured; load is the machine's before.
func heading(load string, groups int) string {
	return fmt.Sprintf("Measured %s by `make bench-autoscale`: %d groups, %d alarms, on %d cores, the load before (1, 5, 15 minutes): %s. The service runs on the same machine.\n\n",
		time.Now().UTC().Format(time.DateOnly), groups, 5*groups, runtime.NumCPU(), load)
}
