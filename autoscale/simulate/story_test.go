package simulate

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"bakehouse/autoscale"
)

// outage is a market in which all six pools of the sample are lost at one
// hour and come back at another.
func outage(from, to string) func([]Pool) (Market, error) {
	trace := "time,pool,price,available\n"
	for _, at := range [][2]string{{from, "0"}, {to, "1"}} {
		for _, pool := range []string{"#1", "#2", "#3", "#4", "#5", "#6"} {
			trace += at[0] + "," + pool + ",," + at[1] + "\n"
		}
	}
	return func(pools []Pool) (Market, error) {
		return TraceMarket("outage.csv", text(trace), pools, Told{Notice: 2 * time.Minute})
	}
}

func TestSpotThatStartsDoesNotSendTheBackstopAway(t *testing.T) {
	t.Parallel()
	c := config(t, "constant:20", "model")
	c.Market, c.For, c.Modes = outage("1h", "2h"), 4*time.Hour, []Mode{Backstop, Balance}
	c.Row = func(r Row) error {
		if r.At > 90*time.Minute && r.OnDemand+r.Spot < r.Target {
			t.Fatalf("mode %s, %s: spot has come back and %d of %d units serve, %d start", r.Mode, r.At, r.OnDemand+r.Spot, r.Target, r.Starting)
		}
		return nil
	}
	mustRun(t, c)
}

// TestARecommendationHelpsOnlyEarly loses all pools at once, recommended to be
// left ten minutes before: that is time to boot, if it is used. A notice of two
// minutes is not.
func TestARecommendationHelpsOnlyEarly(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{false, true} {
		c := config(t, "constant:20", "model")
		c.For, c.Modes, c.Early = 2*time.Hour, []Mode{Balance}, early
		c.Market = func(pools []Pool) (Market, error) {
			trace := "time,pool,price,available\n"
			for n := range pools {
				trace += fmt.Sprintf("3600,#%d,,0\n", n+1)
			}
			return TraceMarket("outage.csv", text(trace), pools, Told{Notice: 2 * time.Minute, Rebalance: 10 * time.Minute})
		}
		if m := mustRun(t, c).Modes[0]; (m.Short.UnitMinutes > 0) == early {
			t.Errorf("early %v: %.1f unit-minutes are short", early, m.Short.UnitMinutes)
		}
	}
}

// TestEarlyAndTheAlarmsDoNotFightOverTheBackstop loses half the pools an hour
// after it was recommended to leave them. The group's own alarm takes away what
// stands in excess for ten minutes: what is started early must be gone by then,
// or the two would start and end instances in turn.
func TestEarlyAndTheAlarmsDoNotFightOverTheBackstop(t *testing.T) {
	t.Parallel()
	c := config(t, "constant:20", "model")
	c.For, c.Modes, c.Early, c.Every = 4*time.Hour, []Mode{Balance}, true, 25*time.Second
	c.Market = func(pools []Pool) (Market, error) {
		trace := "time,pool,price,available\n"
		for n := range pools {
			trace += fmt.Sprintf("7200,#%d,,0\n", n+1)
		}
		return TraceMarket("outage.csv", text(trace), pools, Told{Notice: 2 * time.Minute, Rebalance: time.Hour})
	}
	if m := mustRun(t, c).Modes[0]; m.Turns > 3 {
		t.Errorf("the backstop turned %d times: up and down early, and up for the loss", m.Turns)
	}
}

func TestZonesEvenOutAfterALoss(t *testing.T) {
	t.Parallel()
	c := config(t, "constant:18", "model")
	s, _, err := c.setup()
	if err != nil {
		t.Fatal(err)
	}
	w, _, err := build(c, s, Mixed)
	if err != nil {
		t.Fatal(err)
	}
	g := w.groups[0]
	w.demand = 18
	w.settle(c.Spec.Groups["web"])
	spot := g.desired - g.base
	play := func(from, to time.Duration) {
		for now := from; now < to; now += c.Step {
			s.events = nil
			if now == 10*time.Minute {
				s.take([]Event{{At: now, Pool: 0, Kind: Lost}, {At: now, Pool: 1, Kind: Lost}})
			}
			if now == 30*time.Minute {
				s.take([]Event{{At: now, Pool: 0, Kind: Back}, {At: now, Pool: 1, Kind: Back}})
			}
			if err := w.play(now, 18); err != nil {
				t.Fatal(err)
			}
			if g.live() > g.desired+max(1, g.max/10) {
				t.Fatalf("at %s %d units run for %d", now, g.live(), g.desired)
			}
		}
	}
	play(0, 25*time.Minute)
	if a, b := g.inZone(0), g.inZone(1)+g.inZone(2); a != 0 || b != spot {
		t.Errorf("while a zone is down %d units run there, %d elsewhere", a, b)
	}
	play(25*time.Minute, 2*time.Hour)
	for z := range 3 {
		if n := g.inZone(z); n < spot/3 || n > (spot+2)/3 {
			t.Errorf("an hour after its return zone %d has %d of %d units", z, n, spot)
		}
	}
	launches := g.launches
	play(2*time.Hour, 4*time.Hour)
	if g.launches != launches {
		t.Errorf("even zones are evened out again and again: %d launches", g.launches-launches)
	}
}

func TestScheduledActionsFire(t *testing.T) {
	t.Parallel()
	c := config(t, "constant:2", "model")
	c.Spec = mustSpec(t, sample+"    schedules: {day: {cron: '0 8 * * *', min: 12}, night: {cron: '0 20 * * *', min: 4}}\n")
	c.Modes = []Mode{OnDemand}
	at := map[time.Duration]int{7 * time.Hour: 4, 9 * time.Hour: 12, 19 * time.Hour: 12, 23 * time.Hour: 4}
	c.Row = func(r Row) error {
		if want, ok := at[r.At]; ok && r.OnDemand != want {
			t.Errorf("at %s %d units serve, want %d", r.At, r.OnDemand, want)
		}
		return nil
	}
	mustRun(t, c)
}

