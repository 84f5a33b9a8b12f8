package autoscale

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPromises(t *testing.T) {
	t.Parallel()
	const three = "network: {zones: [us-east-1a, us-east-1b, us-east-1c]}"
	for _, c := range []struct {
		keys      string
		opt       PromiseOptions
		shortfall float64
		at        int
		within    time.Duration
		after     float64
	}{
		{"capacity: {mode: backstop, min: 30, max: 30}, " + three, PromiseOptions{}, 100.0 / 3, 30, 7 * time.Minute, 0},
		{"capacity: {mode: backstop, min: 30, max: 30, on_demand_base: 15}, " + three, PromiseOptions{}, 100.0 / 6, 30, 7 * time.Minute, 0},
		{"capacity: {mode: backstop, min: 30, max: 30, headroom: 50}, " + three, PromiseOptions{}, 0, 30, 7 * time.Minute, 0},
		{"capacity: {mode: backstop, min: 30, max: 30}, " + three, PromiseOptions{Losses: 3, Boot: time.Minute}, 100, 30, 5 * time.Minute, 0},
		{"capacity: {mode: backstop, min: 30, max: 30, backstop: {share: 10, period: 120, up_after: 2}, warmup: 60}, " + three, PromiseOptions{}, 100.0 / 3, 30, 8 * time.Minute, 70.0 / 3},
		{"capacity: {mode: backstop, min: 0, max: 30}, " + three, PromiseOptions{}, 100, 1, 7 * time.Minute, 0},
		{"capacity: {mode: mixed, min: 30, max: 30}, " + three, PromiseOptions{}, 100.0 / 3, 30, 4 * time.Minute, 0},
		{"capacity: {mode: mixed, min: 30, max: 30}, mixed: {on_demand_percentage: 50}, " + three, PromiseOptions{}, 100.0 / 6, 30, 4 * time.Minute, 0},
	} {
		p, ok := PromiseOf("web", mustParse(t, web(c.keys)).Groups["web"], c.opt)
		if !ok || math.Abs(p.Shortfall-c.shortfall) > 1e-9 || p.At != c.at || p.For != c.within || math.Abs(p.After-c.after) > 1e-9 || len(p.Reasons) == 0 {
			t.Errorf("%s: %s (%+v)", c.keys, p, p)
		}
	}
	if p, ok := PromiseOf("web", mustParse(t, web("capacity: {min: 1, max: 2}")).Groups["web"], PromiseOptions{}); ok {
		t.Errorf("a group without spot promises %s", p)
	}
	p, _ := PromiseOf("web", mustParse(t, web("capacity: {mode: backstop, min: 30, max: 30}, "+three)).Groups["web"], PromiseOptions{})
	if got := p.String(); got != "web (backstop): shortfall at most 34 % for at most 7m0s when 1 of at least 3 spot pools in use is lost at once" {
		t.Errorf("it reads %s", got)
	}
}

func TestNoLossWithinAPromiseBreaksIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := risk{base: rapid.IntRange(0, 20).Draw(t, "base"), share: 1, headroom: float64(rapid.IntRange(0, 100).Draw(t, "headroom")) / 100,
			pools: rapid.IntRange(1, 6).Draw(t, "pools")}
		r.losses = rapid.IntRange(1, r.pools).Draw(t, "losses")
		wanted := rapid.IntRange(1, 60).Draw(t, "wanted")
		// Spread the spot units evenly, one at a time, and take any pools.
		held := make([]int, r.pools)
		for i := range max(wanted-r.base, 0) {
			held[i%r.pools]++
		}
		lost := 0
		for _, i := range rapid.Permutation(indices(r.pools)).Draw(t, "order")[:r.losses] {
			lost += held[i]
		}
		demand := float64(wanted) / (1 + r.headroom)
		missing := 100 * max(0, demand-float64(wanted-lost)) / demand
		if promised := r.shortfall(wanted, 0); missing > promised+1e-9 {
			t.Fatalf("%d of %d units lost: %.1f %% missing, promised %.1f %%", lost, wanted, missing, promised)
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestAPlanCarriesPromises(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	p, _ := c.plan(mustParse(t, backstopFile))
	if len(p.Promises) != 1 || !strings.HasPrefix(p.Promises[0].String(), "web (backstop): ") || p.Promises[0].Seconds != 420 {
		t.Errorf("promises %+v", p.Promises)
	}
}
