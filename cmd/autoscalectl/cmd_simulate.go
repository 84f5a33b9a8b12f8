package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/autoscale/scaling"
	"bakehouse/autoscale/simulate"
	"bakehouse/bake/cost"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

func simulateCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "simulate",
		Usage:     "play a group of the file against a demand and a spot market, in several modes side by side; asks nobody",
		ArgsUsage: "[FILE]",
		Description: "--demand is a CSV (time,demand), sample:NAME, or written terms joined by +, such as\n" +
			"   sine:mean=20,amplitude=10+spike:height=15,at=6h,for=20m+noise:sd=0.05\n" +
			"--spot is a CSV (time,pool,price,available), sample:NAME, or a model such as\n" +
			"   model:mtbf=24h,recovery=30m,together=2,every=3d,price=0.35\n" +
			"Samples: " + strings.Join(simulate.Samples(), ", ") + " (synthetic). docs/simulate.md says what is modelled and what is not.\n" +
			"The same file, traces and seed give the same output. With --check the code is 4 when a mode breaks its promise.",
		Flags: append(simulateFlags(), cliapp.OutputFlag()),
		Action: func(c *cli.Context) error {
			o, err := fileOf(c)
			if err != nil {
				return err
			}
			return d.simulate(c, o)
		},
	}
}

func simulateFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "demand", Usage: "demand over time: `TRACE.csv`, sample:NAME or written terms"},
		&cli.StringFlag{Name: "spot", Usage: "what happens to spot pools: `TRACE.csv`, sample:NAME or model:… (default: nothing)"},
		&cli.StringFlag{Name: "group", Usage: "the `GROUP` of the file to play (default: the only one, or the only one with mode backstop)"},
		&cli.StringFlag{Name: "modes", Usage: "`LIST` of on_demand, mixed, backstop and balance (default: all)"},
		&cli.DurationFlag{Name: "boot", Value: 180 * time.Second, Usage: "`TIME` from a launch to service"},
		&cli.StringFlag{Name: "for", Usage: "`TIME` to play, as 24h or 7d; a shorter trace of demand is repeated (default: the trace's length, or 24h)"},
		&cli.DurationFlag{Name: "step", Value: 10 * time.Second, Usage: "`TIME` between two looks"},
		&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "`NUMBER` that decides noise and models"},
		&cli.Float64Flag{Name: "unit", Value: 1, Usage: "`DEMAND` that one capacity unit serves when fully used"},
		&cli.DurationFlag{Name: "service-time", Value: simulate.DefaultAnswer().Service, Usage: "`TIME` that a request takes a unit when nothing waits, for policies on latency"},
		&cli.IntFlag{Name: "workers", Value: simulate.DefaultAnswer().Workers, Usage: "`NUMBER` of requests that a unit works on at once, for policies on latency"},
		&cli.StringFlag{Name: "start", Usage: "`DATE` of time zero for schedules, RFC 3339 (default: the trace's, or 2026-01-05T00:00:00Z, a Monday)"},
		&cli.DurationFlag{Name: "metric-lag", Value: time.Minute, Usage: "`TIME` from the end of a metric's period until an alarm sees it"},
		&cli.DurationFlag{Name: "notice", Value: 2 * time.Minute, Usage: "`TIME` of notice before a loss, for spot traces"},
		&cli.DurationFlag{Name: "every", Value: 15 * time.Second, Usage: "`TIME` between two looks of the balance controller"},
		holdFlag(), graceFlag(),
		&cli.BoolFlag{Name: "early", Usage: "the balance controller starts the backstop at a rebalance recommendation (model key rebalance)"},
		&cli.StringSliceFlag{Name: "price", Usage: "on-demand `TYPE=USD` an hour, beside the built-in table; may be given again"},
		&cli.IntFlag{Name: "losses", Value: 1, Usage: "`NUMBER` of pools lost at once that the promise covers"},
		&cli.StringFlag{Name: "promise", Usage: "hold all modes to `PERCENT,TIME` instead of what the file promises, as 10,5m"},
		&cli.BoolFlag{Name: "check", Usage: "end with code 4 when a mode breaks its promise"},
		&cli.StringFlag{Name: "csv", Usage: "write every step of every mode to `FILE`"},
		&cli.StringFlag{Name: "html", Usage: "write a page with plots to `FILE`"},
	}
}

