package autoscale

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUnitsAtRiskAreToldAndCountOnlyWhereAsked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		view  BalanceView
		early int // the size with early; without, it is what there is
		why   string
	}{
		"two at risk":         {BalanceView{Target: 10, Spot: BalanceCount{InService: 10, AtRisk: 2}, Max: 10}, 2, "10 of 10 units in service, 2 of them at risk; up to 2 at once"},
		"replaced by spot":    {BalanceView{Target: 10, Spot: BalanceCount{InService: 10, AtRisk: 2, Starting: 2}, Max: 10}, 0, "2 of them at risk, 2 starting"},
		"one more than asked": {BalanceView{Target: 10, Spot: BalanceCount{InService: 11, AtRisk: 1}, Max: 10}, 0, "11 of 10"},
		"no room beside them": {BalanceView{Target: 10, Spot: BalanceCount{InService: 10, AtRisk: 3}, Max: 10, TotalMax: 12}, 2, "1 are still missing"},
		"no room at all":      {BalanceView{Target: 10, Spot: BalanceCount{InService: 10, AtRisk: 3}, Max: 10, TotalMax: 10}, 0, "3 are still missing"},
		"kept while at risk":  {BalanceView{Target: 10, Spot: BalanceCount{InService: 10, AtRisk: 2}, Desired: 2, Max: 10}, 2, "2 of them at risk"},
	} {
		c.view.At = balanceNoon()
		rule := BalanceRule{Hold: 5 * time.Minute, Grace: 30 * time.Second}
		if d := BalanceDecide(c.view, rule, BalanceState{}); d.Size != c.view.Desired || !strings.Contains(d.Reasons[0], fmt.Sprintf("%d of them at risk", c.view.Spot.AtRisk)) {
			t.Errorf("%s: without early the size is %d because %q", name, d.Size, d.Reasons)
		}
		rule.Early = true
		if d := BalanceDecide(c.view, rule, BalanceState{Known: true, Covered: 10, Risky: balanceNoon().Add(-rule.Grace)}); d.Size != c.early || !strings.Contains(strings.Join(d.Reasons, "; "), c.why) {
			t.Errorf("%s: early the size is %d because %q; want %d and %q", name, d.Size, d.Reasons, c.early, c.why)
		}
	}
}

func TestSpotHasAGraceToReplaceWhatIsAtRisk(t *testing.T) {
	t.Parallel()
	rule := BalanceRule{Hold: 5 * time.Minute, Grace: 30 * time.Second, Early: true}
	v := BalanceView{At: balanceNoon(), Target: 10, Spot: BalanceCount{InService: 10, AtRisk: 2}, Max: 10}
	first := BalanceDecide(v, rule, BalanceState{})
	if first.Size != 0 || first.Due != balanceNoon().Add(rule.Grace) || !strings.Contains(strings.Join(first.Reasons, "; "), "until 12:00:30 to launch in the place of what is at risk") {
		t.Errorf("at first it decides %+v", first)
	}
	v.At = first.Due
	if d := BalanceDecide(v, rule, first.State); d.Size != 2 {
		t.Errorf("when the grace is over it decides %+v", d)
	}
	v.Spot.Starting = 2 // spot replaces them
	d := BalanceDecide(v, rule, first.State)
	if d.Size != 0 || !d.State.Risky.IsZero() {
		t.Errorf("while spot replaces them it decides %+v", d)
	}
	v.Spot, v.Desired = BalanceCount{InService: 12, AtRisk: 2}, 0
	if d = BalanceDecide(v, rule, d.State); d.Size != 0 || !d.State.Risky.IsZero() {
		t.Errorf("when spot has replaced them it decides %+v", d)
	}
}

func TestUnitsAtRiskChangeNothingUnlessEarly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlay(t)
		for range rapid.IntRange(1, 40).Draw(t, "ticks") {
			n := rapid.IntRange(0, p.view.Target).Draw(t, "in service")
			p.view.Spot = BalanceCount{InService: n}
			calm := BalanceDecide(p.view, p.rule, p.state)
			p.view.Spot.AtRisk = rapid.IntRange(0, n).Draw(t, "at risk")
			if d := p.tick(t); d.Size != calm.Size || d.State != calm.State || d.Due != calm.Due {
				t.Fatalf("with %d at risk it decides %+v, without %+v", p.view.Spot.AtRisk, d, calm)
			}
		}
	})
}

