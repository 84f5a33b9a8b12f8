package simulate

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/autoscale"
	"bakehouse/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a group with all that a comparison needs.
const sample = `version: 2
region: us-east-1
groups:
  web:
    capacity: {mode: backstop, min: 4, max: 80, on_demand_base: 2}
    launch: {image: ami-1, type: t3.large}
    mixed: {types: [t3.large, m5.large]}
    network: {zones: [us-east-1a, us-east-1b, us-east-1c]}
    policies: {cpu: {track: {target: 60, predefined: ASGAverageCPUUtilization}}}
`

func mustSpec(t testing.TB, text string) autoscale.Spec {
	t.Helper()
	s, err := autoscale.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(s string) Open {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

// promised holds every mode to what the product promises.
func promised(boot time.Duration) func(string, autoscale.Group) (Promise, bool) {
	return func(name string, g autoscale.Group) (Promise, bool) {
		p, ok := autoscale.PromiseOf(name, g, autoscale.PromiseOptions{Boot: boot})
		return Promise{Percent: p.Shortfall, For: p.For, After: p.After, Losses: p.Losses, Pools: p.Pools}, ok
	}
}

// config is a simulation of the sample, for a day when demand is written.
func config(t testing.TB, demand, market string) Config {
	t.Helper()
	c := Config{Spec: mustSpec(t, sample), Group: "web", Modes: Modes(), Boot: 3 * time.Minute, Step: 10 * time.Second, For: 24 * time.Hour,
		Lag: time.Minute, Unit: 1, Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), Every: 15 * time.Second, Hold: autoscale.BalanceHold, Grace: autoscale.BalanceGrace,
		Price:   func(typ string) float64 { return map[string]float64{"t3.large": 0.0832, "m5.large": 0.096}[typ] },
		Promise: promised(3 * time.Minute)}
	var err error
	if IsGenerator(demand) {
		c.Demand, err = ParseDemand(demand, 1)
	} else {
		c.Demand, err = TraceDemand(demand, func() (io.ReadCloser, error) { return Sample(demand) }, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Market = func(pools []Pool) (Market, error) {
		if IsModel(market) {
			return ParseMarket(market, len(pools), 1)
		}
		return TraceMarket(market, func() (io.ReadCloser, error) { return Sample(market) }, pools, Told{Notice: 2 * time.Minute})
	}
	return c
}

func mustRun(t testing.TB, c Config) Result {
	t.Helper()
	r, err := Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bytesOf is all that a simulation can print.
func bytesOf(t testing.TB, c Config) (summary, page string, rows []byte) {
	t.Helper()
	var chart Chart
	c.Row = func(r Row) error {
		chart.Add(r)
		rows = r.Append(rows)
		return nil
	}
	r := mustRun(t, c)
	about := About{Demand: "sample:web-day", Spot: "sample:spot-week", Seed: 1, Prices: "those of the test"}
	var s, p bytes.Buffer
	if err := errors.Join(Summary(&s, r, about), chart.Page(&p, r, about)); err != nil {
		t.Fatal(err)
	}
	return s.String(), p.String(), rows
}

func TestTheSamplesSummary(t *testing.T) {
	t.Parallel()
	c := config(t, "web-day", "spot-week")
	c.For = 7 * 24 * time.Hour
	got, _, _ := bytesOf(t, c)
	golden(t, "summary.txt", got)
}

// golden holds a summary to a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the summary differs from %s (go test -update writes it anew):\n%s", file, got)
	}
}

func TestThePageIsWellFormedAndNeedsNothing(t *testing.T) {
	t.Parallel()
	c := config(t, "web-day", "spot-week")
	_, page, _ := bytesOf(t, c)
	dec := xml.NewDecoder(strings.NewReader(page))
	plots := 0
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v", err)
		}
		if start, ok := tok.(xml.StartElement); ok && start.Name.Local == "svg" {
			plots++
		}
	}
	if _, again, _ := bytesOf(t, config(t, "web-day", "spot-week")); again != page {
		t.Error("a second page differs from the first")
	}
	if plots != 4 {
		t.Errorf("the page has %d plots, want one of each mode", plots)
	}
	for _, bad := range []string{"<script", "http:", "https:", "src=", "@import", "url(", "NaN", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	if !strings.Contains(page, "prefers-color-scheme: dark") {
		t.Error("the page has no dark colours")
	}
}

func TestThePlotStaysSmall(t *testing.T) {
	t.Parallel()
	var c Chart
	for i := range 100_000 {
		c.Add(Row{At: time.Duration(i) * time.Second, Mode: Mixed, Demand: 1, Spot: 2, Short: float64(i / 99_999)})
	}
	all := c.buckets[Mixed]
	n, short := 0, 0.0
	for _, b := range all {
		n += b.n
		short = max(short, b.short)
	}
	if len(all) > 2*mostBuckets || n != 100_000 || short != 1 {
		t.Errorf("%d columns of %d rows; the last row's shortfall shows as %v", len(all), n, short)
	}
}

func TestAnUnknownPriceIsSaid(t *testing.T) {
	t.Parallel()
	c := config(t, "constant:10", "model:mtbf=6h")
	c.Price = func(string) float64 { return math.NaN() }
	r := mustRun(t, c)
	var b strings.Builder
	if err := Summary(&b, r, About{}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "unknown\n"); n != 4 || !strings.Contains(b.String(), "the price of t3.large on spot is not known; its hours are in no sum") {
		t.Errorf("without prices it says\n%s", b.String())
	}
	c = config(t, "constant:10", "model:mtbf=6h") // on demand is known, spot is not
	if r := mustRun(t, c); r.Modes[1].Cost.Shown() != ">3.99" || len(r.Modes[1].Cost.Unknown) == 0 {
		t.Errorf("a spot price that nobody gave: %s, unknown %v", r.Modes[1].Cost.Shown(), r.Modes[1].Cost.Unknown)
	}
}

func TestWhatCannotBePlayed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Config){
		`the file has no group "none"`:                     func(c *Config) { c.Group = "none" },
		"the step must be more than zero":                  func(c *Config) { c.Step = 0 },
		"the boot time must be from zero to two hours":     func(c *Config) { c.Boot = -time.Second },
		"1s is shorter than one step of 10s":               func(c *Config) { c.For = time.Second },
		"what a unit serves must be more than zero":        func(c *Config) { c.Unit = 0 },
		"lag, hold and grace must not be negative":         func(c *Config) { c.Hold = -1 },
		"the controller's interval must be more than zero": func(c *Config) { c.Every = 0 },
		"there are no modes to compare":                    func(c *Config) { c.Modes = nil },
		"the file names no zones or no instance types": func(c *Config) {
			c.Spec = mustSpec(t, strings.Replace(sample, "zones: [us-east-1a, us-east-1b, us-east-1c]", "zones: []", 1))
		},
		"group web needs capacity.min and capacity.max": func(c *Config) {
			c.Spec = mustSpec(t, strings.Replace(sample, "mode: backstop, min: 4, max: 80, on_demand_base: 2", "min: 4", 1))
		},
	} {
		c := config(t, "constant:10", "model")
		change(&c)
		if _, err := Run(context.Background(), c); err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Usage {
			t.Errorf("%v; want %q", err, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, config(t, "constant:10", "model")); !errors.Is(err, context.Canceled) {
		t.Errorf("after a signal: %v", err)
	}
}

// BenchmarkSimulate plays a week in steps of ten seconds in all four modes.
func BenchmarkSimulate(b *testing.B) {
	for b.Loop() {
		c := config(b, "sine:mean=20,amplitude=10+noise:sd=0.03", "model:mtbf=6h,recovery=40m,together=2,every=24h,price=0.35")
		c.For = 7 * 24 * time.Hour
		mustRun(b, c)
	}
}
