package asg

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"bakehouse/autoscale/scaling"
	"bakehouse/test/asg/watch"
)

// track makes the alarms of a target tracking policy anew.
func (s *Service) track(p *node) error {
	c := p.get("TargetTrackingConfiguration")
	target, err := strconv.ParseFloat(c.str("TargetValue"), 64)
	if err != nil || target <= 0 {
		return invalid("TargetValue is needed and above 0")
	}
	if c.has("PredefinedMetricSpecification") == c.has("CustomizedMetricSpecification") {
		return invalid("either PredefinedMetricSpecification or CustomizedMetricSpecification is needed")
	}
	metric, err := tracked(c, p.str("AutoScalingGroupName"))
	if err != nil {
		return err
	}
	s.dropTracked(p)
	if err := s.trackWith(p, metric, "High", "GreaterThanThreshold", target, scaling.TrackHighPoints); err != nil {
		return err
	}
	if c.str("DisableScaleIn") == "true" {
		return nil
	}
	return s.trackWith(p, metric, "Low", "LessThanThreshold", target*scaling.TrackLowShare, scaling.TrackLowMinutes*60/watch.Period(metric))
}

func (s *Service) trackWith(p *node, metric map[string]any, side, operator string, threshold float64, periods int) error {
	in := map[string]any{"AlarmName": fmt.Sprintf("TargetTracking-%s-Alarm%s-%s", p.str("AutoScalingGroupName"), side, s.uuid()),
		"AlarmDescription":   "DO NOT EDIT OR DELETE. For TargetTrackingScaling policy " + p.str("PolicyARN") + ".",
		"ComparisonOperator": operator, "Threshold": threshold, "EvaluationPeriods": periods, "AlarmActions": []any{p.str("PolicyARN")}}
	for k, v := range metric {
		in[k] = v
	}
	return asRefusal(s.watch.Keep(in))
}

// dropTracked deletes the alarms that a policy made.
func (s *Service) dropTracked(p *node) {
	if p.str("PolicyType") != "TargetTrackingScaling" {
		return
	}
	for _, name := range s.watch.Callers()[p.str("PolicyARN")] {
		if strings.HasPrefix(name, "TargetTracking-"+p.str("AutoScalingGroupName")+"-Alarm") {
			s.watch.Drop(name)
		}
	}
}

// tracked is the metric of a configuration in the fields of an alarm.
func tracked(c *node, group string) (map[string]any, error) {
	if c.has("CustomizedMetricSpecification") {
		return customized(c.get("CustomizedMetricSpecification"))
	}
	spec := c.get("PredefinedMetricSpecification")
	own := []any{dimension("AutoScalingGroupName", group)}
	metric := func(namespace, name, stat string, dims []any) (map[string]any, error) {
		return map[string]any{"Namespace": namespace, "MetricName": name, "Statistic": stat, "Dimensions": dims, "Period": 60}, nil
	}
	switch kind := spec.str("PredefinedMetricType"); kind {
	case "ASGAverageCPUUtilization":
		return metric("AWS/EC2", "CPUUtilization", "Average", own)
	case "ASGAverageNetworkIn", "ASGAverageNetworkOut":
		return metric("AWS/EC2", strings.TrimPrefix(kind, "ASGAverage"), "Average", own)
	case "ALBRequestCountPerTarget":
		balancer, target, ok := strings.Cut(spec.str("ResourceLabel"), "/targetgroup/")
		if !ok || !strings.HasPrefix(balancer, "app/") {
			return nil, invalid("ResourceLabel is needed, in the form app/NAME/ID/targetgroup/NAME/ID")
		}
		return metric("AWS/ApplicationELB", "RequestCountPerTarget", "Sum", []any{dimension("LoadBalancer", balancer), dimension("TargetGroup", "targetgroup/"+target)})
	default:
		return nil, invalid("there is no predefined metric " + kind)
	}
}

func dimension(name, value string) map[string]any {
	return map[string]any{"Name": name, "Value": value}
}

// customized is one metric, or queries with metric math.
func customized(spec *node) (map[string]any, error) {
	if !spec.has("Metrics") {
		if !spec.has("MetricName") || !spec.has("Namespace") || !spec.has("Statistic") {
			return nil, invalid("MetricName, Namespace and Statistic are needed")
		}
		out := map[string]any{"Namespace": spec.str("Namespace"), "MetricName": spec.str("MetricName"), "Statistic": spec.str("Statistic"), "Dimensions": dimensionsOf(spec), "Period": periodOf(spec)}
		return out, nil
	}
	var queries []any
	returned := 0
	for _, m := range spec.all("Metrics") {
		q := map[string]any{"Id": m.str("Id"), "ReturnData": m.str("ReturnData") != "false"}
		if m.str("ReturnData") != "false" {
			returned++
		}
		if m.has("Expression") {
			q["Expression"] = m.str("Expression")
		}
		if st := m.get("MetricStat"); st != nil {
			metric := st.get("Metric")
			q["MetricStat"] = map[string]any{"Stat": st.str("Stat"), "Period": periodOf(st),
				"Metric": map[string]any{"Namespace": metric.str("Namespace"), "MetricName": metric.str("MetricName"), "Dimensions": dimensionsOf(metric)}}
		}
		queries = append(queries, q)
	}
	if returned != 1 {
		return nil, invalid(fmt.Sprintf("exactly one metric returns data, not %d", returned))
	}
	return map[string]any{"Metrics": queries}, nil
}

func periodOf(n *node) int {
	if n.has("Period") {
		return n.number("Period")
	}
	return 60
}

func dimensionsOf(n *node) []any {
	out := []any{}
	for _, d := range n.all("Dimensions") {
		out = append(out, dimension(d.str("Name"), d.str("Value")))
	}
	return out
}

// follow brings the group to its target: capacity in proportion to how far the
// metric is from it. Less is only had when no other policy of the kind objects.
func (s *Service) follow(g *group, p *node, a watch.Action, reason string) {
	target, err := strconv.ParseFloat(p.get("TargetTrackingConfiguration").str("TargetValue"), 64)
	if err != nil || a.State != "ALARM" {
		return
	}
	warming := s.warming(g, g.policyWarmup(p))
	base := g.want() - warming
	if strings.Contains(a.Alarm, "-AlarmHigh-") {
		if to := scaling.Out(base, a.Value, target); to > g.want() {
			s.scaleTo(g, to, reason)
		}
		return
	}
	if to := scaling.In(base, a.Value, target); warming == 0 && to < g.want() && s.allLow(g) {
		s.scaleTo(g, to, reason)
	}
}

// allLow reports whether every target tracking policy of g that may scale in
// would.
func (s *Service) allLow(g *group) bool {
	for _, p := range s.policies {
		if p.str("AutoScalingGroupName") != g.name || p.str("PolicyType") != "TargetTrackingScaling" || p.str("Enabled") == "false" {
			continue
		}
		if p.get("TargetTrackingConfiguration").str("DisableScaleIn") != "true" && !slices.ContainsFunc(s.watch.Callers()[p.str("PolicyARN")], func(name string) bool {
			return strings.Contains(name, "-AlarmLow-") && s.watch.State(name) == "ALARM"
		}) {
			return false
		}
	}
	return true
}
