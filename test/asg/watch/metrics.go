package watch

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// series is one metric with its dimensions.
type series struct {
	namespace, name string
	dimensions      map[string]string
	points          []point // in order of time
}

// point is a sample, or several that came as one.
type point struct {
	at                    time.Time
	sum, count, low, high float64
	values                []float64 // for percentiles; none when statistics were sent
}

// keep is how long points are kept: what an alarm may look back.
const keep = 7 * 24 * time.Hour

func key(namespace, name string, dimensions map[string]string) string {
	parts := []string{namespace, name}
	for _, k := range slices.Sorted(maps.Keys(dimensions)) {
		parts = append(parts, k+"="+dimensions[k])
	}
	return strings.Join(parts, "\x00")
}

func dimensions(v any) map[string]string {
	out := map[string]string{}
	for _, d := range items(v) {
		out[str(fieldsOf(d), "Name")] = str(fieldsOf(d), "Value")
	}
	return out
}

// Put adds one value of a metric.
func (s *Store) Put(namespace, name string, dimensions map[string]string, value float64) {
	s.add(namespace, name, dimensions, point{at: s.now(), sum: value, count: 1, low: value, high: value, values: []float64{value}})
}

// Set gives a metric the value of the minute that is over, instead of any
// that it has there or later.
func (s *Store) Set(namespace, name string, dimensions map[string]string, value float64) {
	at := s.now().Truncate(time.Minute).Add(-time.Minute)
	if l := s.series[key(namespace, name, dimensions)]; l != nil {
		l.points = slices.DeleteFunc(l.points, func(p point) bool { return !p.at.Before(at) })
	}
	s.add(namespace, name, dimensions, point{at: at, sum: value, count: 1, low: value, high: value, values: []float64{value}})
}

func (s *Store) add(namespace, name string, dimensions map[string]string, p point) {
	k := key(namespace, name, dimensions)
	if s.series[k] == nil {
		s.series[k] = &series{namespace: namespace, name: name, dimensions: dimensions}
	}
	line := s.series[k]
	line.points = append(line.points, p)
	s.data++
	slices.SortStableFunc(line.points, func(a, b point) int { return a.at.Compare(b.at) })
	old := s.now().Add(-keep)
	line.points = slices.DeleteFunc(line.points, func(p point) bool { return p.at.Before(old) })
}

func (s *Store) putData(in map[string]any) (map[string]any, error) {
	data := items(in["MetricData"])
	if str(in, "Namespace") == "" || len(data) == 0 {
		return nil, refuse("MissingParameter", "Namespace and MetricData are needed")
	}
	for _, d := range data {
		m := fieldsOf(d)
		p, err := s.sample(m)
		if err != nil {
			return nil, err
		}
		s.add(str(in, "Namespace"), str(m, "MetricName"), dimensions(m["Dimensions"]), p)
	}
	return map[string]any{}, nil
}

// sample reads a Value, Values with Counts, or StatisticValues.
func (s *Store) sample(m map[string]any) (point, error) {
	p := point{at: s.now(), low: math.Inf(1), high: math.Inf(-1)}
	if t := when(m["Timestamp"]); !t.IsZero() {
		p.at = t
	}
	if str(m, "MetricName") == "" {
		return p, refuse("MissingParameter", "MetricName is needed")
	}
	if st := fieldsOf(m["StatisticValues"]); st != nil {
		p.sum, _ = num(st["Sum"])
		p.count, _ = num(st["SampleCount"])
		p.low, _ = num(st["Minimum"])
		p.high, _ = num(st["Maximum"])
		return p, nil
	}
	values, counts := items(m["Values"]), items(m["Counts"])
	if len(values) == 0 {
		values = []any{m["Value"]}
	}
	for i, v := range values {
		f, ok := num(v)
		if !ok || math.IsNaN(f) || math.IsInf(f, 0) {
			return p, refuse("InvalidParameterValue", "the value of %s is no number", str(m, "MetricName"))
		}
		n := 1.0
		if i < len(counts) {
			n, _ = num(counts[i])
		}
		p.sum, p.count, p.low, p.high = p.sum+f*n, p.count+n, min(p.low, f), max(p.high, f)
		for range int(n) {
			p.values = append(p.values, f)
		}
	}
	return p, nil
}

