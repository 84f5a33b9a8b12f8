package simulate

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// About is what a summary says of where the figures come from.
type About struct {
	Demand string // as it was given
	Spot   string // as it was given
	Seed   uint64
	Prices string // where prices come from; "" when there are none
}

// Summary writes a result as text, one line a mode.
func Summary(out io.Writer, r Result, a About) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s in steps of %s, from launch to service %s, seed %d\n", r.Group, Days(r.For), Days(r.Step), Days(r.Boot), a.Seed)
	fmt.Fprintf(&b, "demand %s; spot %s: %s, %s\n\n", a.Demand, a.Spot, count(len(r.Pools), "pool"), count(r.Losses, "loss"))
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "mode\ton demand\tspot\tstarting\tinterrupted\tshort\tworst\tlongest\tcost\t")
	fmt.Fprintln(tw, "\tunit-hours\tunit-hours\tunit-hours\tinstances\tunit-min\tunits\t\tUSD\t")
	for _, m := range r.Modes {
		fmt.Fprintf(tw, "%s\t%.1f\t%.1f\t%.1f\t%d\t%.1f\t%.1f\t%s\t%s\t\n", m.Mode, m.OnDemand, m.Spot, m.Starting, m.Interrupted,
			m.Short.UnitMinutes, m.Short.Worst, Days(m.Short.Longest.Long()), m.Cost.Shown())
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("writing summary: %w", err)
	}
	b.WriteString("\n")
	for _, line := range r.remarks(a) {
		fmt.Fprintln(&b, line)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("writing summary: %w", err)
	}
	return nil
}

// Days writes a duration with its days and without zeroes at its end.
func Days(d time.Duration) string {
	const day = 24 * time.Hour
	if d == 0 {
		return "0s"
	}
	text := ""
	if d >= day {
		text = strconv.Itoa(int(d/day)) + "d"
		if d %= day; d == 0 {
			return text
		}
	}
	text += d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"), strings.HasSuffix(noun, "ch"):
		return strconv.Itoa(n) + " " + noun + "es"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// Shown is a cost as people read it; what it leaves out is in the remarks.
func (c Cost) Shown() string {
	switch {
	case len(c.Unknown) > 0 && c.Total() == 0:
		return "unknown"
	case len(c.Unknown) > 0:
		return fmt.Sprintf(">%.2f", c.Total())
	}
	return fmt.Sprintf("%.2f", c.Total())
}

// remarks are the lines below the table.
func (r Result) remarks(a About) []string {
	var out []string
	for _, m := range r.Modes {
		if s := m.Short; s.Windows > 0 {
			out = append(out, fmt.Sprintf("%s: demand was short in %s, in all %s; worst at %s, longest from %s to %s", m.Mode, count(s.Windows, "stretch"),
				Days(s.Time), Days(s.WorstAt), Days(s.Longest.From), Days(s.Longest.To)))
		}
	}
	for _, m := range r.Modes {
		if q := m.Queue; q != nil {
			out = append(out, fmt.Sprintf("%s: at most %.0f waited in the queue, for about %s", m.Mode, q.Most, Days(q.Wait.Round(time.Second))))
		}
	}
	for _, m := range r.Modes {
		if a := m.Answers; a != nil {
			out = append(out, string(m.Mode)+": "+a.text())
		}
	}
	for _, m := range r.Modes {
		if m.Verdict != nil {
			out = append(out, fmt.Sprintf("%s: %s", m.Mode, m.Verdict.text()))
		}
	}
	unknown := map[string]bool{}
	for _, m := range r.Modes {
		for _, u := range m.Cost.Unknown {
			if !unknown[u] {
				out = append(out, "cost: the price of "+u+" is not known; its hours are in no sum")
			}
			unknown[u] = true
		}
	}
	if a.Prices != "" {
		out = append(out, "cost: "+a.Prices)
	}
	for _, n := range r.Notes {
		out = append(out, "note: "+n)
	}
	return out
}

// Text says what is promised.
func (p Promise) Text() string {
	figure := func(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) + " %" }
	lost := "when " + strconv.Itoa(p.Losses)
	if p.Pools > 0 {
		lost += " of at least " + strconv.Itoa(p.Pools)
	}
	text := fmt.Sprintf("at most %s short, for at most %s, %s pools in use %s lost at once", figure(p.Percent), Days(p.For), lost, map[bool]string{true: "is", false: "are"}[p.Losses == 1])
	if p.After > 0 {
		text += "; then at most " + figure(p.After)
	}
	return text
}

// text is a verdict as people read it.
func (v Verdict) text() string {
	var b strings.Builder
	which := "longest"
	if v.Kept {
		b.WriteString("promise kept (" + v.Promise.Text() + ")")
	} else {
		which = "worst"
		fmt.Fprintf(&b, "promise broken in %s (%s)", count(v.Broken, "stretch"), v.Promise.Text())
	}
	if v.Worst.Long() > 0 {
		fmt.Fprintf(&b, "; %s from %s to %s: %s, up to %.0f units (%.1f %%), %s", which, Days(v.Worst.From), Days(v.Worst.To), Days(v.Worst.Long()), math.Ceil(v.Worst.Worst),
			v.Worst.Share, count(v.Worst.Losses, "loss"))
	}
	if v.Outside > 0 {
		fmt.Fprintf(&b, "; %s not covered: more was lost at once, or fewer pools were in use", count(v.Outside, "stretch"))
	}
	return b.String()
}

// RowHead is the head of the CSV that Row.Append fills.
const RowHead = "time_s,mode,demand,target,on_demand,spot,starting,short,pools_down\n"

// Append writes the row as a line of CSV after b.
func (r Row) Append(b []byte) []byte {
	b = strconv.AppendFloat(b, r.At.Seconds(), 'f', -1, 64)
	b = append(append(append(b, ','), r.Mode...), ',')
	b = append(strconv.AppendFloat(b, r.Demand, 'f', 3, 64), ',')
	for _, n := range []int{r.Target, r.OnDemand, r.Spot, r.Starting} {
		b = append(strconv.AppendInt(b, int64(n), 10), ',')
	}
	b = append(strconv.AppendFloat(b, r.Short, 'f', 3, 64), ',')
	return append(strconv.AppendInt(b, int64(r.Down), 10), '\n')
}