// A step of demand shows when each kind of policy acts: the lag, the periods
// and the cooldown are counted out by hand.
func TestPoliciesActWhenAWSWould(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules string
		want  map[time.Duration]int // target at a time
	}{
		// 60 % is crossed in the minute that begins at 60m; its datapoint is due
		// at 62m, and three of them at 64m. 10 units at 100 % become 17.
		"tracking": {"    policies: {cpu: {track: {target: 60, predefined: ASGAverageCPUUtilization}}}\n",
			map[time.Duration]int{63*time.Minute + 50*time.Second: 10, 64 * time.Minute: 17}},
		// Two datapoints, due at 63m; the cooldown of 5 minutes begins when the
		// instances serve, at 66m, and ends at 71m.
		"simple": {"    policies: {up: {type: ChangeInCapacity, adjustment: 2}}\n    alarms: {hot: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 60, evaluation_periods: 2, policy: up}}\n",
			map[time.Duration]int{62*time.Minute + 50*time.Second: 10, 63 * time.Minute: 12, 70*time.Minute + 50*time.Second: 12, 71 * time.Minute: 14}},
		// 100 % is 30 over the threshold: the second step. What starts counts as
		// there, so the same step does not ask again.
		"steps": {"    policies: {up: {type: ChangeInCapacity, steps: [{from: 0, to: 20, adjustment: 1}, {from: 20, adjustment: 4}], warmup: 60}}\n" +
			"    alarms: {hot: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 60, policy: up}}\n",
			map[time.Duration]int{61*time.Minute + 50*time.Second: 10, 62 * time.Minute: 14, 65*time.Minute + 50*time.Second: 14}},
	} {
		file := "version: 2\nregion: us-east-1\ngroups:\n  web:\n    capacity: {min: 10, max: 80}\n    launch: {image: ami-1, type: t3.large}\n    network: {zones: [us-east-1a]}\n" + c.rules
		cfg := config(t, "constant:5+step:by=25,at=1h", "model")
		cfg.Spec, cfg.Modes, cfg.For = mustSpec(t, file), []Mode{OnDemand}, 90*time.Minute
		cfg.Row = func(r Row) error {
			if want, ok := c.want[r.At]; ok && r.Target != want {
				t.Errorf("%s: at %s the target is %d, want %d", name, r.At, r.Target, want)
			}
			return nil
		}
		mustRun(t, cfg)
	}
}

func TestAPromiseIsJudged(t *testing.T) {
	t.Parallel()
	play := func(market func([]Pool) (Market, error), p Promise) Verdict {
		c := config(t, "constant:20", "model")
		c.Market, c.For, c.Modes = market, 4*time.Hour, []Mode{Mixed}
		c.Promise = func(string, autoscale.Group) (Promise, bool) { return p, true }
		return *mustRun(t, c).Modes[0].Verdict
	}
	// All six pools go at once: three of them are in use.
	if v := play(outage("1h", "2h"), Promise{Percent: 100, For: time.Hour + 3*time.Minute, Losses: 3}); !v.Kept || v.Worst.Long() != time.Hour+3*time.Minute || v.Worst.Losses != 3 {
		t.Errorf("an hour and a boot without spot: %+v", v)
	}
	if v := play(outage("1h", "2h"), Promise{Percent: 100, For: time.Hour, Losses: 3}); v.Kept || v.Broken != 1 {
		t.Errorf("longer than promised: %+v", v)
	}
	if v := play(outage("1h", "2h"), Promise{Percent: 90, For: 3 * time.Hour, Losses: 3}); v.Kept || v.Worst.Share < 90 {
		t.Errorf("more than promised: %+v", v)
	}
	if v := play(outage("1h", "2h"), Promise{Percent: 10, For: time.Minute, Losses: 2}); !v.Kept || v.Outside != 1 {
		t.Errorf("more pools than promised: %+v", v)
	}
	if v := play(outage("1h", "2h"), Promise{Percent: 10, For: time.Minute, Losses: 3, Pools: 4}); !v.Kept || v.Outside != 1 {
		t.Errorf("fewer pools in use than promised: %+v", v)
	}
}

// A price that nobody knows must not keep all pools from being the cheapest.
func TestPoolsOfUnknownPriceComeLastAndNobodyStarves(t *testing.T) {
	t.Parallel()
	c := config(t, "constant:10", "model")
	c.Spec = mustSpec(t, strings.NewReplacer("[t3.large, m5.large]", "[t3.large, m5.large, m5a.large, t3a.large]", "[us-east-1a, us-east-1b, us-east-1c]", "[us-east-1a]").Replace(sample))
	c.Price = func(typ string) float64 {
		if typ == "m5a.large" {
			return math.NaN()
		}
		return map[string]float64{"t3.large": 0.0832, "m5.large": 0.096, "t3a.large": 0.0752}[typ]
	}
	c.Market = func(pools []Pool) (Market, error) {
		return TraceMarket("t.csv", text("time,pool,price,available\n0,#1,31%,1\n0,#2,34%,1\n0,#3,30%,1\n0,#4,33%,1\n"), pools, Told{})
	}
	c.Modes, c.For = []Mode{Mixed}, time.Hour
	r := mustRun(t, c)
	if m := r.Modes[0]; m.Short.UnitMinutes > 0 || len(m.Cost.Unknown) > 0 {
		t.Errorf("%v unit-minutes are short, and of unknown price is %v", m.Short.UnitMinutes, m.Cost.Unknown)
	}
}