// simulate reads the flags, plays, and writes what was asked for.
func (d deps) simulate(c *cli.Context, o common) error {
	spec, err := d.load(o)
	if err != nil {
		return err
	}
	s := simulation{c: c, cfg: simulate.Config{Spec: spec, Boot: c.Duration("boot"), Step: c.Duration("step"), Lag: c.Duration("metric-lag"), Unit: c.Float64("unit"),
		Every: c.Duration("every"), Hold: c.Duration("hold"), Grace: c.Duration("grace"), Early: c.Bool("early"),
		Answer: scaling.Station{Service: c.Duration("service-time"), Workers: c.Int("workers")}}}
	for _, read := range []func() error{s.names, s.times, s.demand, s.spot, s.prices, s.promise} {
		if err := read(); err != nil {
			return err
		}
	}
	csv, err := newSheet(c.String("csv"))
	if err != nil {
		return err
	}
	defer csv.drop()
	page, err := newDraft("html", c.String("html"))
	if err != nil {
		return err
	}
	defer page.drop()
	var chart simulate.Chart
	s.cfg.Row = func(r simulate.Row) error {
		chart.Add(r)
		return csv.add(r)
	}
	r, err := simulate.Run(c.Context, s.cfg)
	if err != nil {
		return err
	}
	if page != nil {
		err = chart.Page(page.out, r, s.about)
	}
	for _, f := range []*draft{csv.d, page} {
		if err == nil {
			err = f.keep()
		}
	}
	if err != nil {
		return err
	}
	if o.output == cliapp.JSON {
		err = printJSON(d.Stdout, r.Report(s.about))
	} else {
		err = simulate.Summary(d.Stdout, r, s.about)
	}
	if err == nil && c.Bool("check") {
		err = broken(r)
	}
	return err
}

// broken is the error of --check.
func broken(r simulate.Result) error {
	var modes []string
	held := false
	for _, m := range r.Modes {
		held = held || m.Verdict != nil
		if m.Verdict != nil && !m.Verdict.Kept {
			modes = append(modes, string(m.Mode))
		}
	}
	switch {
	case len(modes) > 0:
		return fault.Newf(fault.Check, "raise on_demand_base or headroom, add pools, or see docs/simulate.md", "simulating %s: the promise is broken in mode %s", r.Group, strings.Join(modes, ", "))
	case !held:
		return fault.Newf(fault.Usage, "compare a mode that buys spot, or give --promise PERCENT,TIME", "simulating %s: no mode promises anything to check", r.Group)
	}
	return nil
}

// simulation is a command line on its way to a configuration.
type simulation struct {
	c     *cli.Context
	cfg   simulate.Config
	about simulate.About
}

// names finds the group and the modes.
func (s *simulation) names() (err error) {
	if s.cfg.Modes, err = simulate.ParseModes(s.c.String("modes")); err != nil {
		return err
	}
	all := s.cfg.Spec.Names()
	if s.cfg.Group = s.c.String("group"); s.cfg.Group != "" {
		return nil
	}
	var backed []string
	for _, name := range all {
		if v := s.cfg.Spec.Groups[name].Capacity; v != nil && v.Mode != nil && *v.Mode == autoscale.BackstopMode {
			backed = append(backed, name)
		}
	}
	if len(backed) != 1 {
		backed = all
	}
	if len(backed) != 1 {
		return cliapp.Usagef("missing --group: the file has %s", strings.Join(all, ", "))
	}
	s.cfg.Group = backed[0]
	return nil
}

// times reads how long to play, and from when.
func (s *simulation) times() (err error) {
	if text := s.c.String("for"); text != "" {
		if s.cfg.For, err = simulate.ParseDuration(text); err != nil || s.cfg.For <= 0 {
			return cliapp.Usagef("--for %s: want a time such as 24h or 7d", text)
		}
	}
	if s.cfg.Answer.Service <= 0 || s.cfg.Answer.Workers <= 0 {
		return cliapp.Usagef("--service-time %s, --workers %d: want both more than zero", s.cfg.Answer.Service, s.cfg.Answer.Workers)
	}
	s.cfg.Start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	if text := s.c.String("start"); text != "" {
		if s.cfg.Start, err = time.Parse(time.RFC3339, text); err != nil {
			return cliapp.Usagef("--start %s: want a date such as 2026-01-05T00:00:00Z", text)
		}
	}
	s.about.Seed = s.c.Uint64("seed")
	return nil
}