// line is a metric's values by the start of their period, in unix seconds.
type line map[int64]float64

// read aggregates a metric from start (included) to end (not) by periods.
func (l *series) read(stat string, period time.Duration, start, end time.Time) line {
	if l == nil {
		return line{}
	}
	from, _ := slices.BinarySearchFunc(l.points, start, func(p point, t time.Time) int { return p.at.Compare(t) })
	sums := map[int64]point{}
	for _, p := range l.points[from:] {
		if !p.at.Before(end) {
			break
		}
		at := p.at.Truncate(period).Unix()
		all, there := sums[at]
		if !there {
			all.low, all.high = p.low, p.high
		}
		all.sum, all.count, all.low, all.high = all.sum+p.sum, all.count+p.count, min(all.low, p.low), max(all.high, p.high)
		all.values = append(all.values, p.values...)
		sums[at] = all
	}
	out := line{}
	for at, p := range sums {
		if v, ok := p.statistic(stat); ok {
			out[at] = v
		}
	}
	return out
}

func (p point) statistic(name string) (float64, bool) {
	switch name {
	case "Average":
		return p.sum / p.count, p.count > 0
	case "Sum":
		return p.sum, true
	case "Minimum":
		return p.low, true
	case "Maximum":
		return p.high, true
	case "SampleCount":
		return p.count, true
	}
	q, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
	if err != nil || !strings.HasPrefix(name, "p") || len(p.values) == 0 {
		return 0, false
	}
	all := slices.Sorted(slices.Values(p.values))
	return all[max(0, min(len(all)-1, int(math.Ceil(q/100*float64(len(all))))-1))], true
}

func (s *Store) listMetrics(in map[string]any) (map[string]any, error) {
	found := []any{}
	for _, l := range sorted(s.series) {
		fits := (str(in, "Namespace") == "" || str(in, "Namespace") == l.namespace) && (str(in, "MetricName") == "" || str(in, "MetricName") == l.name)
		for _, d := range items(in["Dimensions"]) {
			v, there := l.dimensions[str(fieldsOf(d), "Name")]
			fits = fits && there && cmp.Or(str(fieldsOf(d), "Value"), v) == v
		}
		if !fits {
			continue
		}
		dims := []any{}
		for _, k := range slices.Sorted(maps.Keys(l.dimensions)) {
			dims = append(dims, map[string]any{"Name": k, "Value": l.dimensions[k]})
		}
		found = append(found, map[string]any{"Namespace": l.namespace, "MetricName": l.name, "Dimensions": dims})
	}
	return page("Metrics", found, in, 500)
}

func (s *Store) getStatistics(in map[string]any) (map[string]any, error) {
	period := time.Duration(whole(in, "Period", 0)) * time.Second
	if period < time.Second || len(items(in["Statistics"]))+len(items(in["ExtendedStatistics"])) == 0 {
		return nil, refuse("InvalidParameterCombination", "Period and Statistics are needed")
	}
	metric := s.series[key(str(in, "Namespace"), str(in, "MetricName"), dimensions(in["Dimensions"]))]
	points := map[int64]map[string]any{}
	for _, stat := range append(texts(in["Statistics"]), texts(in["ExtendedStatistics"])...) {
		for at, v := range metric.read(stat, period, when(in["StartTime"]), when(in["EndTime"])) {
			if points[at] == nil {
				points[at] = map[string]any{"Timestamp": time.Unix(at, 0).UTC()}
			}
			if strings.HasPrefix(stat, "p") {
				points[at]["ExtendedStatistics"] = map[string]any{stat: v}
			} else {
				points[at][stat] = v
			}
		}
	}
	out := []any{}
	for _, at := range slices.Sorted(maps.Keys(points)) {
		out = append(out, points[at])
	}
	return map[string]any{"Label": str(in, "MetricName"), "Datapoints": out}, nil
}