// TestEarlyKeepsTheTargetThroughTheLossOfAllAtRisk has room for all: what is
// left when everything at risk goes, and the backstop, make up the target.
// Whatever the limits, tick holds the size to them, at risk or not.
func TestEarlyKeepsTheTargetThroughTheLossOfAllAtRisk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlay(t)
		p.rule.Early = true
		roomy := rapid.Bool().Draw(t, "roomy")
		if roomy {
			p.view.Max, p.view.TotalMax = p.view.Min+p.view.Target, 0
		}
		for range rapid.IntRange(1, 40).Draw(t, "ticks") {
			n := rapid.IntRange(0, p.view.Target).Draw(t, "in service")
			starting := rapid.IntRange(0, p.view.Target-n).Draw(t, "starting")
			p.view.Spot = BalanceCount{InService: n, AtRisk: rapid.IntRange(0, n).Draw(t, "at risk"), Starting: starting}
			calm := p.view
			calm.Spot.AtRisk = 0
			least := BalanceDecide(calm, p.rule, p.state).Size
			d := p.tick(t)
			if rest := n - p.view.Spot.AtRisk + starting + d.Size; roomy && rest < p.view.Target+p.view.Min {
				t.Fatalf("when the %d at risk of %d go, %d and a backstop of %d do not reach %d and the base", p.view.Spot.AtRisk, n, starting, d.Size, p.view.Target)
			}
			if d.Size < least {
				t.Fatalf("with %d at risk it decides for %d, with none for %d", p.view.Spot.AtRisk, d.Size, least)
			}
		}
	})
}

func TestEarlyReturnsToItsBaseWhenTheRiskIsOver(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlay(t)
		p.rule.Early = true
		for range rapid.IntRange(1, 20).Draw(t, "ticks") {
			p.view.Spot.AtRisk = rapid.IntRange(0, p.view.Target).Draw(t, "at risk")
			p.tick(t)
		}
		p.view.Spot.AtRisk = 0
		for over := p.view.At; !p.view.At.After(over.Add(2*p.rule.Hold + 15*time.Second)); {
			p.tick(t)
		}
		if p.view.Desired != p.view.Min {
			t.Fatalf("after twice the hold time it is %d, its base %d", p.view.Desired, p.view.Min)
		}
	})
}

// TestEarlyLeavesTheAlarmNothingToTakeAway: whatever comes to be at risk,
// nothing stands longer beside whole spot than the alarm lets it.
func TestEarlyLeavesTheAlarmNothingToTakeAway(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlay(t)
		p.rule.Early, p.rule.Grace = true, 30*time.Second
		p.view.Spare = p.rule.Hold + time.Duration(rapid.IntRange(1, 20).Draw(t, "minutes to spare"))*time.Minute
		var since time.Time
		for range rapid.IntRange(1, 300).Draw(t, "ticks") {
			p.view.Spot.AtRisk = rapid.IntRange(0, min(2, p.view.Target)).Draw(t, "at risk")
			if p.tick(t); p.view.Desired == p.view.Min {
				since = time.Time{}
			} else if since.IsZero() {
				since = p.view.At
			}
			if stood := p.view.At.Sub(since); !since.IsZero() && stood > p.view.Spare {
				t.Fatalf("it stands for %v beside whole spot; the alarm acts after %v", stood, p.view.Spare)
			}
		}
	})
}

// TestDueIsWhenTimeAloneChangesTheDecision looks at the same view again: just
// before it is due nothing differs, and then something does.
func TestDueIsWhenTimeAloneChangesTheDecision(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlay(t)
		p.rule = BalanceRule{Hold: time.Duration(rapid.IntRange(1, 600).Draw(t, "hold")) * time.Second, Grace: time.Duration(rapid.IntRange(1, 60).Draw(t, "grace")) * time.Second,
			Early: rapid.Bool().Draw(t, "early")}
		p.view.Spare = time.Duration(rapid.IntRange(0, 20).Draw(t, "spare")) * time.Minute
		for range rapid.IntRange(1, 30).Draw(t, "ticks") {
			n := rapid.IntRange(0, p.view.Target).Draw(t, "in service")
			p.view.Spot = BalanceCount{InService: n, AtRisk: rapid.IntRange(0, n).Draw(t, "at risk")}
			if rapid.Bool().Draw(t, "grows") {
				p.view.Target += rapid.IntRange(0, 5).Draw(t, "by")
			}
			d := p.tick(t)
			settled := BalanceDecide(p.view, p.rule, p.state) // what is due is due of the view that the decision made
			if settled.Size != d.Size {
				continue // two steps down: the first was for the ceiling
			}
			later := p.view
			if later.At = p.view.At.Add(time.Hour); d.Due.IsZero() {
				if again := BalanceDecide(later, p.rule, p.state); again.Size != d.Size {
					t.Fatalf("nothing is due, and an hour later %+v becomes %+v", d, again)
				}
				continue
			}
			later.At = d.Due.Add(-time.Nanosecond)
			if again := BalanceDecide(later, p.rule, p.state); again.Size != d.Size {
				t.Fatalf("just before it is due %+v becomes %+v", d, again)
			}
			later.At = d.Due
			if again := BalanceDecide(later, p.rule, p.state); again.Size == d.Size && again.State == d.State {
				t.Fatalf("when it is due %+v stays", d)
			}
		}
	})
}

