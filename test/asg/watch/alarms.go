package watch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// States of alarms.
const (
	stateOK      = "OK"
	stateAlarm   = "ALARM"
	stateMissing = "INSUFFICIENT_DATA"
)

// alarm is one metric alarm: the fields as they were sent, its state among them.
type alarm struct {
	fields map[string]any
	state  string
	held   time.Time // a state that was set by hand stays until then
	acted  time.Time // when its actions were done last
	value  float64   // that it saw last
	seen   bool      // one at all
	judged time.Time // the end of the periods that were judged last
	data   int       // how much data there was then
}

// Action is one action of an alarm that is due.
type Action struct {
	Alarm     string
	State     string
	ARN       string
	Threshold float64
	Value     float64 // that the alarm saw; its threshold when it saw none
}

// State is the state of an alarm; "" when there is none.
func (s *Store) State(name string) string {
	if a := s.alarms[name]; a != nil {
		return a.state
	}
	return ""
}

// Keep stores an alarm as PutMetricAlarm does. Its error is a *Refusal.
func (s *Store) Keep(in map[string]any) error {
	_, err := s.putAlarm(in)
	return err
}

// Drop deletes alarms; unknown ones are no error.
func (s *Store) Drop(names ...string) {
	s.callers = nil
	for _, n := range names {
		delete(s.alarms, n)
	}
}

func (s *Store) putAlarm(in map[string]any) (map[string]any, error) {
	if err := checkAlarm(in); err != nil {
		return nil, err
	}
	name, now := str(in, "AlarmName"), s.now()
	fields := maps.Clone(in)
	fields["AlarmArn"] = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:" + name
	if fields["ActionsEnabled"] == nil {
		fields["ActionsEnabled"] = true
	}
	fields["AlarmConfigurationUpdatedTimestamp"] = now
	a := &alarm{fields: fields}
	if old := s.alarms[name]; old != nil { // an update keeps the state
		a.state, a.acted, a.value, a.seen = old.state, old.acted, old.value, old.seen
		for _, f := range []string{"StateValue", "StateReason", "StateUpdatedTimestamp", "StateTransitionedTimestamp"} {
			fields[f] = old.fields[f]
		}
		fields["Tags"] = old.fields["Tags"] // a put tags new alarms alone
	} else {
		a.put(stateMissing, "Unchecked: Initial alarm creation", now)
	}
	s.alarms[name], s.callers = a, nil
	s.remember(name, "ConfigurationUpdate", "Alarm \""+name+"\" created or updated", in)
	return map[string]any{}, nil
}

// checkAlarm refuses what CloudWatch refuses.
func checkAlarm(in map[string]any) error {
	if str(in, "AlarmName") == "" || str(in, "ComparisonOperator") == "" || whole(in, "EvaluationPeriods", 0) < 1 {
		return refuse("ValidationError", "AlarmName, ComparisonOperator and EvaluationPeriods are needed")
	}
	_, bounded := num(in["Threshold"])
	if !bounded && str(in, "ThresholdMetricId") == "" {
		return refuse("ValidationError", "Threshold is needed")
	}
	if m := whole(in, "DatapointsToAlarm", 1); m < 1 || m > whole(in, "EvaluationPeriods", 0) {
		return refuse("ValidationError", "DatapointsToAlarm is 1 to EvaluationPeriods")
	}
	metrics := items(in["Metrics"])
	if (str(in, "MetricName") == "") == (len(metrics) == 0) {
		return refuse("ValidationError", "either MetricName or Metrics is needed")
	}
	if len(metrics) > 0 {
		returned := 0
		for _, m := range metrics {
			if shown, said := fieldsOf(m)["ReturnData"].(bool); !said || shown {
				returned++
			}
		}
		if returned != 1 {
			return refuse("ValidationError", "exactly one element of Metrics returns data, not %d", returned)
		}
		return nil
	}
	if p := whole(in, "Period", 0); p != 10 && p != 20 && p != 30 && (p < 60 || p%60 != 0) {
		return refuse("ValidationError", "Period is 10, 20, 30 or a multiple of 60")
	}
	if str(in, "Statistic") == "" && str(in, "ExtendedStatistic") == "" {
		return refuse("ValidationError", "Statistic or ExtendedStatistic is needed")
	}
	return nil
}

// put writes a state into the alarm.
func (a *alarm) put(state, reason string, now time.Time) {
	if a.state != state {
		a.fields["StateTransitionedTimestamp"] = now
	}
	a.state = state
	a.fields["StateValue"], a.fields["StateReason"], a.fields["StateUpdatedTimestamp"] = state, reason, now
}

// remember writes the history.
func (s *Store) remember(name, kind, summary string, data map[string]any) {
	text, err := json.Marshal(data)
	if err != nil { // numbers that JSON has not
		text = []byte("{}")
	}
	s.history = append(s.history, any(map[string]any{"AlarmName": name, "AlarmType": "MetricAlarm", "Timestamp": s.now(),
		"HistoryItemType": kind, "HistorySummary": summary, "HistoryData": string(text)}))
}

