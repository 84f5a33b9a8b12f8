package asg

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Metric names one metric of CloudWatch.
type Metric struct {
	Namespace, Name string
	Dimensions      map[string]string
}

func (m Metric) key() string {
	var dimensions []string
	for k, v := range m.Dimensions {
		dimensions = append(dimensions, k+"="+v)
	}
	slices.Sort(dimensions)
	return key(m.Namespace, m.Name, strings.Join(dimensions, ","))
}

// SetMetric gives a metric its latest value. A metric that was never set has
// no data and is not listed.
func (s *Service) SetMetric(m Metric, value float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gauges[m.key()] = gauge{m, value}
}

// gauge is a metric with its latest value.
type gauge struct {
	Metric
	value float64
}

// metricOf reads a Metric as CloudWatch's calls write it.
func metricOf(in map[string]any) Metric {
	m := Metric{Dimensions: map[string]string{}}
	m.Namespace, _ = in["Namespace"].(string)
	m.Name, _ = in["MetricName"].(string)
	dimensions, _ := in["Dimensions"].([]any)
	for _, d := range dimensions {
		pair := mapOf(d)
		m.Dimensions[fmt.Sprint(pair["Name"])] = fmt.Sprint(pair["Value"])
	}
	return m
}

// mapOf is a structure of a call: cbor gives keys of any type below the top.
func mapOf(v any) map[string]any {
	if m, ok := v.(map[string]any); ok {
		return m
	}
	out := map[string]any{}
	m, _ := v.(map[any]any)
	for k, v := range m {
		out[fmt.Sprint(k)] = v
	}
	return out
}

// getMetricData answers queries for single metrics with one data point, now.
func (s *Service) getMetricData(in map[string]any) (any, error) {
	queries, _ := in["MetricDataQueries"].([]any)
	if len(queries) == 0 || len(queries) > 500 || in["StartTime"] == nil || in["EndTime"] == nil {
		return nil, invalid("1 to 500 queries, a start and an end are needed")
	}
	results := []any{}
	for _, q := range queries {
		query := mapOf(q)
		stat := mapOf(query["MetricStat"])
		result := map[string]any{"Id": query["Id"], "StatusCode": "Complete", "Values": []float64{}, "Timestamps": []any{}}
		if g, there := s.gauges[metricOf(mapOf(stat["Metric"])).key()]; there {
			result["Values"], result["Timestamps"] = []float64{g.value}, []any{cbor.Tag{Number: 1, Content: s.now().Unix()}}
		}
		results = append(results, result)
	}
	return map[string]any{"MetricDataResults": results}, nil
}

func (s *Service) listMetrics(in map[string]any) (any, error) {
	found := []any{}
	asked := metricOf(in)
	for _, g := range sorted(s.gauges) {
		if asked.Namespace != "" && asked.Namespace != g.Namespace || asked.Name != "" && asked.Name != g.Name {
			continue
		}
		dimensions := []any{}
		for k, v := range g.Dimensions {
			dimensions = append(dimensions, map[string]any{"Name": k, "Value": v})
		}
		found = append(found, map[string]any{"Namespace": g.Namespace, "MetricName": g.Name, "Dimensions": dimensions})
	}
	return map[string]any{"Metrics": found}, nil
}