// recommended is EC2's event about an instance.
func recommended(id string, at time.Time) string {
	return fmt.Sprintf(`{"version": "0", "id": "12345678-1234-1234-1234-123456789012", "detail-type": "EC2 Instance Rebalance Recommendation", "source": "aws.ec2",
		"account": "123456789012", "time": %q, "region": "us-east-1", "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/%s"], "detail": {"instance-id": %q}}`, at.Format(time.RFC3339), id, id)
}

func TestRisksAreWhatRecommendationsSay(t *testing.T) {
	t.Parallel()
	now, id := balanceNoon(), "i-0123456789abcdef0"
	for name, c := range map[string]struct {
		bodies []string
		until  time.Duration // from now; 0: not at risk
	}{
		"none":                 {nil, 0},
		"one":                  {[]string{recommended(id, now)}, BalanceRiskFor},
		"repeated":             {[]string{recommended(id, now), recommended(id, now)}, BalanceRiskFor},
		"late":                 {[]string{recommended(id, now.Add(-10*time.Minute))}, BalanceRiskFor - 10*time.Minute},
		"out of order":         {[]string{recommended(id, now), recommended(id, now.Add(-10*time.Minute))}, BalanceRiskFor},
		"too late":             {[]string{recommended(id, now.Add(-BalanceRiskFor))}, 0},
		"ahead of time":        {[]string{recommended(id, now.Add(24*time.Hour))}, BalanceRiskFor},
		"of another":           {[]string{recommended("i-0123456789abcdef1", now)}, 0},
		"an interruption":      {[]string{strings.Replace(recommended(id, now), "Rebalance Recommendation", "Spot Instance Interruption Warning", 1)}, 0},
		"of somebody's own":    {[]string{strings.Replace(recommended(id, now), "aws.ec2", "my.app", 1)}, 0},
		"without a time":       {[]string{strings.Replace(recommended(id, now), `"time"`, `"when"`, 1)}, 0},
		"no id":                {[]string{recommended("i-*", now)}, 0},
		"no JSON":              {[]string{"", "rebalance " + id, "[1]", `{"detail": 7}`}, 0},
		"among other messages": {[]string{"{}", recommended(id, now), "x"}, BalanceRiskFor},
	} {
		var r BalanceRisks
		for _, body := range c.bodies {
			r.Hear(body, now)
		}
		if c.until == 0 && r.Holds(id, now) || c.until > 0 && (!r.Holds(id, now.Add(c.until-time.Second)) || r.Holds(id, now.Add(c.until))) {
			t.Errorf("%s: at risk %v, and want for %v", name, r.until, c.until)
		}
	}
}

func TestAFloodOfRecommendationsIsForgotten(t *testing.T) {
	t.Parallel()
	var r BalanceRisks
	now := balanceNoon()
	for i := range riskMost + 100 {
		r.Hear(recommended(fmt.Sprintf("i-%017x", i), now), now)
	}
	if len(r.until) > riskMost {
		t.Errorf("%d are remembered", len(r.until))
	}
	later := now.Add(BalanceRiskFor)
	if r.Hear(recommended("i-0123456789abcdef0", later), later); !r.Holds("i-0123456789abcdef0", later) {
		t.Error("after the flood nothing is heard")
	}
}

func TestAtRiskIsWhoServesInTheSpotGroup(t *testing.T) {
	t.Parallel()
	h := newHalves()
	h.noticed = []string{"i-web-0"}
	w := h.world()
	// One that serves, one under notice, one of the other half and a stranger.
	atRisk := map[string]bool{"i-web-0": true, "i-web-1": true, "i-web-backstop-0": true, "i-other": true}
	w.AtRisk = func(id string) bool { return atRisk[id] }
	seen, err := BalanceObserve(t.Context(), w, pairs())
	if err != nil {
		t.Fatal(err)
	}
	if want := (BalanceCount{InService: 3, Leaving: 1, AtRisk: 1}); seen[0].View.Spot != want {
		t.Errorf("it counts %+v, want %+v", seen[0].View.Spot, want)
	}
	p := PlanBalance(seen, BalanceRule{Hold: time.Minute, Early: true}) // without a grace
	if c := p.Changes[0]; c.AtRisk != 1 || c.To != 4 {
		t.Errorf("the plan is %+v, want 1 at risk and a backstop of 4", c)
	}
	if _, err := p.Apply(t.Context(), w); err != nil {
		t.Error(err)
	}
	h.desired(t, 4)
}
