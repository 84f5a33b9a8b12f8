package simulate

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bakehouse/autoscale/scaling"
)

// slow is the sample with a policy on latency in place of one on CPU.
func slow(latency string) string {
	return strings.Replace(sample, "cpu: {track: {target: 60, predefined: ASGAverageCPUUtilization}}", "slow: {latency: {target_group: web, "+latency+"}}", 1)
}

func TestTheSamplesLatency(t *testing.T) {
	t.Parallel()
	c := config(t, "web-day", "spot-week")
	c.Spec, c.For, c.Answer = mustSpec(t, slow("target: 0.2, statistic: p90, relaxed: 0.12")), 2*24*time.Hour, scaling.Station{Service: 50 * time.Millisecond, Workers: 8}
	got, _, _ := bytesOf(t, c)
	golden(t, "latency.txt", got)
}

// steady is a latency policy under a demand that does not change.
func steady(t testing.TB, demand float64, latency string, answer scaling.Station) Config {
	c := config(t, "constant:"+fmt.Sprint(demand), "model")
	c.Spec, c.Answer, c.Modes, c.Market = mustSpec(t, slow(latency)), answer, []Mode{OnDemand}, nil
	return c
}

// The sizes are those of the product's own steps: 40 % at twice the target.
func TestLatencyScalesByTheProductsSteps(t *testing.T) {
	t.Parallel()
	c := steady(t, 20, "target: 0.4, relaxed: 0", scaling.Station{Service: 100 * time.Millisecond, Workers: 4})
	var err error
	if c.Demand, err = ParseDemand("constant:20+step:by=20,at=1h", 1); err != nil {
		t.Fatal(err)
	}
	c.For = 3 * time.Hour
	var sizes []int
	c.Row = func(r Row) error {
		if n := len(sizes); n == 0 || sizes[n-1] != r.Target {
			sizes = append(sizes, r.Target)
		}
		return nil
	}
	m := mustRun(t, c).Modes[0]
	for i := 1; i < len(sizes); i++ {
		if want := sizes[i-1] + sizes[i-1]*40/100; sizes[i] != want && sizes[i] < 80 {
			t.Errorf("from %d it grows to %d; 40 %% more are %d (all: %v)", sizes[i-1], sizes[i], want, sizes)
		}
	}
	if len(sizes) < 3 || m.Answers.Over == 0 || m.Answers.Over > 30*time.Minute || m.Answers.Worst < time.Second || m.Answers.WorstAt < time.Hour {
		t.Errorf("sizes %v; answers %+v", sizes, *m.Answers)
	}
}

func TestACapacityThatCanDoesMeetTheTarget(t *testing.T) {
	t.Parallel()
	whole := t
	rapid.Check(t, func(t *rapid.T) {
		answer := scaling.Station{Service: time.Duration(rapid.IntRange(5, 200).Draw(t, "service")) * time.Millisecond, Workers: rapid.IntRange(1, 16).Draw(t, "workers")}
		statistic, times := "Average", 1.0
		if rapid.Bool().Draw(t, "percentile") {
			statistic, times = "p90", scaling.Spread(0.9)
		}
		demand := rapid.IntRange(1, 20).Draw(t, "demand")
		// A target from just over what the max can reach to ten times that. The
		// odd factor keeps it off what a number of units reaches exactly, which
		// is neither under nor over.
		target := answer.Takes(float64(demand)/80).Seconds() * times * 1.0137 * rapid.Float64Range(1.1, 10).Draw(t, "target")
		c := steady(whole, float64(demand), fmt.Sprintf("target: %.7f, relaxed: 0, statistic: %s", target, statistic), answer)
		c.For = 6 * time.Hour
		late := 0
		c.Row = func(r Row) error {
			if r.At > 3*time.Hour && r.Short > 0 {
				late++
			}
			return nil
		}
		m := mustRun(whole, c).Modes[0]
		if late > 0 || m.Answers.Over > 3*time.Hour || m.Answers.Mean() < answer.Service {
			t.Fatalf("%d steps are short at the end, %s over the target, %s on average; a request takes %s where nothing waits", late, m.Answers.Over, m.Answers.Mean(), answer.Service)
		}
		if m.Peak > 80 {
			t.Fatalf("%d units run, over the max of 80", m.Peak)
		}
	})
}

func TestATargetBelowTheServiceTimeGrowsToTheMax(t *testing.T) {
	t.Parallel()
	c := steady(t, 5, "target: 0.09, statistic: p90", scaling.Station{Service: 50 * time.Millisecond, Workers: 4})
	last := 0
	c.Row = func(r Row) error {
		last = r.Target
		return nil
	}
	r := mustRun(t, c)
	notes := strings.Join(r.Notes, "\n")
	for _, want := range []string{
		"how long answers take is a model: a unit takes 50ms for a request and works on 4 at once",
		"alarm slow-up of web: answers never take less than 0.115 s, which is where nothing waits, so that no capacity brings them under 0.09 s and the group grows to its max",
		"alarm slow-down of web: answers never take less than 0.115 s, which is where nothing waits, so that they are never under 0.045 s and nothing scales in by it",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("%q is missing in\n%s", want, notes)
		}
	}
	if last != 80 {
		t.Errorf("the group has %d units at the end, its max is 80", last)
	}
}

func TestNobodyAskingIsNoLatency(t *testing.T) {
	t.Parallel()
	c := steady(t, 0, "target: 0.4", scaling.Station{Service: 100 * time.Millisecond, Workers: 4})
	c.For = 2 * time.Hour
	if m := mustRun(t, c).Modes[0]; m.Launches != 0 || m.Answers.Worst != 0 || m.Answers.Mean() != 0 {
		t.Errorf("without requests %d launches, answers %+v", m.Launches, *m.Answers)
	}
}

func TestStatisticsOfLatency(t *testing.T) {
	t.Parallel()
	for statistic, want := range map[string]float64{"": 1, "Average": 1, "p50": math.Ln2, "p90": math.Ln10, "p99.9": 3 * math.Ln10} {
		if got, err := spreadOf(statistic); err != nil || math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, %v; want %v", statistic, got, err, want)
		}
	}
	c := steady(t, 5, "target: 1", scaling.Station{})
	c.Spec = mustSpec(t, strings.Replace(sample, "policies: {cpu: {track: {target: 60, predefined: ASGAverageCPUUtilization}}}",
		"policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms: {slow: {namespace: AWS/ApplicationELB, metric: TargetResponseTime, dimensions: {TargetGroup: t}, statistic: Maximum, comparison: '>', threshold: 1, period: 60, policy: up}}", 1))
	if notes := strings.Join(mustRun(t, c).Notes, "\n"); !strings.Contains(notes, "alarm slow of web is left out: there is no model of statistic Maximum of TargetResponseTime") {
		t.Errorf("notes: %s", notes)
	}
}
