package scaling

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The rows on percentages are the examples of AWS's page on step scaling.
func TestAdjustments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a       Adjustment
		current int
		want    int
	}{
		{Adjustment{Change, 2, 0}, 5, 7}, {Adjustment{Change, -2, 0}, 5, 3}, {Adjustment{Exact, 4, 0}, 9, 4},
		{Adjustment{Percent, 10, 0}, 10, 11},
		{Adjustment{Percent, 127, 0}, 10, 22}, // 12.7 becomes 12
		{Adjustment{Percent, 6, 0}, 10, 11},   // 0.6 becomes 1
		{Adjustment{Percent, -5, 0}, 10, 9},   // -0.5 becomes -1
		{Adjustment{Percent, -66, 0}, 10, 4},  // -6.6 becomes -6
		{Adjustment{Percent, 10, 4}, 10, 14}, {Adjustment{Percent, -10, 4}, 10, 6}, {Adjustment{Percent, 50, 4}, 10, 15}, {Adjustment{Percent, 0, 4}, 10, 10},
	} {
		if got := c.a.Of(c.current); got != c.want {
			t.Errorf("%+v of %d is %d, want %d", c.a, c.current, got, c.want)
		}
	}
}

func TestStepsIncludeTheirInnerBound(t *testing.T) {
	t.Parallel()
	up := []Step{{0, 10, 1}, {10, math.Inf(1), 3}}
	down := []Step{{-10, 0, -1}, {math.Inf(-1), -10, -3}}
	for _, c := range []struct {
		steps []Step
		over  float64
		want  int
		ok    bool
	}{
		{up, 0, 1, true}, {up, 9.9, 1, true}, {up, 10, 3, true}, {up, 1000, 3, true}, {up, -1, 0, false},
		{down, -5, -1, true}, {down, -10, -3, true}, {down, -99, -3, true}, {down, 3, 0, false},
	} {
		if s, ok := Find(c.steps, c.over); ok != c.ok || s.Amount != c.want {
			t.Errorf("%v over: step %d (%t), want %d (%t)", c.over, s.Amount, ok, c.want, c.ok)
		}
	}
}

func TestAlarmsNeedTheirDatapoints(t *testing.T) {
	t.Parallel()
	none := math.NaN()
	for _, c := range []struct {
		a      Alarm
		points []float64
		want   bool
	}{
		{Alarm{">", 70, 3, 3}, []float64{80, 80}, false},
		{Alarm{">", 70, 3, 3}, []float64{60, 80, 80, 80}, true},
		{Alarm{">", 70, 3, 2}, []float64{80, 60, 80}, true},
		{Alarm{">", 70, 3, 2}, []float64{80, none, 60}, false},
		{Alarm{">", 70, 1, 1}, []float64{70}, false}, {Alarm{">=", 70, 1, 1}, []float64{70}, true},
		{Alarm{"<", 20, 1, 1}, []float64{20}, false}, {Alarm{"<=", 20, 1, 1}, []float64{20}, true}, {Alarm{"<=", 20, 1, 1}, []float64{none}, false},
	} {
		if got := c.a.In(c.points); got != c.want {
			t.Errorf("%+v after %v: %t", c.a, c.points, got)
		}
	}
}

func TestTrackingMeetsItsTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.IntRange(1, 500).Draw(t, "units")
		load := rapid.Float64Range(0.01, 50000).Draw(t, "load")
		target := rapid.Float64Range(1, 100).Draw(t, "target")
		metric := load / float64(units)
		n := Out(units, metric, target)
		if metric <= target {
			n = In(units, metric, target)
			if cut := units - n; cut < 0 || cut > max(1, units/10) {
				t.Fatalf("scaling in takes %d of %d units", cut, units)
			}
			for next := In(n, load/float64(max(n, 1)), target); next < n; next = In(n, load/float64(max(n, 1)), target) {
				n = next
			}
		}
		if over := load / float64(n); over > target*(1+1e-6) {
			t.Fatalf("%d units leave the metric at %v, over its target", n, over)
		}
		if n > 1 && load/float64(n-1) <= target*(1-1e-6) {
			t.Fatalf("%d units are one too many for %v", n, load)
		}
	})
}
