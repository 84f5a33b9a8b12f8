package autoscale

import (
	"fmt"
	"math"
	"strconv"
)

// follower writes the policies and alarms of a backstop: base and reach (the
// most above base) are in capacity units.
//
// Both policies set an exact capacity, computed from the spot half alone.
// Metrics arrive late and an alarm repeats its action each minute; adding or
// taking away would count the same loss twice. An alarm is quiet while the
// backstop already is where its policy would put it.
type follower struct {
	spot        string
	base, reach int
	b           Backstop // settled
}

// maxSteps is how many steps a step policy has by AWS's default quota.
const maxSteps = 20

// sizes are the shortfalls above none that the policies tell apart: each one
// as long as they are few, then ever wider steps; the last is reach.
func (f follower) sizes() []int {
	const most, exact = maxSteps - 1, maxSteps / 2
	var out []int
	for i := range min(f.reach, most) {
		n := i + 1
		if f.reach > most && i >= exact {
			n = int(math.Round(exact * math.Pow(float64(f.reach)/exact, float64(n-exact)/(most-exact))))
		}
		if len(out) == 0 || n > out[len(out)-1] {
			out = append(out, n)
		}
	}
	return out
}

// up rounds the shortfall up to the next size. Bounds are relative to the
// alarm's threshold, which is 1.
func (f follower) up() Policy {
	out := Policy{Type: ptr("ExactCapacity"), Warmup: ptr(0)}
	from := 0
	for _, n := range f.sizes() {
		out.Steps = append(out.Steps, Step{ptr(float64(from)), ptr(float64(n)), ptr(f.base + n)})
		from = n
	}
	out.Steps[len(out.Steps)-1].To = nil
	return out
}

// down rounds the same way, so that a capacity that up has set is left alone.
// Bounds are below the alarm's threshold, which is reach.
func (f follower) down() Policy {
	out := Policy{Type: ptr("ExactCapacity"), Warmup: ptr(0)}
	out.Steps = []Step{{To: ptr(float64(-f.reach)), Adjustment: &f.base}}
	for _, n := range f.sizes() {
		last := out.Steps[len(out.Steps)-1]
		out.Steps = append(out.Steps, Step{last.To, ptr(float64(n - f.reach)), ptr(f.base + n)})
	}
	out.Steps[len(out.Steps)-1].To = nil
	return out
}

// widest is by how much rounding up to the next size multiplies a shortfall,
// at the most.
func (f follower) widest() float64 {
	out, before := 1.0, 0
	for _, n := range f.sizes() {
		out = max(out, float64(n)/float64(before+1))
		before = n
	}
	return math.Ceil(out*1000) / 1000
}

// shortfall goes off while the backstop is smaller than what the spot half
// lacks, and shows how much that is. Spot capacity that is starting does not
// lack: on-demand capacity would come no sooner.
func (f follower) shortfall() Alarm {
	lack := "desired - FILL(running, 0)"
	var starting []Query
	if *f.b.CountStarting {
		starting = []Query{f.query("starting", f.spot, "GroupPendingCapacity", "Minimum")}
		lack += " - FILL(starting, 0)"
	}
	a := f.alarm("shortfall", lack, fmt.Sprintf("IF(short + %d > standing, short, 0)", f.base), starting...)
	a.Comparison, a.Threshold, a.Periods, a.Policy = ptr(">="), ptr(1.0), f.b.UpAfter, ptr("up")
	return a
}

// excess goes off while the backstop is larger, by more than rounding, and
// shows what the spot half lacks; else a value that is over the threshold.
// Spot capacity that is starting does lack here: it may never serve.
func (f follower) excess() Alarm {
	needed := "short"
	if w := f.widest(); w > 1 {
		needed += " * " + strconv.FormatFloat(w, 'g', -1, 64)
	}
	a := f.alarm("excess", "desired - FILL(running, 0)", fmt.Sprintf("IF(%s + %d < standing, short, %d)", needed, f.base, f.reach+1))
	a.Comparison, a.Threshold, a.Periods, a.Policy = ptr("<="), ptr(float64(f.reach)), f.b.DownAfter, ptr("down")
	return a
}

// alarm watches an expression over what the two halves have. Missing data
// changes nothing; a spot half that reports its wish but no instances has
// none.
func (f follower) alarm(id, lack, expression string, more ...Query) Alarm {
	queries := append([]Query{f.query("desired", f.spot, "GroupDesiredCapacity", "Maximum"), f.query("running", f.spot, "GroupInServiceCapacity", "Minimum"),
		f.query("standing", f.spot+BackstopSuffix, "GroupDesiredCapacity", "Maximum")}, more...)
	queries = append(queries, Query{ID: ptr("lack"), Expression: &lack, Return: ptr(false)},
		Query{ID: ptr("short"), Expression: ptr("IF(lack > 0, lack, 0)"), Return: ptr(false)},
		Query{ID: &id, Expression: &expression, Return: ptr(true)})
	return Alarm{Queries: queries, Missing: ptr("notBreaching")}
}

func (f follower) query(id, group, metric, statistic string) Query {
	return Query{ID: &id, Namespace: ptr(groupNamespace), Metric: &metric, Dimensions: map[string]string{groupDimension: group},
		Statistic: &statistic, Period: f.b.Period, Return: ptr(false)}
}

// The metrics that Auto Scaling publishes of a group that collects them.
const (
	groupNamespace = "AWS/AutoScaling"
	groupDimension = "AutoScalingGroupName"
)
