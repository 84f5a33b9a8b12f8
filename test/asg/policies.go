package asg

import (
	"fmt"
	"slices"
	"strings"
)

// limits per group and account, from "Quotas for Amazon EC2 Auto Scaling" in
// the user guide. Groups are not limited here.
const (
	mostHooks     = 50
	mostPolicies  = 50
	mostSchedules = 125
	mostTopics    = 10
	mostSteps     = 20
)

// limit refuses one more thing of a group than there may be.
func limit(store map[string]*node, group, k string, most int, what string) error {
	n := 0
	for id := range store {
		if strings.HasPrefix(id, group+"\x00") {
			n++
		}
	}
	if store[k] == nil && n >= most {
		return &refusal{"LimitExceeded", fmt.Sprintf("a group has at most %d %s", most, what), 400}
	}
	return nil
}

func (s *Service) putPolicy(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	k := key(g.name, in.str("PolicyName"))
	if err := limit(s.policies, g.name, k, mostPolicies, "scaling policies"); err != nil {
		return nil, err
	}
	p := in.copy()
	if !p.has("PolicyType") {
		p.set("PolicyType", text("SimpleScaling"))
	}
	if !p.has("Enabled") {
		p.set("Enabled", text("true"))
	}
	if err := checkPolicy(p); err != nil {
		return nil, err
	}
	p.set("PolicyARN", text(arn("scalingPolicy", s.uuid()+":autoScalingGroupName/"+g.name+":policyName/"+in.str("PolicyName"))))
	if old := s.policies[k]; old != nil {
		if old.str("PolicyType") != p.str("PolicyType") {
			return nil, invalid("the type of a policy cannot be changed")
		}
		p.set("PolicyARN", old.get("PolicyARN"))
	}
	s.policies[k] = p
	out := fields("PolicyARN", p.str("PolicyARN"))
	if p.str("PolicyType") == "TargetTrackingScaling" {
		if err := s.track(p); err != nil {
			delete(s.policies, k)
			return nil, err
		}
		out.set("Alarms", alarmsOf(p, s.watch.Callers()))
	}
	return out, nil
}

// checkPolicy refuses what PutScalingPolicy refuses.
func checkPolicy(p *node) error {
	kinds := map[string]string{"SimpleScaling": "ScalingAdjustment", "StepScaling": "StepAdjustments", "TargetTrackingScaling": "TargetTrackingConfiguration", "PredictiveScaling": "PredictiveScalingConfiguration"}
	kind := p.str("PolicyType")
	needed := kinds[kind]
	if needed == "" {
		return invalid("the policy type " + kind + " does not exist")
	}
	for k, field := range kinds {
		if (k == kind) != p.has(field) {
			return invalid(fmt.Sprintf("a policy of type %s has %s, and the field of no other type (%s)", kind, needed, field))
		}
	}
	if kind != "SimpleScaling" && kind != "StepScaling" {
		return nil
	}
	if !slices.Contains([]string{"ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity"}, p.str("AdjustmentType")) {
		return invalid(fmt.Sprintf("AdjustmentType %q is none of ChangeInCapacity, ExactCapacity and PercentChangeInCapacity", p.str("AdjustmentType")))
	}
	if kind == "StepScaling" && p.has("Cooldown") {
		return invalid("Cooldown is not supported for step scaling policies")
	}
	return checkSteps(p.all("StepAdjustments"))
}

// checkSteps wants steps that neither overlap nor leave a gap.
func checkSteps(steps []*node) error {
	if len(steps) > mostSteps {
		return &refusal{"LimitExceeded", fmt.Sprintf("a policy has at most %d step adjustments", mostSteps), 400}
	}
	steps = slices.Clone(steps)
	slices.SortFunc(steps, func(a, b *node) int {
		return compare(bound(a, "MetricIntervalLowerBound", -1), bound(b, "MetricIntervalLowerBound", -1))
	})
	for i, st := range steps {
		low, high := bound(st, "MetricIntervalLowerBound", -1), bound(st, "MetricIntervalUpperBound", 1)
		if low >= high {
			return invalid("a step's lower bound is not below its upper bound")
		}
		if i > 0 && bound(steps[i-1], "MetricIntervalUpperBound", 1) != low {
			return invalid("There are gaps or overlaps between the step adjustments' intervals")
		}
	}
	return nil
}

func (s *Service) deletePolicy(in *node) (*node, error) {
	p, err := s.policy(in)
	if err != nil {
		return nil, err
	}
	s.dropTracked(p)
	delete(s.policies, key(p.str("AutoScalingGroupName"), p.str("PolicyName")))
	return nil, nil
}

// policy finds the policy that a call names, by ARN or by name and group.
func (s *Service) policy(in *node) (*node, error) {
	name := in.str("PolicyName")
	if p := s.policies[key(in.str("AutoScalingGroupName"), name)]; p != nil {
		return p, nil
	}
	for _, p := range s.policies {
		if p.str("PolicyARN") == name {
			return p, nil
		}
	}
	return nil, invalid(fmt.Sprintf("PolicyName %s does not exist in group %s", name, in.str("AutoScalingGroupName")))
}

// alarmsOf lists the alarms that invoke a policy, from those of all.
func alarmsOf(p *node, calling map[string][]string) *node {
	out := list()
	for _, name := range calling[p.str("PolicyARN")] {
		out.items = append(out.items, fields("AlarmName", name, "AlarmARN", "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"+name))
	}
	return out
}

func (s *Service) describePolicies(in *node) (*node, error) {
	var found []*node
	for _, p := range sorted(s.policies) {
		names, kinds := in.texts("PolicyNames"), in.texts("PolicyTypes")
		if g := in.str("AutoScalingGroupName"); g != "" && g != p.str("AutoScalingGroupName") ||
			len(names) > 0 && !slices.Contains(names, p.str("PolicyName")) && !slices.Contains(names, p.str("PolicyARN")) ||
			len(kinds) > 0 && !slices.Contains(kinds, p.str("PolicyType")) {
			continue
		}
		found = append(found, p)
	}
	out, err := page("ScalingPolicies", found, in, 50)
	if err != nil {
		return nil, err
	}
	items, calling := out.get("ScalingPolicies").items, s.watch.Callers()
	for i, p := range items {
		items[i] = p.copy()
		items[i].set("Alarms", alarmsOf(p, calling))
	}
	return out, nil
}
