package simulate

import (
	"maps"
	"math"
	"slices"
	"time"

	"bakehouse/autoscale"
	"bakehouse/autoscale/scaling"
)

// signal is an alarm with its policy, or a tracked target. What it proposes
// follows package scaling.
type signal struct {
	meter  *meter
	metric string // its name, when it is one plain metric
	// statistic is the one of a plain metric; of an answer's time, times is by
	// what it exceeds the average.
	statistic string
	times     float64
	points    []float64

	alarm  scaling.Alarm
	policy autoscale.Policy
	steps  []scaling.Step
	track  bool
	target float64
	oneWay bool // scale-in is switched off
	warmup time.Duration

	low bool // a tracked target's wish to scale in
}

// wish is a capacity that a signal proposes.
type wish struct {
	n      int
	simple time.Duration // the cooldown that follows; 0: none
	track  bool
}

// signals builds all signals of a group, and says which cannot be simulated and
// what stands behind the others.
func (w *world) signals(g *group, spec autoscale.Group) []string {
	var missing []string
	for _, key := range slices.Sorted(maps.Keys(spec.Policies)) {
		p := spec.Policies[key]
		if p.Enabled != nil && !*p.Enabled {
			continue
		}
		if p.Track != nil {
			s, err := w.tracking(g, p)
			if err != nil {
				missing = append(missing, "policy "+key+" of "+g.name+" is left out: "+err.Error())
				continue
			}
			g.signals = append(g.signals, s)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Alarms)) {
		a := spec.Alarms[key]
		p, ok := spec.Policies[orZero(a.Policy)]
		if !ok || p.Enabled != nil && !*p.Enabled {
			continue
		}
		s, err := w.alarm(g, a, p)
		if err != nil {
			missing = append(missing, "alarm "+key+" of "+g.name+" is left out: "+err.Error())
			continue
		}
		missing = append(missing, w.aim(g, key, s)...)
		g.signals = append(g.signals, s)
	}
	return missing
}

// tracking builds the signal of a target tracking policy.
func (w *world) tracking(g *group, p autoscale.Policy) (*signal, error) {
	t := *p.Track
	queries := t.Queries
	if queries == nil {
		namespace, metric := orZero(t.Namespace), orZero(t.Metric)
		if t.Predefined != nil {
			namespace, metric = metricNames(*t.Predefined)
		}
		id := "m"
		queries = []autoscale.Query{{ID: &id, Namespace: &namespace, Metric: &metric, Dimensions: t.Dimensions, Statistic: t.Statistic}}
	}
	metric := orZero(queries[0].Metric)
	period := time.Minute
	if t.Period != nil {
		period = time.Duration(*t.Period) * time.Second
	}
	m, err := w.newMeter(g, queries, period)
	if err != nil {
		return nil, err
	}
	s := &signal{meter: m, metric: plain(metric, len(queries)), policy: p, track: true, target: orZero(t.Target), oneWay: orZero(t.DisableScaleIn), warmup: g.warm(p, g.cooldown)}
	s.heed(queries[0])
	return s, nil
}

// plain is the name of a metric that is watched alone.
func plain(metric string, queries int) string {
	if queries == 1 {
		return metric
	}
	return ""
}

// warm is the policy's warm-up, else the group's, else the one given
// (docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-default-instance-warmup.html).
func (g *group) warm(p autoscale.Policy, or time.Duration) time.Duration {
	switch {
	case p.Warmup != nil:
		return time.Duration(*p.Warmup) * time.Second
	case g.warmup >= 0:
		return g.warmup
	}
	return or
}

// alarm builds the signal of an alarm and its simple or step policy.
func (w *world) alarm(g *group, a autoscale.Alarm, p autoscale.Policy) (*signal, error) {
	queries := a.Queries
	if queries == nil {
		id := "m"
		queries = []autoscale.Query{{ID: &id, Namespace: a.Namespace, Metric: a.Metric, Dimensions: a.Dimensions, Statistic: a.Statistic}}
	}
	m, err := w.newMeter(g, queries, time.Duration(orZero(a.Period))*time.Second)
	if err != nil {
		return nil, err
	}
	s := &signal{meter: m, metric: plain(orZero(queries[0].Metric), len(queries)), policy: p, warmup: g.warm(p, g.cooldown)}
	s.alarm = scaling.Alarm{Comparison: orZero(a.Comparison), Threshold: orZero(a.Threshold), Periods: max(orZero(a.Periods), 1)}
	s.alarm.Datapoints = s.alarm.Periods
	if a.Datapoints != nil {
		s.alarm.Datapoints = *a.Datapoints
	}
	s.heed(queries[0])
	for _, one := range p.Steps {
		step := scaling.Step{From: math.Inf(-1), To: math.Inf(1), Amount: orZero(one.Adjustment)}
		if one.From != nil {
			step.From = *one.From
		}
		if one.To != nil {
			step.To = *one.To
		}
		s.steps = append(s.steps, step)
	}
	return s, nil
}

