package simulate

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var page embed.FS

// mostBuckets is how many columns a plot has at most; at twice that, two are
// put together.
const mostBuckets = 480

// bucket is a stretch of time in a plot.
type bucket struct {
	n                        int
	onDemand, spot, starting float64 // sums
	demand, low              float64 // the most that was asked, the least that served
	short                    float64 // the most
	down                     int     // the most
}

func (b *bucket) join(c bucket) {
	if b.n == 0 {
		*b = c
		return
	}
	if c.n == 0 {
		return
	}
	b.n, b.onDemand, b.spot, b.starting = b.n+c.n, b.onDemand+c.onDemand, b.spot+c.spot, b.starting+c.starting
	b.demand, b.short, b.down, b.low = max(b.demand, c.demand), max(b.short, c.short), max(b.down, c.down), min(b.low, c.low)
}

// Chart gathers rows into a plot of bounded size, however many come. The zero
// value is ready.
type Chart struct {
	modes   []Mode
	buckets map[Mode][]bucket
	rows    map[Mode]int
	each    int // rows in a bucket
}

// Add takes in a row.
func (c *Chart) Add(r Row) {
	if c.buckets == nil {
		c.buckets, c.rows, c.each = map[Mode][]bucket{}, map[Mode]int{}, 1
	}
	if _, known := c.buckets[r.Mode]; !known {
		c.modes = append(c.modes, r.Mode)
	}
	i := c.rows[r.Mode] / c.each
	if i >= 2*mostBuckets {
		c.halve()
		i = c.rows[r.Mode] / c.each
	}
	c.rows[r.Mode]++
	all := c.buckets[r.Mode]
	for len(all) <= i {
		all = append(all, bucket{})
	}
	all[i].join(bucket{1, float64(r.OnDemand), float64(r.Spot), float64(r.Starting), r.Demand, float64(r.OnDemand + r.Spot), r.Short, r.Down})
	c.buckets[r.Mode] = all
}

// halve puts each two buckets together.
func (c *Chart) halve() {
	c.each *= 2
	for mode, all := range c.buckets {
		half := make([]bucket, (len(all)+1)/2)
		for i, b := range all {
			half[i/2].join(b)
		}
		c.buckets[mode] = half
	}
}

// The size of a plot, in the units of its view box.
const (
	plotWidth  = 960.0
	plotHeight = 200.0
	plotLeft   = 44.0
	stripTop   = 206.0
)

// panel is one mode's plot, ready for the page.
type panel struct {
	Mode                      Mode
	OnDemand, Spot, Starting  string // areas
	Demand                    string // a line
	Short, Down               []bar
	Ticks, Hours              []tick
	Result                    ModeResult
	Cost, Longest, Verdict    string
	ShortMinutes, ShortAtOnce string
}

type bar struct {
	X, Y, Width, Height string
	Title               string
}

type tick struct{ At, Text string }

func px(v float64) string { return fmt.Sprintf("%.1f", v) }

// Page writes a result with its plots as one HTML file that needs nothing from
// elsewhere.
func (c *Chart) Page(out io.Writer, r Result, a About) error {
	t, err := template.ParseFS(page, "page.html")
	if err != nil {
		return fmt.Errorf("reading page: %w", err)
	}
	top := 1.0
	for _, all := range c.buckets {
		for _, b := range all {
			if b.n > 0 {
				top = max(top, b.demand, (b.onDemand+b.spot+b.starting)/float64(b.n))
			}
		}
	}
	data := struct {
		Result  Result
		About   About
		For     string
		Step    string
		Boot    string
		Losses  string
		Panels  []panel
		Remarks []string
	}{Result: r, About: a, For: Days(r.For), Step: Days(r.Step), Boot: Days(r.Boot), Losses: count(r.Losses, "loss"), Remarks: r.remarks(a)}
	for _, m := range r.Modes {
		data.Panels = append(data.Panels, c.panel(m, r, top))
	}
	if err := t.Execute(out, data); err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	return nil
}

func (c *Chart) panel(m ModeResult, r Result, top float64) panel {
	all := c.buckets[m.Mode]
	s := scale{top: top, width: float64(c.each) * r.Step.Seconds() / r.For.Seconds() * (plotWidth - plotLeft)}
	p := panel{Mode: m.Mode, Result: m, Cost: m.Cost.Shown(), Longest: Days(m.Short.Longest.Long()), ShortMinutes: fmt.Sprintf("%.1f", m.Short.UnitMinutes),
		ShortAtOnce: fmt.Sprintf("%.1f", m.Short.Worst)}
	if m.Verdict != nil {
		p.Verdict = m.Verdict.text()
	}
	n := len(all)
	lines := [4][]float64{make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)}
	var demand strings.Builder
	for i, b := range all {
		each := 1 / float64(max(b.n, 1))
		lines[1][i] = b.onDemand * each
		lines[2][i] = lines[1][i] + b.spot*each
		lines[3][i] = lines[2][i] + b.starting*each
		fmt.Fprintf(&demand, "%s%s,%s H%s", map[bool]string{true: "M", false: " L"}[i == 0], s.x(i), s.y(b.demand), s.x(i+1))
		at := Days(time.Duration(i*c.each) * r.Step)
		if b.short > 0 {
			p.Short = append(p.Short, bar{s.x(i), s.y(b.demand), px(max(s.width, 1)), px(b.short / top * plotHeight), fmt.Sprintf("%s: %.1f units short", at, b.short)})
		}
		if b.down > 0 {
			p.Down = append(p.Down, bar{s.x(i), px(stripTop), px(s.width + 0.1), px(2 * float64(min(b.down, 6))), fmt.Sprintf("%s: %s down", at, count(b.down, "pool"))})
		}
	}
	p.OnDemand, p.Spot, p.Starting, p.Demand = s.area(lines[0], lines[1]), s.area(lines[1], lines[2]), s.area(lines[2], lines[3]), demand.String()
	p.Ticks, p.Hours = s.ticks(), hours(r.For)
	return p
}

// scale turns units and buckets into places.
type scale struct{ top, width float64 }

func (s scale) x(bucket int) string { return px(plotLeft + float64(bucket)*s.width) }
func (s scale) y(v float64) string  { return px(plotHeight * (1 - v/s.top)) }

// area is the stepped shape between two lines.
func (s scale) area(low, high []float64) string {
	if len(low) == 0 || slices.Equal(low, high) {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "M%s,%s", s.x(0), s.y(high[0]))
	for i, v := range high {
		fmt.Fprintf(&b, " V%s H%s", s.y(v), s.x(i+1))
	}
	for i := len(low) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, " V%s H%s", s.y(low[i]), s.x(i))
	}
	return b.String() + "Z"
}

// ticks are round figures of the vertical axis.
func (s scale) ticks() []tick {
	step := math.Pow(10, math.Floor(math.Log10(s.top)))
	for s.top/step < 4 {
		step /= 2
	}
	var out []tick
	for v := 0.0; v <= s.top+1e-9; v += step {
		out = append(out, tick{s.y(v), fmt.Sprintf("%g", v)})
	}
	return out
}

// hours are round figures of the horizontal axis.
func hours(all time.Duration) []tick {
	step := time.Minute
	for _, next := range []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 28 * 24 * time.Hour} {
		if all/step > 10 {
			step = next
		}
	}
	var out []tick
	for t := time.Duration(0); t < all; t += step {
		out = append(out, tick{px(plotLeft + t.Seconds()/all.Seconds()*(plotWidth-plotLeft)), Days(t)})
	}
	return out
}