// opener opens a trace by its name on the command line.
func opener(name string) simulate.Open {
	return func() (io.ReadCloser, error) {
		if sample, ok := strings.CutPrefix(name, "sample:"); ok {
			return simulate.Sample(sample)
		}
		return os.Open(name)
	}
}

func (s *simulation) demand() (err error) {
	text := s.c.String("demand")
	s.about.Demand = text
	if text == "" {
		return cliapp.Usagef("missing --demand: a trace, sample:web-day, or terms such as constant:20")
	}
	if simulate.IsGenerator(text) {
		if s.cfg.For == 0 {
			s.cfg.For = 24 * time.Hour
		}
		s.cfg.Demand, err = simulate.ParseDemand(text, s.about.Seed)
		return err
	}
	if s.cfg.Demand, err = simulate.TraceDemand(text, opener(text), s.cfg.For > 0); err != nil {
		return err
	}
	if start := s.cfg.Demand.Start(); !start.IsZero() && !s.c.IsSet("start") {
		s.cfg.Start = start
	}
	return nil
}

func (s *simulation) spot() error {
	text := s.c.String("spot")
	if s.about.Spot = text; text == "" {
		s.about.Spot = "without losses"
		return nil
	}
	told := simulate.Told{Notice: s.c.Duration("notice")}
	if told.Notice < 0 {
		return cliapp.Usagef("--notice %s: want zero or more", told.Notice)
	}
	if s.cfg.Demand.Start().Equal(s.cfg.Start) {
		told.Start = s.cfg.Start
	}
	s.cfg.Market = func(pools []simulate.Pool) (simulate.Market, error) {
		if simulate.IsModel(text) {
			return simulate.ParseMarket(text, len(pools), s.about.Seed)
		}
		return simulate.TraceMarket(text, opener(text), pools, told)
	}
	return nil
}

// prices reads --price, and takes the rest from the table.
func (s *simulation) prices() error {
	given := map[string]float64{}
	for _, text := range s.c.StringSlice("price") {
		name, price, ok := strings.Cut(text, "=")
		v, err := strconv.ParseFloat(price, 64)
		if !ok || err != nil || !(v >= 0) || name == "" {
			return cliapp.Usagef("--price %s: want TYPE=USD, as t3.large=0.0832", text)
		}
		given[name] = v
	}
	table, err := cost.Prices()
	if err != nil {
		return err
	}
	region := s.cfg.Spec.Region
	s.cfg.Price = func(typ string) float64 {
		if v, ok := given[typ]; ok {
			return v
		}
		if v, ok := table.Hour(region, typ); ok {
			return v
		}
		return math.NaN()
	}
	s.about.Prices = fmt.Sprintf("instances only; on-demand prices of %s, from the table of %s where --price gives none", region, table.AsOf)
	return nil
}

// promise reads what the modes are held to.
func (s *simulation) promise() error {
	losses := s.c.Int("losses")
	if losses < 1 {
		return cliapp.Usagef("--losses %d: want 1 or more", losses)
	}
	text := s.c.String("promise")
	if text == "" {
		s.cfg.Promise = promised(s.cfg.Boot, losses)
		return nil
	}
	percent, long, _ := strings.Cut(text, ",")
	share, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(percent), "%"), 64)
	d, derr := simulate.ParseDuration(strings.TrimSpace(long))
	if err != nil || derr != nil || !(share >= 0 && share <= 100) || d < 0 {
		return cliapp.Usagef("--promise %s: want PERCENT,TIME, as 10,5m", text)
	}
	s.cfg.Promise = func(string, autoscale.Group) (simulate.Promise, bool) {
		return simulate.Promise{Percent: 100, After: share, For: d, Losses: losses}, true
	}
	return nil
}

// promised is what the product promises of a group.
func promised(boot time.Duration, losses int) func(string, autoscale.Group) (simulate.Promise, bool) {
	return func(name string, g autoscale.Group) (simulate.Promise, bool) {
		p, ok := autoscale.PromiseOf(name, g, autoscale.PromiseOptions{Boot: boot, Losses: losses})
		out := simulate.Promise{Percent: p.Shortfall, For: p.For, After: p.After, Losses: p.Losses, Pools: p.Pools}
		if g.Capacity != nil && g.Capacity.Headroom != nil {
			out.Headroom = float64(*g.Capacity.Headroom)
		}
		return out, ok
	}
}
