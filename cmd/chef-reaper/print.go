package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"bakehouse/internal/ui"
	"bakehouse/reap"
)

// lookOnly is what a first run says.
const lookOnly = "there is no ledger yet: the first run looks and deletes nothing"

func printPlanJSON(w io.Writer, p reap.Plan, all bool) error {
	b, err := p.Marshal(all)
	if err != nil {
		return err
	}
	return write(w, string(b))
}

func printPlan(w io.Writer, p reap.Plan, r reap.Reading, all bool) error {
	verdicts := []reap.Verdict{reap.Reap, reap.Wait, reap.Unknown}
	if all {
		verdicts = append(verdicts, reap.Keep, reap.Ignore)
	}
	rows := [][]string{{"VERDICT", "KIND", "NAME", "INSTANCE", "PLACE", "REASON", "DETAIL"}}
	for _, v := range verdicts {
		for _, d := range p.Of(v) {
			rows = append(rows, []string{string(d.Verdict), string(d.Kind), d.Name, dash(d.InstanceID + d.BakeID), dash(strings.Trim(d.Account+"/"+d.Region, "/")), string(d.Reason), d.Detail})
		}
	}
	if len(rows) > 1 {
		if err := ui.Table(w, rows); err != nil {
			return err
		}
	}
	if err := write(w, summary(p)+fmt.Sprintf("read with %d EC2 pages and %d Chef searches; %d nodes fetched one by one\n", r.EC2Pages, r.Searches, r.Fetched)); err != nil {
		return err
	}
	return printCaveats(w, p)
}

func printCaveats(w io.Writer, p reap.Plan) error {
	text := ""
	for _, why := range p.Tripped {
		text += "the breaker trips: " + why + "\n"
	}
	if p.LookOnly {
		text += lookOnly + "\n"
	}
	return write(w, text)
}

// summary is one line of counts.
func summary(p reap.Plan) string {
	c := p.Counts
	return fmt.Sprintf("%d nodes, %d ours: %d live, %d to remove, %d waiting, %d unknown\n",
		c.Nodes, c.Ours, c.Live, c.Reap, c.Orphaned-c.Reap, len(p.Of(reap.Unknown)))
}

// printReport prints a run in a few lines; the error is printed by the caller.
func printReport(w io.Writer, r reap.Report, failed error) error {
	var b strings.Builder
	stamp := r.Ended.Format(time.RFC3339)
	for _, d := range r.Removals {
		fmt.Fprintf(&b, "%s %s %s %s\n", stamp, d.Result, d.Kind, d.Name)
	}
	if r.Plan.Counts.ByReason != nil {
		fmt.Fprintf(&b, "%s run %s: %s", stamp, r.Run, summary(r.Plan))
	}
	if r.Plan.LookOnly && failed == nil {
		fmt.Fprintf(&b, "%s %s\n", stamp, lookOnly)
	}
	return write(w, b.String())
}

func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("rendering result: %w", err)
	}
	return write(w, string(b)+"\n")
}

func write(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("printing result: %w", err)
	}
	return nil
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
