package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// again is how often the Auto Scaling actions of an alarm are repeated while
// it stays in ALARM ("Alarm actions" in the CloudWatch user guide).
const again = time.Minute

// Evaluate brings all alarms to now, at most once a second, and returns the
// actions that are due.
func (s *Store) Evaluate() []Action {
	if now := s.now(); !now.Truncate(time.Second).Equal(s.checked) {
		s.checked = now.Truncate(time.Second)
		for _, a := range sorted(s.alarms) {
			if now.Before(a.held) {
				continue
			}
			if end := now.Truncate(a.period()); !end.Equal(a.judged) || a.data != s.data {
				a.judged, a.data = end, s.data
				if state, reason := s.judge(a); state != "" {
					s.become(a, state, reason)
				}
			}
			if a.state == stateAlarm && !now.Before(a.acted.Add(again)) {
				s.act(a)
			}
		}
	}
	due := s.owed
	s.owed = nil
	return due
}

// act owes the actions of an alarm's state.
func (s *Store) act(a *alarm) {
	a.acted = s.now()
	if on, said := a.fields["ActionsEnabled"].(bool); said && !on {
		return
	}
	list := map[string]string{stateOK: "OKActions", stateAlarm: "AlarmActions", stateMissing: "InsufficientDataActions"}[a.state]
	threshold, _ := num(a.fields["Threshold"])
	value := threshold
	if a.seen {
		value = a.value
	}
	for _, arn := range texts(a.fields[list]) {
		name := str(a.fields, "AlarmName")
		s.owed = append(s.owed, Action{Alarm: name, State: a.state, ARN: arn, Threshold: threshold, Value: value})
		s.remember(name, "Action", "Successfully executed action "+arn, map[string]any{"actionState": "Succeeded", "stateUpdate": a.state})
	}
}

// Period is that of an alarm's metric in seconds, the longest of its queries;
// a minute when none is said.
func Period(alarm map[string]any) int {
	n := whole(alarm, "Period", 0)
	for _, m := range items(alarm["Metrics"]) {
		n = max(n, whole(fieldsOf(m), "Period", 0), whole(fieldsOf(fieldsOf(m)["MetricStat"]), "Period", 0))
	}
	return cmp.Or(n, 60)
}

func (a *alarm) period() time.Duration { return time.Duration(Period(a.fields)) * time.Second }

// points reads what the alarm looks at: its evaluation periods that are over.
func (s *Store) points(a *alarm) (line, []int64, error) {
	period := a.period()
	end := s.now().Truncate(period)
	start := end.Add(-time.Duration(whole(a.fields, "EvaluationPeriods", 1)) * period)
	list := items(a.fields["Metrics"])
	if len(list) == 0 {
		list = []any{map[string]any{"Id": "m", "MetricStat": map[string]any{"Period": int(period.Seconds()),
			"Stat":   cmp.Or(str(a.fields, "Statistic"), str(a.fields, "ExtendedStatistic")),
			"Metric": map[string]any{"Namespace": a.fields["Namespace"], "MetricName": a.fields["MetricName"], "Dimensions": a.fields["Dimensions"]}}}}
	}
	q, err := s.ask(list, start, end)
	if err != nil {
		return nil, nil, err
	}
	v, err := q.line(q.returned()[0])
	return q.spread(v), q.grid(), err
}

// judge says which state the alarm is to be in; "" leaves it as it is.
func (s *Store) judge(a *alarm) (state, reason string) {
	data, grid, err := s.points(a)
	if err != nil {
		return stateMissing, err.Error()
	}
	bad, good, missing := 0, 0, 0
	var seen []string
	for _, at := range slices.Backward(grid) {
		v, ok := data[at]
		switch treat := str(a.fields, "TreatMissingData"); {
		case ok && len(seen) == 0:
			a.value, a.seen = v, true
			fallthrough
		case ok:
			seen = append(seen, fmt.Sprint(v))
			if a.breaches(v) {
				bad++
			} else {
				good++
			}
		case treat == "breaching":
			bad++
		case treat == "notBreaching":
			good++
		default:
			missing++
		}
	}
	switch {
	case bad >= whole(a.fields, "DatapointsToAlarm", len(grid)):
		return stateAlarm, fmt.Sprintf("Threshold Crossed: %d out of the last %d datapoints [%s] breached the threshold.", bad, len(grid), strings.Join(seen, ", "))
	case missing == len(grid) && str(a.fields, "TreatMissingData") == "ignore":
		return "", ""
	case missing == len(grid):
		return stateMissing, fmt.Sprintf("Insufficient Data: %d datapoints were unknown.", missing)
	case good > 0 || bad > 0:
		return stateOK, fmt.Sprintf("Threshold Crossed: %d of the last %d datapoints [%s] did not breach the threshold.", good, len(grid), strings.Join(seen, ", "))
	}
	return "", ""
}

func (a *alarm) breaches(v float64) bool {
	t, _ := num(a.fields["Threshold"])
	switch str(a.fields, "ComparisonOperator") {
	case "GreaterThanThreshold":
		return v > t
	case "GreaterThanOrEqualToThreshold":
		return v >= t
	case "LessThanThreshold":
		return v < t
	case "LessThanOrEqualToThreshold":
		return v <= t
	}
	return false
}
