package autoscale

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func balanceNoon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

func TestBalanceDecisions(t *testing.T) {
	t.Parallel()
	rule := BalanceRule{Hold: 5 * time.Minute, Grace: 30 * time.Second}
	for name, c := range map[string]struct {
		view  BalanceView
		prior BalanceState
		want  int
		why   string
	}{
		"whole":                 {BalanceView{Target: 10, Spot: BalanceCount{InService: 10}, Max: 10}, BalanceState{}, 0, "10 of 10 units in service"},
		"a loss":                {BalanceView{Target: 10, Spot: BalanceCount{InService: 6}, Max: 10}, BalanceState{}, 4, "up to 4 at once"},
		"a notice":              {BalanceView{Target: 10, Spot: BalanceCount{InService: 7, Leaving: 3}, Max: 10}, BalanceState{}, 3, "3 leaving"},
		"replacements start":    {BalanceView{Target: 10, Spot: BalanceCount{InService: 6, Starting: 3}, Max: 10}, BalanceState{}, 1, "3 starting"},
		"above the base":        {BalanceView{Target: 10, Spot: BalanceCount{InService: 6}, Desired: 2, Min: 2, Max: 12}, BalanceState{}, 6, "up to 6"},
		"the group's limit":     {BalanceView{Target: 10, Spot: BalanceCount{InService: 1}, Max: 5}, BalanceState{}, 5, "4 are still missing"},
		"the limit of both":     {BalanceView{Target: 10, Spot: BalanceCount{InService: 8}, Desired: 5, Max: 10, TotalMax: 10}, BalanceState{}, 2, "down to 2 at once"},
		"a ceiling below min":   {BalanceView{Target: 10, Spot: BalanceCount{InService: 10}, Desired: 2, Min: 2, Max: 10, TotalMax: 10}, BalanceState{}, 2, ""},
		"an excess waits":       {BalanceView{Target: 10, Spot: BalanceCount{InService: 10}, Desired: 4, Max: 10}, BalanceState{}, 4, "4 units are in excess"},
		"an excess that is old": {BalanceView{Target: 10, Spot: BalanceCount{InService: 10}, Desired: 4, Max: 10}, BalanceState{Known: true, Covered: 10, Since: balanceNoon().Add(-5 * time.Minute)}, 0, "no more was needed for 5m0s"},
		"only to what was needed": {BalanceView{Target: 10, Spot: BalanceCount{InService: 10}, Desired: 4, Max: 10},
			BalanceState{Known: true, Covered: 10, Since: balanceNoon().Add(-5 * time.Minute), Floor: 3}, 3, "down to 3"},
		"a target just risen":    {BalanceView{Target: 14, Spot: BalanceCount{InService: 10}, Max: 10}, BalanceState{Known: true, Covered: 10}, 0, "risen from 10 to 14"},
		"risen and not followed": {BalanceView{Target: 14, Spot: BalanceCount{InService: 10}, Max: 10}, BalanceState{Known: true, Covered: 10, Grew: balanceNoon().Add(-30 * time.Second)}, 4, "up to 4"},
		"a loss while it rises":  {BalanceView{Target: 14, Spot: BalanceCount{InService: 7}, Max: 10}, BalanceState{Known: true, Covered: 10}, 3, "up to 3"},
		"spot over its target":   {BalanceView{Target: 10, Spot: BalanceCount{InService: 12}, Min: 1, Desired: 1, Max: 10}, BalanceState{}, 1, ""},
	} {
		c.view.At = balanceNoon()
		d := BalanceDecide(c.view, rule, c.prior)
		if why := strings.Join(d.Reasons, "; "); d.Size != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: size %d because %q; want %d and %q", name, d.Size, why, c.want, c.why)
		}
	}
}

// balancePlay is a spot group that loses and regains units as rapid draws it.
type balancePlay struct {
	view  BalanceView
	state BalanceState
	rule  BalanceRule
}

func drawPlay(t *rapid.T) *balancePlay {
	target := rapid.IntRange(0, 40).Draw(t, "target")
	low := rapid.IntRange(0, 5).Draw(t, "min")
	p := &balancePlay{rule: BalanceRule{Hold: time.Duration(rapid.IntRange(0, 600).Draw(t, "hold")) * time.Second}}
	p.view = BalanceView{At: balanceNoon(), Target: target, Spot: BalanceCount{InService: target}, Desired: low, Min: low, Max: low + rapid.IntRange(0, 60).Draw(t, "reach")}
	if rapid.Bool().Draw(t, "bounded") {
		p.view.TotalMax = target + low + rapid.IntRange(0, 20).Draw(t, "beyond")
	}
	return p
}

// tick decides, takes the decision as done, and moves the clock.
func (p *balancePlay) tick(t *rapid.T) BalanceDecision {
	d := BalanceDecide(p.view, p.rule, p.state)
	v := p.view
	if d.Size < v.Min || d.Size > v.Max || v.TotalMax > 0 && d.Size > v.Min && d.Size+v.Spot.InService > v.TotalMax {
		t.Fatalf("size %d is out of bounds for %+v", d.Size, v)
	}
	if again := BalanceDecide(v, p.rule, p.state); again.Size != d.Size || again.State != d.State {
		t.Fatalf("two decisions on the same view differ")
	}
	p.state, p.view.Desired = d.State, d.Size
	p.view.At = v.At.Add(15 * time.Second)
	return d
}

func TestBalanceKeepsCapacityAtTheTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlay(t)
		p.view.Max, p.view.TotalMax = p.view.Min+p.view.Target, 0 // it can make up for all
		for range rapid.IntRange(1, 60).Draw(t, "ticks") {
			n := rapid.IntRange(0, p.view.Target).Draw(t, "in service")
			starting := rapid.IntRange(0, p.view.Target-n).Draw(t, "starting")
			p.view.Spot = BalanceCount{InService: n, Starting: starting, Leaving: p.view.Target - n - starting}
			if d := p.tick(t); n+starting+d.Size < p.view.Target+p.view.Min {
				t.Fatalf("%d in service, %d starting and a backstop of %d do not reach %d and the base", n, starting, d.Size, p.view.Target)
			}
		}
	})
}

func TestBalanceReturnsToItsBaseWhenSpotIsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlay(t)
		for range rapid.IntRange(1, 20).Draw(t, "ticks") {
			p.view.Spot.InService = rapid.IntRange(0, p.view.Target).Draw(t, "in service")
			p.tick(t)
		}
		p.view.Spot = BalanceCount{InService: p.view.Target}
		back, size := p.view.At, p.view.Desired
		for !p.view.At.After(back.Add(2*p.rule.Hold + 15*time.Second)) {
			if now := p.tick(t).Size; now > size {
				t.Fatalf("it grew to %d while spot was whole", now)
			} else {
				size = now
			}
		}
		if size != p.view.Min {
			t.Fatalf("after twice the hold time it is %d, its base %d", size, p.view.Min)
		}
	})
}

func TestBalanceDoesNotFlap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlay(t)
		losses, turns, last := 0, 0, 1
		for range rapid.IntRange(1, 100).Draw(t, "ticks") {
			before, size := p.view.Spot.InService, p.view.Desired
			p.view.Spot.InService = rapid.IntRange(0, p.view.Target).Draw(t, "in service")
			if p.view.Spot.InService < before {
				losses++
			}
			way := p.tick(t).Size - size
			if way*last < 0 {
				turns, last = turns+1, -last
			}
		}
		if turns > 2*losses {
			t.Fatalf("%d losses turned it %d times", losses, turns)
		}
	})
}
