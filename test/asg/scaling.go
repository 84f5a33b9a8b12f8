package asg

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"bakehouse/autoscale/scaling"
	"bakehouse/test/asg/watch"
)

func compare(a, b float64) int { return cmp.Compare(a, b) }

// bound is a step's bound; one that is absent is infinite, with a sign.
func bound(step *node, name string, sign int) float64 {
	f, err := strconv.ParseFloat(step.str(name), 64)
	if err != nil {
		return math.Inf(sign)
	}
	return f
}

// step is the adjustment for a breach of so much above the threshold.
func step(p *node, breach float64) (adjustment int, found bool) {
	var all []scaling.Step
	for _, st := range p.all("StepAdjustments") {
		all = append(all, scaling.Step{From: bound(st, "MetricIntervalLowerBound", -1), To: bound(st, "MetricIntervalUpperBound", 1), Amount: st.number("ScalingAdjustment")})
	}
	one, found := scaling.Find(all, breach)
	return one.Amount, found
}

// adjust applies an adjustment of a policy to a capacity.
func adjust(p *node, capacity, by int) int {
	return scaling.Adjustment{Type: p.str("AdjustmentType"), Amount: by, Magnitude: p.number("MinAdjustmentMagnitude")}.Of(capacity)
}

// policyWarmup is how long what a policy launches does not count.
func (g *group) policyWarmup(p *node) time.Duration {
	for _, n := range []*node{p.get("EstimatedInstanceWarmup"), g.get("DefaultInstanceWarmup"), g.get("DefaultCooldown")} {
		if n != nil && number(n.text) >= 0 {
			return time.Duration(number(n.text)) * time.Second
		}
	}
	return 0
}

// warming is the capacity that does not count in metrics yet.
func (s *Service) warming(g *group, warmup time.Duration) int {
	missing := max(0, g.want()-g.weigh((*member).counts))
	return missing + g.weigh(func(m *member) bool {
		return m.counts() && (m.state != stateInService || s.now().Before(m.since.Add(warmup)))
	})
}

// alarmed runs the policies whose alarms are due.
func (s *Service) alarmed() {
	s.sample()
	for _, a := range s.watch.Evaluate() {
		for _, p := range sorted(s.policies) {
			g := s.groups[p.str("AutoScalingGroupName")]
			if p.str("PolicyARN") != a.ARN || p.str("Enabled") == "false" || g == nil || g.deleting || g.suspended("AlarmNotification") {
				continue
			}
			s.invoke(g, p, a)
		}
	}
}

// invoke runs one policy for an alarm.
func (s *Service) invoke(g *group, p *node, a watch.Action) {
	reason := fmt.Sprintf("a monitor alarm %s in state %s triggered policy %s", a.Alarm, a.State, p.str("PolicyName"))
	switch p.str("PolicyType") {
	case "SimpleScaling":
		if s.cooling(g) == nil {
			s.simple(g, p, reason)
		}
	case "StepScaling":
		if by, ok := step(p, a.Value-a.Threshold); ok {
			s.stepped(g, p, by, reason)
		}
	case "TargetTrackingScaling":
		s.follow(g, p, a, reason)
	}
}

func (s *Service) simple(g *group, p *node, reason string) {
	if !s.scaleTo(g, adjust(p, g.want(), p.number("ScalingAdjustment")), reason) {
		return
	}
	seconds := g.number("DefaultCooldown")
	if p.has("Cooldown") {
		seconds = p.number("Cooldown")
	}
	s.cool(g, seconds)
}

// stepped adds to what is warm: capacity that is on its way is part of the
// step, and nothing is taken away meanwhile.
func (s *Service) stepped(g *group, p *node, by int, reason string) {
	warming := s.warming(g, g.policyWarmup(p))
	to := adjust(p, g.want()-warming, by)
	if to < g.want() && warming > 0 {
		return
	}
	s.scaleTo(g, to, reason)
}

// scaleTo sets the desired capacity within bounds. It reports whether it changed.
func (s *Service) scaleTo(g *group, to int, reason string) bool {
	was := g.want()
	to = min(max(to, g.number("MinSize")), g.number("MaxSize"))
	if to == was {
		return false
	}
	g.set("DesiredCapacity", text(itoa(to)))
	g.why(fmt.Sprintf("At %s %s changing the desired capacity from %d to %d.", causeTime(s.now()), reason, was, to))
	s.moved = true
	return true
}

func (s *Service) executePolicy(in *node) (*node, error) {
	p, err := s.policy(in)
	if err != nil {
		return nil, err
	}
	g := s.groups[p.str("AutoScalingGroupName")]
	reason := "a user request executed policy " + p.str("PolicyName")
	switch p.str("PolicyType") {
	case "SimpleScaling":
		if in.str("HonorCooldown") == "true" {
			if err := s.cooling(g); err != nil {
				return nil, err
			}
		}
		s.simple(g, p, reason)
	case "StepScaling":
		value, e1 := strconv.ParseFloat(in.str("MetricValue"), 64)
		threshold, e2 := strconv.ParseFloat(in.str("BreachThreshold"), 64)
		by, ok := step(p, value-threshold)
		if e1 != nil || e2 != nil || !ok {
			return nil, invalid("MetricValue and BreachThreshold are needed, and one step must cover them")
		}
		s.stepped(g, p, by, reason)
	default:
		return nil, invalid("Policies of type " + p.str("PolicyType") + " cannot be executed")
	}
	return nil, nil
}

// sample puts the groups' own metrics, once a minute, as far as they are enabled.
func (s *Service) sample() {
	minute := s.now().Truncate(time.Minute)
	for _, g := range s.groups { // in any order: each has dimensions of its own
		if len(g.all("EnabledMetrics")) == 0 || !minute.After(g.sampled) {
			continue
		}
		g.sampled = minute
		for _, e := range g.all("EnabledMetrics") {
			s.watch.Put("AWS/AutoScaling", e.str("Metric"), map[string]string{"AutoScalingGroupName": g.name}, float64(g.metric(e.str("Metric"))))
		}
	}
}

// metric is one of a group's own metrics.
func (g *group) metric(name string) int {
	switch name {
	case "GroupMinSize":
		return g.number("MinSize")
	case "GroupMaxSize":
		return g.number("MaxSize")
	case "GroupDesiredCapacity":
		return g.want()
	case "WarmPoolDesiredCapacity":
		return g.poolSize()
	case "GroupAndWarmPoolDesiredCapacity":
		return g.poolSize() + g.want()
	}
	kind := strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(name, "Instances"), "Capacity"), "Group")
	of := map[string]func(*member) bool{
		"InService":      func(m *member) bool { return m.state == stateInService },
		"Pending":        func(m *member) bool { return m.in(statePending) },
		"Standby":        func(m *member) bool { return m.state == stateStandby },
		"Terminating":    func(m *member) bool { return m.in(stateTerminating) },
		"Total":          func(m *member) bool { return !strings.HasPrefix(m.state, warmed) },
		"WarmPoolWarmed": func(m *member) bool { return m.resting() }, "WarmPoolPending": func(m *member) bool { return m.in(warmed + statePending) },
		"WarmPoolTerminating": func(m *member) bool { return m.in(warmed + stateTerminating) }, "WarmPoolTotal": func(m *member) bool { return strings.HasPrefix(m.state, warmed) },
		"AndWarmPoolTotal": func(*member) bool { return true },
	}[kind]
	n := 0
	for _, m := range g.members {
		switch {
		case of == nil || !of(m):
		case strings.HasSuffix(name, "Instances"):
			n++
		default:
			n += m.weight
		}
	}
	return n
}
