package asg

import (
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// serveCloudWatch answers /service/…/operation/NAME in CBOR. Alarms are kept
// as the maps that came.
func (s *Service) serveCloudWatch(w http.ResponseWriter, r *http.Request, body []byte) {
	action := path.Base(r.URL.Path)
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	var in map[string]any
	err := cbor.Unmarshal(body, &in)
	var out any
	if err == nil {
		err = s.fault(action)
	}
	if err == nil {
		out, err = s.cloudWatch(action, in)
	}
	s.record("monitoring", action, err)
	status := http.StatusOK
	if err != nil {
		status, out = http.StatusBadRequest, map[string]any{"__type": "com.amazonaws.cloudwatch#ValidationError", "message": err.Error()}
		if refused, ok := err.(*refusal); ok {
			out = map[string]any{"__type": "com.amazonaws.cloudwatch#" + refused.code, "message": refused.message}
			w.Header().Set("X-Amzn-Query-Error", refused.code+";Sender")
		}
	}
	b, err := cbor.Marshal(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	// A caller that is gone needs no answer.
	_, _ = w.Write(b)
}

func (s *Service) cloudWatch(action string, in map[string]any) (any, error) {
	switch action {
	case "PutMetricAlarm":
		name, _ := in["AlarmName"].(string)
		if name == "" || in["ComparisonOperator"] == nil || in["EvaluationPeriods"] == nil {
			return nil, invalid("AlarmName, ComparisonOperator and EvaluationPeriods are needed")
		}
		in["AlarmArn"] = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:" + name
		if in["ActionsEnabled"] == nil {
			in["ActionsEnabled"] = true
		}
		s.alarms[name] = in
		return map[string]any{}, nil
	case "DeleteAlarms":
		for _, name := range textsOf(in["AlarmNames"]) {
			delete(s.alarms, name)
		}
		return map[string]any{}, nil
	case "DescribeAlarms":
		return s.describeAlarms(in)
	case "GetMetricData":
		return s.getMetricData(in)
	case "ListMetrics":
		return s.listMetrics(in)
	}
	return nil, &refusal{"InvalidAction", "there is no action " + action, 400}
}

func textsOf(v any) []string {
	var out []string
	items, _ := v.([]any)
	for _, i := range items {
		if t, ok := i.(string); ok {
			out = append(out, t)
		}
	}
	return out
}

func (s *Service) describeAlarms(in map[string]any) (any, error) {
	names := textsOf(in["AlarmNames"])
	prefix, _ := in["AlarmNamePrefix"].(string)
	found := []any{}
	for _, a := range sorted(s.alarms) {
		name, _ := a["AlarmName"].(string)
		if strings.HasPrefix(name, prefix) && (len(names) == 0 || slices.Contains(names, name)) {
			found = append(found, a)
		}
	}
	from := 0
	if token, ok := in["NextToken"].(string); ok {
		var err error
		if from, err = strconv.Atoi(token); err != nil || from > len(found) {
			return nil, &refusal{"InvalidNextToken", "no such page", 400}
		}
	}
	to := min(from+100, len(found))
	out := map[string]any{"MetricAlarms": found[from:to]}
	if to < len(found) {
		out["NextToken"] = strconv.Itoa(to)
	}
	return out, nil
}
