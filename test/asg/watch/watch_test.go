package watch_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"bakehouse/test/asg/watch"
)

// desk is a store on a fake clock with two metrics, a = 4, 6 and b = 2 in the
// two minutes that are over.
type desk struct {
	*watch.Store
	now time.Time
}

func newDesk() *desk {
	d := &desk{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	d.Store = watch.New(func() time.Time { return d.now })
	d.Put("N", "a", nil, 4)
	d.now = d.now.Add(time.Minute)
	d.Put("N", "a", nil, 6)
	d.Put("N", "b", nil, 2)
	d.now = d.now.Add(time.Minute)
	return d
}

func query(id string) any {
	return map[string]any{"Id": id, "ReturnData": false, "MetricStat": map[string]any{"Stat": "Average", "Period": uint64(60), "Metric": map[string]any{"Namespace": "N", "MetricName": id}}}
}

// ask evaluates an expression over the last two minutes, the newest first.
func (d *desk) ask(expression string) (string, error) {
	out, err := d.Answer("GetMetricData", map[string]any{"StartTime": d.now.Add(-2 * time.Minute), "EndTime": d.now,
		"MetricDataQueries": []any{query("a"), query("b"), map[string]any{"Id": "e", "Expression": expression}}})
	if err != nil {
		return "", err
	}
	result := out["MetricDataResults"].([]any)[0].(map[string]any)
	return fmt.Sprint(result["Values"]), nil
}

func TestMetricMath(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"a":                             "[6 4]",
		"a + b":                         "[8]", // b is missing in the first minute
		"a + FILL(b, 0)":                "[8 4]",
		"FILL(b, REPEAT)":               "[2]",
		"2 + 3 * 4 - 6 / 2":             "[11 11]",
		"(2 + 3) * -2":                  "[-10 -10]",
		"IF(a > 5, a, 0)":               "[6 0]",
		"IF(a > 5 AND b == 2, 1)":       "[1]",
		"IF(1 > 2, a, b)":               "[2]",
		"MAX([a, 5])":                   "[6 5]",
		"MIN(a)":                        "[4 4]",
		"SUM(METRICS())":                "[8 4]",
		"AVG([a, FILL(b, 0)])":          "[4 2]",
		"CEIL(a / 4)":                   "[2 1]",
		"FLOOR(a / 4) + ABS(-1)":        "[2 2]",
		"a / 0":                         "[]",
		"a * PERIOD(a)":                 "[360 240]",
		"SUM(METRICS(\"b\"))":           "[2]",
		"a >= 6 OR a != 4":              "[1 0]",
		"MAX([a / IF(b > 9, b, 1), 0])": "[6]",
	} {
		got, err := newDesk().ask(expression)
		if err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", expression, got, err, want)
		}
	}
}

func TestWhatIsNoExpressionIsRefused(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{"", "a +", "(a", "a b", "c", "e", "NOSUCH(a)", "[a", "a % b", "\"text", "1.2.3", "IF(a)", "METRICS(\"a\" 1)"} {
		_, err := newDesk().ask(expression)
		var refused *watch.Refusal
		if !errors.As(err, &refused) || refused.Code != "ValidationError" {
			t.Errorf("%q: %v", expression, err)
		}
	}
}

// alarm puts an alarm on a.
func (d *desk) alarm(t *testing.T, fields map[string]any) {
	t.Helper()
	in := map[string]any{"AlarmName": "x", "Namespace": "N", "MetricName": "a", "Statistic": "Average", "Period": uint64(60), "EvaluationPeriods": uint64(2), "Threshold": 5.0,
		"ComparisonOperator": "GreaterThanThreshold", "AlarmActions": []any{"arn:act"}, "OKActions": []any{"arn:ok"}}
	for k, v := range fields {
		in[k] = v
	}
	if err := d.Keep(in); err != nil {
		t.Fatal(err)
	}
}