func (s *Store) deleteAlarms(in map[string]any) (map[string]any, error) {
	s.Drop(texts(in["AlarmNames"])...)
	return map[string]any{}, nil
}

func (s *Store) describeAlarms(in map[string]any) (map[string]any, error) {
	names, size := texts(in["AlarmNames"]), whole(in, "MaxRecords", 100)
	if size < 1 || size > 100 {
		return nil, refuse("ValidationError", "MaxRecords is 1 to 100")
	}
	found := []any{}
	for _, a := range sorted(s.alarms) {
		name := str(a.fields, "AlarmName")
		acts := slices.Concat(texts(a.fields["AlarmActions"]), texts(a.fields["OKActions"]), texts(a.fields["InsufficientDataActions"]))
		if strings.HasPrefix(name, str(in, "AlarmNamePrefix")) && (len(names) == 0 || slices.Contains(names, name)) &&
			(str(in, "StateValue") == "" || str(in, "StateValue") == a.state) &&
			(str(in, "ActionPrefix") == "" || slices.ContainsFunc(acts, func(t string) bool { return strings.HasPrefix(t, str(in, "ActionPrefix")) })) {
			shown := maps.Clone(a.fields)
			delete(shown, "Tags")
			found = append(found, shown)
		}
	}
	return page("MetricAlarms", found, in, size)
}

func (s *Store) describeHistory(in map[string]any) (map[string]any, error) {
	found := []any{}
	for _, item := range slices.Backward(s.history) {
		h := fieldsOf(item)
		after, before := when(in["StartDate"]), when(in["EndDate"])
		if (str(in, "AlarmName") == "" || str(in, "AlarmName") == str(h, "AlarmName")) && (str(in, "HistoryItemType") == "" || str(in, "HistoryItemType") == str(h, "HistoryItemType")) &&
			!when(h["Timestamp"]).Before(after) && (before.IsZero() || !when(h["Timestamp"]).After(before)) {
			found = append(found, item)
		}
	}
	if str(in, "ScanBy") == "TimestampAscending" {
		slices.Reverse(found)
	}
	return page("AlarmHistoryItems", found, in, whole(in, "MaxRecords", 100))
}

func (s *Store) named(in map[string]any) (*alarm, error) {
	if a := s.alarms[str(in, "AlarmName")]; a != nil {
		return a, nil
	}
	return nil, refuse("ResourceNotFound", "there is no alarm %s", str(in, "AlarmName"))
}

// setState holds a state for a period, and does its actions.
func (s *Store) setState(in map[string]any) (map[string]any, error) {
	a, err := s.named(in)
	if err != nil {
		return nil, err
	}
	state := str(in, "StateValue")
	if !slices.Contains([]string{stateOK, stateAlarm, stateMissing}, state) || str(in, "StateReason") == "" {
		return nil, refuse("ValidationError", "StateValue is OK, ALARM or INSUFFICIENT_DATA, with a StateReason")
	}
	if v, ok := lastOf(str(in, "StateReasonData")); ok {
		a.value, a.seen = v, true
	}
	a.held, a.judged = s.now().Add(a.period()), time.Time{}
	s.become(a, state, str(in, "StateReason"))
	return map[string]any{}, nil
}

// lastOf is the last of recentDatapoints in a state's reason data.
func lastOf(text string) (float64, bool) {
	var data struct{ RecentDatapoints []float64 }
	if json.Unmarshal([]byte(text), &data) != nil || len(data.RecentDatapoints) == 0 {
		return 0, false
	}
	return data.RecentDatapoints[len(data.RecentDatapoints)-1], true
}

func (s *Store) enable(on bool) func(map[string]any) (map[string]any, error) {
	return func(in map[string]any) (map[string]any, error) {
		for _, n := range texts(in["AlarmNames"]) {
			if a := s.alarms[n]; a != nil {
				a.fields["ActionsEnabled"] = on
			}
		}
		return map[string]any{}, nil
	}
}

// become moves an alarm to a state, and owes the actions of a change.
func (s *Store) become(a *alarm, state, reason string) {
	name, was := str(a.fields, "AlarmName"), a.state
	a.put(state, reason, s.now())
	if was == state {
		return
	}
	s.remember(name, "StateUpdate", fmt.Sprintf("Alarm updated from %s to %s", was, state), map[string]any{
		"oldState": map[string]any{"stateValue": was}, "newState": map[string]any{"stateValue": state, "stateReason": reason}})
	s.act(a)
}

// Callers names the alarms that invoke each action, in order. The answer is
// the store's own.
func (s *Store) Callers() map[string][]string {
	if s.callers != nil {
		return s.callers
	}
	out := map[string][]string{}
	for _, a := range sorted(s.alarms) {
		name := str(a.fields, "AlarmName")
		for _, list := range []string{"AlarmActions", "OKActions", "InsufficientDataActions"} {
			for _, arn := range texts(a.fields[list]) {
				if !slices.Contains(out[arn], name) {
					out[arn] = append(out[arn], name)
				}
			}
		}
	}
	s.callers = out
	return out
}
