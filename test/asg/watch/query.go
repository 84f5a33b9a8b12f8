package watch

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// queries are metric data queries that are answered together: metrics, and
// expressions over them.
type queries struct {
	s          *Store
	byID       map[string]map[string]any
	order      []string
	period     time.Duration
	start, end time.Time
	busy       map[string]bool // being evaluated, so that a circle is found
}

// ask reads the list of queries. Expressions are answered at the longest
// period of the metrics below them.
func (s *Store) ask(list []any, start, end time.Time) (*queries, error) {
	q := &queries{s: s, byID: map[string]map[string]any{}, start: start, end: end, busy: map[string]bool{}}
	for _, item := range list {
		m := fieldsOf(item)
		id := str(m, "Id")
		if id == "" || q.byID[id] != nil {
			return nil, refuse("ValidationError", "the id %q of a query is empty or there twice", id)
		}
		if (fieldsOf(m["MetricStat"]) == nil) == (str(m, "Expression") == "") {
			return nil, refuse("ValidationError", "the query %s is either a MetricStat or an Expression", id)
		}
		q.byID[id], q.order = m, append(q.order, id)
		n := whole(fieldsOf(m["MetricStat"]), "Period", whole(m, "Period", 0))
		q.period = max(q.period, time.Duration(n)*time.Second)
	}
	q.period = cmp.Or(q.period, time.Minute)
	return q, nil
}

// grid are the starts of all periods asked for.
func (q *queries) grid() []int64 {
	var out []int64
	for t := q.start.Truncate(q.period); t.Before(q.end); t = t.Add(q.period) {
		out = append(out, t.Unix())
	}
	return out
}

// line evaluates one query.
func (q *queries) line(id string) (value, error) {
	m := q.byID[id]
	if m == nil {
		return value{}, refuse("ValidationError", "there is no query %s", id)
	}
	if q.busy[id] {
		return value{}, refuse("ValidationError", "the query %s leads to itself", id)
	}
	if st := fieldsOf(m["MetricStat"]); st != nil {
		metric := fieldsOf(st["Metric"])
		k := key(str(metric, "Namespace"), str(metric, "MetricName"), dimensions(metric["Dimensions"]))
		return value{line: q.s.series[k].read(str(st, "Stat"), q.period, q.start, q.end)}, nil
	}
	q.busy[id] = true
	defer delete(q.busy, id)
	return q.evaluate(str(m, "Expression"))
}

// returned are the ids whose data is asked for.
func (q *queries) returned() []string {
	return slices.DeleteFunc(slices.Clone(q.order), func(id string) bool {
		shown, said := q.byID[id]["ReturnData"].(bool)
		return said && !shown
	})
}

// spread makes a line of a value: a scalar is the same in every period.
func (q *queries) spread(v value) line {
	if v.line != nil {
		return v.line
	}
	out := line{}
	for _, at := range q.grid() {
		out[at] = v.scalar
	}
	return out
}

func (s *Store) getData(in map[string]any) (map[string]any, error) {
	q, err := s.ask(items(in["MetricDataQueries"]), when(in["StartTime"]), when(in["EndTime"]))
	if err != nil {
		return nil, err
	}
	if len(q.order) == 0 || !q.end.After(q.start) {
		return nil, refuse("ValidationError", "MetricDataQueries, StartTime and a later EndTime are needed")
	}
	results := []any{}
	for _, id := range q.returned() {
		v, err := q.line(id)
		if err != nil {
			return nil, err
		}
		l := q.spread(v)
		times, values := []any{}, []any{}
		for _, at := range slices.Sorted(maps.Keys(l)) {
			times, values = append(times, time.Unix(at, 0).UTC()), append(values, l[at])
		}
		if str(in, "ScanBy") != "TimestampAscending" {
			slices.Reverse(times)
			slices.Reverse(values)
		}
		results = append(results, map[string]any{"Id": id, "Label": cmp.Or(str(q.byID[id], "Label"), id), "StatusCode": "Complete", "Timestamps": times, "Values": values})
	}
	return map[string]any{"MetricDataResults": results}, nil
}
