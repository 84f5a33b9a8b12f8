package simulate

import (
	"fmt"
	"math"
	"strings"
	"time"

	"bakehouse/autoscale"
)

// source gives the value that a metric has now; NaN is none.
type source func(w *world) float64

// metricNames are the CloudWatch names of what target tracking calls
// predefined.
func metricNames(predefined string) (namespace, metric string) {
	switch predefined {
	case "ASGAverageCPUUtilization":
		return "AWS/EC2", "CPUUtilization"
	case "ALBRequestCountPerTarget":
		return "AWS/ApplicationELB", "RequestCountPerTarget"
	}
	return "", predefined
}

// sourceOf is the model of a metric as the group g sees it. Load is spread
// evenly over all units in service of both halves of a group, since they stand
// behind one load balancer or read one queue.
func (w *world) sourceOf(g *group, q autoscale.Query) (source, error) {
	namespace, metric := orZero(q.Namespace), orZero(q.Metric)
	if namespace == "AWS/AutoScaling" {
		return w.groupMetric(metric, q.Dimensions["AutoScalingGroupName"])
	}
	switch metric {
	case "TargetResponseTime":
		return w.answerTime(orZero(q.Statistic))
	case "CPUUtilization":
		return func(w *world) float64 {
			if g.serving(-1) == 0 {
				return math.NaN() // a group without instances has no such metric
			}
			return min(100, 100*w.demand/float64(w.serving()))
		}, nil
	case "RequestCountPerTarget", "RequestCount":
		return func(w *world) float64 {
			n := float64(w.targets())
			if metric == "RequestCount" {
				n = 1
			} else if n == 0 {
				return math.NaN()
			}
			return w.asked * 60 / n
		}, nil
	case "ApproximateNumberOfMessagesVisible":
		w.account.queue = &Queue{}
		return func(w *world) float64 { return w.backlog }, nil
	case "ApproximateAgeOfOldestMessage":
		w.account.queue = &Queue{}
		return func(w *world) float64 {
			if rate := float64(w.serving()) * w.unit; rate > 0 {
				return w.backlog / rate
			}
			return math.NaN()
		}, nil
	}
	return nil, fmt.Errorf("there is no model of metric %s", strings.TrimPrefix(namespace+" "+metric, " "))
}

// groupMetric is a metric that Auto Scaling publishes of a group, in units or
// instances.
func (w *world) groupMetric(metric, name string) (source, error) {
	var g *group
	for _, one := range w.groups {
		if one.name == name {
			g = one
		}
	}
	if g == nil {
		return nil, fmt.Errorf("metric %s is of group %q, which is not part of this simulation", metric, name)
	}
	what, capacity := strings.CutSuffix(metric, "Capacity")
	if !capacity {
		what = strings.TrimSuffix(metric, "Instances")
	}
	count := func(of []int) float64 {
		if capacity {
			return float64(g.units(of, -1))
		}
		n := 0
		for _, k := range of {
			n += k
		}
		return float64(n)
	}
	switch what {
	case "GroupDesired":
		return func(*world) float64 { return float64(g.desired) }, nil
	case "GroupInService":
		return func(*world) float64 { return count(g.ready) }, nil
	case "GroupPending":
		return func(*world) float64 { return count(g.coming) }, nil
	case "GroupTotal":
		return func(*world) float64 { return count(g.ready) + count(g.coming) }, nil
	case "GroupTerminating", "GroupStandby":
		return func(*world) float64 { return 0 }, nil
	case "GroupMin":
		return func(*world) float64 { return float64(g.min) }, nil
	case "GroupMax":
		return func(*world) float64 { return float64(g.max) }, nil
	}
	return nil, fmt.Errorf("there is no model of metric %s", metric)
}

// watch gathers one metric over a period.
type watch struct {
	id        string
	statistic string
	from      source
	n         int
	sum       float64
	low, high float64
}

// sample takes the metric's value for a step.
func (q *watch) sample(w *world) {
	v := q.from(w)
	if math.IsNaN(v) {
		return
	}
	if q.n == 0 {
		q.low, q.high = v, v
	}
	q.n++
	q.sum += v
	q.low, q.high = min(q.low, v), max(q.high, v)
}

// point closes the period. A Sum is that of a rate per minute.
func (q *watch) point() float64 {
	n, sum := q.n, q.sum
	q.n, q.sum = 0, 0
	switch {
	case n == 0:
		return math.NaN()
	case q.statistic == "Minimum":
		return q.low
	case q.statistic == "Maximum":
		return q.high
	}
	return sum / float64(n)
}

// step is one expression of metric math.
type calculation struct {
	id  string
	run formula
}

// meter turns metrics into datapoints, one each period, which scaling hears of
// when they are due.
type meter struct {
	period, lag  time.Duration
	watches      []*watch
	calculations []calculation
	result       string
	values       map[string]float64
	ends         time.Duration
	units        float64 // of the group in service and warm, summed over the period
	samples      int
	pending      []datapoint
}

// datapoint is the value of a metric over one period, and the units that made
// it.
type datapoint struct {
	due   time.Duration
	value float64
	units int
}

// newMeter builds the meter of an alarm or a tracked metric.
func (w *world) newMeter(g *group, queries []autoscale.Query, period time.Duration) (*meter, error) {
	m := &meter{lag: w.lag, values: map[string]float64{}}
	for _, q := range queries {
		id := orZero(q.ID)
		if q.Return == nil || *q.Return {
			m.result = id
		}
		if q.Expression != nil {
			f, err := compile(*q.Expression)
			if err != nil {
				return nil, err
			}
			m.calculations = append(m.calculations, calculation{id, f})
			continue
		}
		from, err := w.sourceOf(g, q)
		if err != nil {
			return nil, err
		}
		m.watches = append(m.watches, &watch{id: id, statistic: orZero(q.Statistic), from: from})
		if q.Period != nil {
			period = time.Duration(*q.Period) * time.Second
		}
	}
	m.period = max(period, w.step)
	m.ends = m.period
	return m, nil
}

// sample takes one step in, and closes the period that ends with it.
func (m *meter) sample(w *world, units int) {
	for _, q := range m.watches {
		q.sample(w)
	}
	m.units += float64(units)
	m.samples++
	end := w.now + w.step
	if end < m.ends {
		return
	}
	for _, q := range m.watches {
		m.values[q.id] = q.point()
	}
	for _, c := range m.calculations {
		m.values[c.id] = c.run(m.values)
	}
	mean := int(math.Round(m.units / float64(m.samples)))
	m.pending = append(m.pending, datapoint{end + m.lag, m.values[m.result], mean})
	m.units, m.samples = 0, 0
	m.ends += m.period
}

// due returns the next datapoint that is known by now.
func (m *meter) due(now time.Duration) (datapoint, bool) {
	if len(m.pending) == 0 || m.pending[0].due > now {
		return datapoint{}, false
	}
	d := m.pending[0]
	m.pending = m.pending[1:]
	return d, true
}
