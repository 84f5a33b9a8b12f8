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
	fleet, what string
	took        time.Duration
	chef, ec2   int   // calls; -1: not counted
	rss         int64 // MiB; 0: not measured
	seen        string
	loop        bool
}

// maxRSS is what a run may take at most, in MiB.
const maxRSS = 300

// table renders the rows, each next to the loop over the same fleet.
func table(rows []row) string {
	loops := map[string]row{}
	for _, r := range rows {
		if r.loop {
			loops[r.fleet] = r
		}
	}
	var b strings.Builder
	fmt.Fprintln(&b, "| fleet | what | seconds | Chef calls | EC2 calls | peak memory, MiB | loop's seconds | loop's calls | search found |\n|---|---|---:|---:|---:|---:|---:|---:|---|")
	for _, r := range rows {
		slower, more := "–", "–"
		if l := loops[r.fleet]; !r.loop {
			slower = fmt.Sprintf("× %.0f", l.took.Seconds()/r.took.Seconds())
			if r.chef >= 0 {
				more = fmt.Sprintf("× %.0f", float64(l.chef+l.ec2)/float64(r.chef+r.ec2))
			} else {
				more = fmt.Sprintf("EC2's × %.0f", float64(l.ec2)/float64(r.ec2))
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f | %s | %d | %s | %s | %s | %s |\n", r.fleet, r.what, r.took.Seconds(), orDash(int64(r.chef), r.chef >= 0), r.ec2, orDash(r.rss, r.rss > 0), slower, more, r.seen)
	}
	return b.String()
}

func orDash(n int64, known bool) string {
	if !known {
		return "–"
	}
	return fmt.Sprint(n)
}

// heading says when and on what it was measured; load is the machine's before.
func heading(load string) string {
	return fmt.Sprintf("Measured %s by `make bench-reap` on %d cores, the load before (1, 5, 15 minutes): %s. The servers run on the same machine.\n\n",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), load)
}