// hear takes in a datapoint and returns the wish that follows, if any.
func (s *signal) hear(d datapoint, g *group, w *world) (wish, bool) {
	keep := s.alarm.Periods
	if s.track {
		keep = max(scaling.TrackHighPoints, int(scaling.TrackLowMinutes*time.Minute/s.meter.period))
	}
	if s.points = append(s.points, d.value); len(s.points) > keep {
		s.points = slices.Delete(s.points, 0, len(s.points)-keep)
	}
	if s.track {
		return s.follow(d, g, w)
	}
	if !s.alarm.In(s.points) || math.IsNaN(d.value) {
		return wish{}, false
	}
	a := scaling.Adjustment{Type: orZero(s.policy.Type), Amount: orZero(s.policy.Adjustment), Magnitude: orZero(s.policy.Magnitude)}
	if s.steps == nil {
		if w.now < g.quiet {
			return wish{}, false
		}
		cooldown := g.cooldown
		if s.policy.Cooldown != nil {
			cooldown = time.Duration(*s.policy.Cooldown) * time.Second
		}
		return wish{n: a.Of(g.desired), simple: max(cooldown, 1)}, true
	}
	step, ok := scaling.Find(s.steps, d.value-s.alarm.Threshold)
	if !ok {
		return wish{}, false
	}
	return s.stepped(step, a, g, w)
}

// stepped applies a step. What scaling out has asked for and is not yet warm
// counts as there, so that one alarm does not ask twice; while it warms up,
// nothing scales in (as-scaling-simple-step.html, "Instance warm-up").
func (s *signal) stepped(step scaling.Step, a scaling.Adjustment, g *group, w *world) (wish, bool) {
	a.Amount = step.Amount
	if a.Type == scaling.Exact {
		return wish{n: a.Amount}, true
	}
	young := recent(&g.grown, w.now, w.boot+s.warmup)
	if a.Amount < 0 {
		return wish{n: a.Of(g.desired)}, young == 0
	}
	return wish{n: max(g.desired, a.Of(g.desired-min(young, g.desired)))}, true
}

// follow applies target tracking to a datapoint.
func (s *signal) follow(d datapoint, g *group, w *world) (wish, bool) {
	s.low = false
	if math.IsNaN(d.value) || s.target <= 0 {
		return wish{}, false
	}
	high := scaling.Alarm{Comparison: ">", Threshold: s.target, Periods: scaling.TrackHighPoints, Datapoints: scaling.TrackHighPoints}
	if high.In(s.points) {
		return wish{n: max(g.desired, scaling.Out(d.units, d.value, s.target)), track: true}, true
	}
	periods := int(scaling.TrackLowMinutes * time.Minute / s.meter.period)
	low := scaling.Alarm{Comparison: "<", Threshold: s.target * scaling.TrackLowShare, Periods: periods, Datapoints: periods}
	young := recent(&g.grown, w.now, w.boot+s.warmup)
	if s.low = low.In(s.points) && young == 0; !s.low || s.oneWay {
		return wish{}, false
	}
	// The units that made the metric may be more than are desired by now.
	proportion := int(math.Ceil(float64(d.units)*d.value/s.target - 1e-9))
	return wish{n: min(g.desired, max(proportion, scaling.In(g.desired, d.value, s.target))), track: true}, true
}

// scale lets the signals of a group speak, and does what follows: of several
// wishes the largest capacity, and tracked targets scale in only when all of
// them agree (as-scaling-target-tracking.html, "Multiple policies").
func (g *group) scale(w *world) {
	out, in := wish{n: -1}, wish{n: -1}
	for _, s := range g.signals {
		for d, ok := s.meter.due(w.now); ok; d, ok = s.meter.due(w.now) {
			v, some := s.hear(d, g, w)
			switch {
			case !some || v.n == g.desired || v.n < 0:
			case v.n > g.desired && v.n > out.n:
				out = v
			case v.n < g.desired && v.n > in.n && (!v.track || g.agree()):
				in = v
			}
		}
	}
	if out.n < 0 {
		out = in
	}
	if out.n < 0 {
		return
	}
	grew := out.n > g.desired
	if g.set(out.n, w.now) && out.simple > 0 {
		g.quiet = w.now + out.simple
		if grew {
			g.quiet += w.boot // the cooldown begins when the instances serve
		}
	}
}

// agree says that every tracked target wants to scale in.
func (g *group) agree() bool {
	for _, s := range g.signals {
		if s.track && !s.oneWay && !s.low {
			return false
		}
	}
	return true
}