func TestAnAlarmJudgesMOutOfNAndMissingData(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields map[string]any
		wait   time.Duration
		want   string
	}{
		"two of two":              {nil, 0, "OK"},
		"one of two":              {map[string]any{"DatapointsToAlarm": uint64(1)}, 0, "ALARM"},
		"the other way":           {map[string]any{"ComparisonOperator": "LessThanOrEqualToThreshold", "DatapointsToAlarm": uint64(1)}, 0, "ALARM"},
		"the last only":           {map[string]any{"EvaluationPeriods": uint64(1)}, 0, "ALARM"},
		"nothing for long":        {nil, time.Hour, "INSUFFICIENT_DATA"},
		"nothing is bad":          {map[string]any{"TreatMissingData": "breaching"}, time.Hour, "ALARM"},
		"nothing is good":         {map[string]any{"TreatMissingData": "notBreaching"}, time.Hour, "OK"},
		"nothing changes a thing": {map[string]any{"TreatMissingData": "ignore", "DatapointsToAlarm": uint64(1)}, time.Hour, "ALARM"},
		"of metric math":          {map[string]any{"MetricName": "", "Metrics": []any{query("a"), map[string]any{"Id": "e", "Expression": "a * 2", "ReturnData": true}}}, 0, "ALARM"},
	} {
		d := newDesk()
		d.alarm(t, c.fields)
		d.Evaluate()
		d.now = d.now.Add(c.wait)
		d.Evaluate()
		if got := d.State("x"); got != c.want {
			t.Errorf("%s: the alarm is %s, want %s", name, got, c.want)
		}
	}
}

func TestActionsAreDueOnChangesAndAgainEveryMinuteOfAlarm(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.alarm(t, map[string]any{"EvaluationPeriods": uint64(1)})
	due := func() string {
		out := ""
		for _, a := range d.Evaluate() {
			out += fmt.Sprintf("%s %s %v;", a.ARN, a.State, a.Value)
		}
		return out
	}
	if got := due(); got != "arn:act ALARM 6;" {
		t.Errorf("at first %q", got)
	}
	d.now = d.now.Add(30 * time.Second)
	if got := due(); got != "" {
		t.Errorf("half a minute later %q", got)
	}
	d.Put("N", "a", nil, 9)
	d.now = d.now.Add(30 * time.Second)
	if got := due(); got != "arn:act ALARM 9;" {
		t.Errorf("after a minute %q", got)
	}
	if _, err := d.Answer("DisableAlarmActions", map[string]any{"AlarmNames": []any{"x"}}); err != nil {
		t.Fatal(err)
	}
	d.Put("N", "a", nil, 9)
	d.now = d.now.Add(time.Minute)
	if got := due(); got != "" {
		t.Errorf("with actions off %q", got)
	}
	if _, err := d.Answer("EnableAlarmActions", map[string]any{"AlarmNames": []any{"x"}}); err != nil {
		t.Fatal(err)
	}
	d.Put("N", "a", nil, 1)
	d.now = d.now.Add(time.Minute)
	if got := due(); got != "arn:ok OK 1;" {
		t.Errorf("below the threshold %q", got)
	}
}

func TestWhatIsNoAlarmIsRefused(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]any{"no name": {"AlarmName": ""}, "no metric": {"MetricName": ""}, "a period of 45": {"Period": uint64(45)}, "three of two": {"DatapointsToAlarm": uint64(3)},
		"no statistic": {"Statistic": ""}, "no threshold": {"Threshold": nil}, "two that return": {"MetricName": "", "Metrics": []any{map[string]any{"Id": "a", "Expression": "1"}, map[string]any{"Id": "b", "Expression": "1"}}}} {
		in := map[string]any{"AlarmName": "x", "Namespace": "N", "MetricName": "a", "Statistic": "Average", "Period": uint64(60), "EvaluationPeriods": uint64(2), "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold"}
		for k, v := range fields {
			in[k] = v
		}
		var refused *watch.Refusal
		if err := newDesk().Keep(in); !errors.As(err, &refused) || refused.Code != "ValidationError" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
