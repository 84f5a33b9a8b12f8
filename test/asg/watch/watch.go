// Package watch is as much of CloudWatch as Auto Scaling needs: metrics that
// are put and read back, metric math, and alarms that change their state on a
// clock and name the actions that follow. It speaks in the maps that Smithy
// RPC v2 CBOR decodes to, and keeps every field of an alarm as it was sent.
//
// A Store does not lock: its caller lets calls take their turns.
package watch

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Store holds metrics and alarms. Use New.
type Store struct {
	now     func() time.Time
	series  map[string]*series
	alarms  map[string]*alarm
	history []any // oldest first
	data    int   // how often any came
	owed    []Action
	callers map[string][]string // Callers, until an alarm changes
	checked time.Time
}

// Refusal is an error of CloudWatch.
type Refusal struct{ Code, Message string }

// Error is the code and the message.
func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

func refuse(code, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// New returns an empty store. now is its clock.
func New(now func() time.Time) *Store {
	return &Store{now: now, series: map[string]*series{}, alarms: map[string]*alarm{}}
}

// Answer does one action of the API. Its error is a *Refusal.
func (s *Store) Answer(action string, in map[string]any) (map[string]any, error) {
	table := map[string]func(map[string]any) (map[string]any, error){
		"PutMetricData":        s.putData,
		"GetMetricData":        s.getData,
		"GetMetricStatistics":  s.getStatistics,
		"ListMetrics":          s.listMetrics,
		"PutMetricAlarm":       s.putAlarm,
		"DeleteAlarms":         s.deleteAlarms,
		"DescribeAlarms":       s.describeAlarms,
		"DescribeAlarmHistory": s.describeHistory,
		"SetAlarmState":        s.setState,
		"EnableAlarmActions":   s.enable(true),
		"DisableAlarmActions":  s.enable(false),
		"ListTagsForResource":  s.listTags,
		"TagResource":          s.tag,
		"UntagResource":        s.untag,
	}
	do := table[action]
	if do == nil {
		return nil, refuse("InvalidAction", "there is no action %s", action)
	}
	return do(in)
}

// str reads a text.
func str(in map[string]any, name string) string {
	t, _ := in[name].(string) // another type is no text
	return t
}

// num reads a number of any kind that CBOR has.
func num(v any) (float64, bool) {
	switch n := v.(type) {
	case uint64:
		return float64(n), true
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	case float64:
		return n, true
	case float32:
		return float64(n), true
	}
	return 0, false
}

func whole(in map[string]any, name string, normal int) int {
	if n, ok := num(in[name]); ok {
		return int(n)
	}
	return normal
}

func items(v any) []any {
	l, _ := v.([]any) // another type has none
	return l
}

func fieldsOf(v any) map[string]any {
	m, _ := v.(map[string]any) // another type has none
	return m
}

func texts(v any) []string {
	var out []string
	for _, i := range items(v) {
		if t, ok := i.(string); ok {
			out = append(out, t)
		}
	}
	return out
}

func when(v any) time.Time {
	t, _ := v.(time.Time) // another type is no time
	return t
}

// page cuts a list at NextToken, and names the next.
func page(name string, all []any, in map[string]any, size int) (map[string]any, error) {
	from := 0
	if token := str(in, "NextToken"); token != "" {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from < 1 || from > len(all) {
			return nil, refuse("InvalidNextToken", "the token %q is none of this list", token)
		}
	}
	to := min(from+size, len(all))
	out := map[string]any{name: append([]any{}, all[from:to]...)}
	if to < len(all) {
		out["NextToken"] = strconv.Itoa(to)
	}
	return out, nil
}

func sorted[T any](m map[string]T) []T {
	var out []T
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}
