package simulate

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bakehouse/autoscale"
)

// drawn is a simulation of a few hours as rapid draws it: demand is constant
// when steady is set.
type sketch struct {
	c      Config
	base   int
	losses int
	quiet  time.Duration // no pool is lost from here on
}

func draw(t *rapid.T, steady bool) sketch {
	weights := rapid.SampledFrom([]string{"t3.large, m5.large", "t3.large=1, m5.large=2", "m5.large=3"}).Draw(t, "types")
	zones := rapid.SampledFrom([]string{"us-east-1a", "us-east-1a, us-east-1b, us-east-1c"}).Draw(t, "zones")
	s := sketch{base: rapid.IntRange(0, 10).Draw(t, "base"), quiet: 4 * time.Hour}
	file := fmt.Sprintf(`version: 2
region: us-east-1
groups:
  web:
    capacity: {mode: backstop, min: %d, max: 60, on_demand_base: %d, rebalance: %t}
    launch: {image: ami-1, type: t3.large}
    mixed: {types: [%s]}
    network: {zones: [%s]}
    policies: {cpu: {track: {target: 60, predefined: ASGAverageCPUUtilization}}}
`, s.base+rapid.IntRange(0, 30).Draw(t, "above"), s.base, rapid.Bool().Draw(t, "rebalance"), weights, zones)
	spec, err := autoscale.Parse("drawn.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	demand := "constant:" + fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "demand"))
	if !steady {
		demand += fmt.Sprintf("+sine:mean=5,amplitude=5,period=2h+step:by=%d,at=1h+noise:sd=0.1", rapid.IntRange(-10, 20).Draw(t, "step"))
	}
	seed := uint64(rapid.IntRange(0, 1000).Draw(t, "seed"))
	var trace strings.Builder
	trace.WriteString("time,pool,price,available\n")
	at := 0
	for range rapid.IntRange(0, 12).Draw(t, "events") {
		at += rapid.IntRange(1, 1200).Draw(t, "after")
		up := rapid.IntRange(0, 1).Draw(t, "up")
		s.losses += 1 - up
		fmt.Fprintf(&trace, "%d,#%d,40%%,%d\n", at, rapid.IntRange(1, 6).Draw(t, "pool"), up)
	}
	for p := range 6 {
		fmt.Fprintf(&trace, "%d,#%d,40%%,1\n", int(s.quiet.Seconds()), p+1)
	}
	s.c = Config{Spec: spec, Group: "web", Modes: Modes(), Boot: time.Duration(rapid.IntRange(0, 300).Draw(t, "boot")) * time.Second, Step: 15 * time.Second,
		For: 6 * time.Hour, Lag: time.Minute, Unit: 1, Every: 15 * time.Second, Hold: 5 * time.Minute, Price: func(string) float64 { return 0.1 },
		Start: time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)}
	if s.c.Demand, err = ParseDemand(demand, seed); err != nil {
		t.Fatal(err)
	}
	s.c.Market = func(pools []Pool) (Market, error) {
		return TraceMarket("drawn.csv", text(trace.String()), pools, Told{Notice: 2 * time.Minute})
	}
	return s
}

func (s sketch) run(t *rapid.T, each func(Row)) Result {
	s.c.Row = func(r Row) error {
		each(r)
		return nil
	}
	r, err := Run(context.Background(), s.c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestNeverAboveTheTotalMax(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := draw(t, false).run(t, func(Row) {})
		for _, m := range r.Modes {
			groups, margin := 1, 0
			if m.Mode == Backstop || m.Mode == Balance {
				groups = 2
			}
			// A tenth while AWS replaces instances under notice, and the weight
			// of the instance that reaches the desired capacity.
			margin = max(groups, m.Limit/10) + groups*(3-1)
			if m.Peak > m.Limit+margin {
				t.Fatalf("mode %s: %d units ran, the groups' max is %d", m.Mode, m.Peak, m.Limit)
			}
		}
	})
}

func TestTheBackstopReturnsToItsBase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t, true)
		s.c.Modes = []Mode{Backstop, Balance}
		last := map[Mode]Row{}
		r := s.run(t, func(r Row) { last[r.Mode] = r })
		for mode, row := range last {
			weight := r.Pools[0].Weight
			if row.Down != 0 || row.OnDemand < s.base || row.OnDemand >= s.base+weight {
				t.Fatalf("mode %s: two hours after spot is back %d units are on demand and %d pools down; the base is %d", mode, row.OnDemand, row.Down, s.base)
			}
		}
	})
}

func TestTheBackstopDoesNotFlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t, true)
		s.c.Modes, s.c.Grace = []Mode{Balance}, autoscale.BalanceGrace
		r := s.run(t, func(Row) {})
		// A loss may be told, happen, and be made up for in two steps; each turns
		// it up and down once at most.
		if turns := r.Modes[0].Turns; turns > 4*s.losses {
			t.Fatalf("%d losses turned the backstop %d times", s.losses, turns)
		}
	})
}

func TestCapacityAndWhatStartsReachTheTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t, true)
		s.c.Modes = []Mode{Balance}
		// The controller looks once within each notice of two minutes.
		s.run(t, func(r Row) {
			if r.OnDemand+r.Spot+r.Starting < r.Target {
				t.Fatalf("at %s %d serve and %d start; the target is %d", r.At, r.OnDemand+r.Spot, r.Starting, r.Target)
			}
		})
	})
}

func TestABaseThatCoversTheLossLeavesNothingShort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 2).Draw(t, "pools lost")
		each := rapid.IntRange(1, 5).Draw(t, "units in a zone")
		file := strings.NewReplacer("min: 4, max: 80, on_demand_base: 2", fmt.Sprintf("min: %d, max: %d, on_demand_base: %d", (3+k)*each, (3+k)*each, k*each),
			"t3.large, m5.large", "t3.large").Replace(sample)
		s := sketch{c: Config{Spec: mustSpecIn(t, file), Group: "web", Modes: []Mode{Balance}, Boot: 3 * time.Minute, Step: 10 * time.Second, For: 4 * time.Hour, Unit: 1,
			Every: 15 * time.Second, Hold: 5 * time.Minute, Price: func(string) float64 { return 0.1 }}}
		s.c.Demand, _ = ParseDemand("constant:0", 1)
		trace := "time,pool,price,available\n"
		for p := range k {
			trace += fmt.Sprintf("3600,#%d,,0\n", p+1)
		}
		s.c.Market = func(pools []Pool) (Market, error) {
			return TraceMarket("t.csv", text(trace), pools, Told{Notice: time.Duration(rapid.IntRange(0, 120).Draw(t, "notice")) * time.Second})
		}
		s.run(t, func(r Row) {
			if r.OnDemand+r.Spot < 3*each {
				t.Fatalf("at %s %d units serve, and demand is thought to need %d", r.At, r.OnDemand+r.Spot, 3*each)
			}
		})
	})
}

func mustSpecIn(t *rapid.T, file string) autoscale.Spec {
	s, err := autoscale.Parse("t.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSameSeedGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := uint64(rapid.IntRange(0, 1000).Draw(t, "seed"))
		s := draw(t, false)
		s.c.For = time.Hour
		s.c.Market = func(pools []Pool) (Market, error) {
			return ParseMarket("model:mtbf=1h,recovery=5m,price=0.3", len(pools), seed)
		}
		var all [2]bytes.Buffer
		for i := range all {
			var rows []byte
			r := s.run(t, func(r Row) { rows = r.Append(rows) })
			all[i].Write(rows)
			if err := Summary(&all[i], r, About{}); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(all[0].Bytes(), all[1].Bytes()) {
			t.Fatal("two runs differ")
		}
	})
}

// All prices are 0.1 an instance-hour here, on spot 40 % of it, and known.
func TestSumsAgreeWithTheirSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t, false)
		s.c.Spec = mustSpecIn(t, sample) // weights of 1: units are instances
		s.c.Market = func(pools []Pool) (Market, error) {
			return ParseMarket("model:mtbf=2h,recovery=10m,price=1", len(pools), 7)
		}
		hours := s.c.Step.Hours()
		onDemand, spot, starting, short := map[Mode]float64{}, map[Mode]float64{}, map[Mode]float64{}, map[Mode]float64{}
		r := s.run(t, func(r Row) {
			onDemand[r.Mode] += float64(r.OnDemand) * hours
			spot[r.Mode] += float64(r.Spot) * hours
			starting[r.Mode] += float64(r.Starting) * hours
			short[r.Mode] += r.Short * hours * 60
		})
		near := func(what string, m Mode, a, b float64) {
			if math.Abs(a-b) > 1e-6*max(1, math.Abs(a)) {
				t.Fatalf("mode %s: %s is %v in all and %v step by step", m, what, a, b)
			}
		}
		for _, m := range r.Modes {
			near("on demand", m.Mode, m.OnDemand, onDemand[m.Mode])
			near("spot", m.Mode, m.Spot, spot[m.Mode])
			near("starting", m.Mode, m.Starting, starting[m.Mode])
			near("short", m.Mode, m.Short.UnitMinutes, short[m.Mode])
			near("instances", m.Mode, m.Instances, m.OnDemand+m.Spot+m.Starting)
			near("cost", m.Mode, m.Cost.Total(), 0.1*m.Instances)
		}
	})
}

func TestModesSeeTheSameLosses(t *testing.T) {
	t.Parallel()
	c := config(t, "constant:20", "model:mtbf=2h,recovery=20m")
	down := map[Mode][]int{}
	c.Row = func(r Row) error {
		down[r.Mode] = append(down[r.Mode], r.Down)
		return nil
	}
	mustRun(t, c)
	alone := config(t, "constant:20", "model:mtbf=2h,recovery=20m")
	alone.Modes = []Mode{Balance}
	var same []int
	alone.Row = func(r Row) error {
		same = append(same, r.Down)
		return nil
	}
	mustRun(t, alone)
	for _, m := range Modes() {
		if fmt.Sprint(down[m]) != fmt.Sprint(same) {
			t.Errorf("mode %s saw other losses", m)
		}
	}
}
