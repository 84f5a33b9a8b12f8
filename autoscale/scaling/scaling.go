// Package scaling is a model of how AWS decides capacity: the arithmetic of
// adjustments and steps, the state of an alarm over its datapoints, and target
// tracking. Every rule names its source; where AWS documents none, the comment
// says what is assumed. It keeps no clock and asks nobody.
package scaling

import "math"

// The types of adjustment of simple and step policies.
const (
	Change  = "ChangeInCapacity"
	Exact   = "ExactCapacity"
	Percent = "PercentChangeInCapacity"
)

// Adjustment is one change of capacity.
type Adjustment struct {
	Type      string
	Amount    int
	Magnitude int // least change by a percentage, in units; 0: none
}

// Of gives the capacity that a makes of current, before the bounds of the
// group. Percentages are rounded towards zero, but never to zero, and are at
// least Magnitude
// (docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html,
// "Scaling adjustment types").
func (a Adjustment) Of(current int) int {
	switch a.Type {
	case Exact:
		return a.Amount
	case Percent:
		change := float64(current) * float64(a.Amount) / 100
		units := int(change)
		switch {
		case change > 0:
			units = max(units, 1, a.Magnitude)
		case change < 0:
			units = min(units, -1, -a.Magnitude)
		}
		return current + units
	}
	return current + a.Amount
}

// Step is one interval of a step policy, relative to its alarm's threshold.
// Bounds without a value are infinite (math.Inf).
type Step struct {
	From, To float64
	Amount   int
}

// Find returns the step that covers a metric that lies over above the
// threshold, or below it when over is negative. Above, a step includes its
// lower bound; below, its upper one (same page, "Step adjustments").
func Find(steps []Step, over float64) (Step, bool) {
	for _, s := range steps {
		if over >= 0 && over >= s.From && over < s.To || over < 0 && over > s.From && over <= s.To {
			return s, true
		}
	}
	return Step{}, false
}

// Alarm is the condition of a CloudWatch alarm.
type Alarm struct {
	Comparison string // > < >= <=
	Threshold  float64
	Periods    int // datapoints looked at
	Datapoints int // of these that must breach
}

// Breaches says whether one datapoint does.
func (a Alarm) Breaches(value float64) bool {
	switch a.Comparison {
	case ">":
		return value > a.Threshold
	case "<":
		return value < a.Threshold
	case ">=":
		return value >= a.Threshold
	}
	return value <= a.Threshold
}

// In says whether the alarm is in ALARM after the datapoints in recent, oldest
// first. Fewer than Periods of them, as after a start, are not enough
// (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html,
// "Evaluating an alarm"). A missing datapoint is NaN and never breaches.
func (a Alarm) In(recent []float64) bool {
	if len(recent) < a.Periods {
		return false
	}
	n := 0
	for _, v := range recent[len(recent)-a.Periods:] {
		if !math.IsNaN(v) && a.Breaches(v) {
			n++
		}
	}
	return n >= a.Datapoints
}

// The alarms that AWS makes for target tracking, as its accounts show them:
// three datapoints above the target scale out, fifteen minutes below nine
// tenths of it scale in. AWS does not promise these figures.
const (
	TrackHighPoints = 3
	TrackLowMinutes = 15
	TrackLowShare   = 0.9
)

// Out gives the capacity that target tracking wants for a metric above its
// target, in proportion to the units that made the metric, rounded up
// (docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html:
// "prioritizes availability").
func Out(units int, metric, target float64) int {
	return max(units, int(math.Ceil(float64(units)*metric/target-1e-9)))
}

// In gives the capacity for a metric below its target. AWS says that it scales
// in more gradually; assumed here: in proportion, rounded up, but at most a
// tenth of the units at a time, at least one.
func In(units int, metric, target float64) int {
	proportion := int(math.Ceil(float64(units)*metric/target - 1e-9))
	return max(min(units, proportion), units-max(1, units/10))
}
