package asg

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// Causes of bad health, as activities word them.
const (
	illMachine  = "an EC2 health check indicating it has been terminated or stopped"
	illBalancer = "an ELB system health check failure"
	illUser     = "a user health-check"
)

// checkHealth marks m when its machine is down, and replaces what is ill.
func (s *Service) checkHealth(g *group, m *member) {
	if m.down() && m.ill == "" && !g.suspended("HealthCheck") {
		m.ill = illMachine
	}
	if life := g.number("MaxInstanceLifetime"); life > 0 && m.leaving == "" && m.ill == "" && !s.now().Before(m.born.Add(time.Duration(life)*time.Second)) {
		s.leave(m, "an instance was taken out of service in response to its maximum lifetime")
	}
	if m.ill == "" || g.suspended("ReplaceUnhealthy") || g.suspended("Terminate") || g.suspended("Launch") && !m.down() {
		return
	}
	what := "an instance was taken out of service in response to " + m.ill
	if !m.down() && g.get("InstanceMaintenancePolicy").number("MinHealthyPercentage") >= 100 {
		s.leave(m, what)
		return
	}
	g.owed = append(g.owed, "an instance was launched in response to an unhealthy instance needing to be replaced.")
	s.dismiss(g, m, s.because(nil, what+"."))
}

// leave lets m go as soon as another member has taken its place.
func (s *Service) leave(m *member, what string) {
	if m.leaving == "" {
		m.leaving, s.moved = what, true
	}
}

// balanced are the groups whose load balancers are to be asked.
func (s *Service) balanced() []Balanced {
	var out []Balanced
	for _, g := range sorted(s.groups) {
		if !strings.Contains(g.str("HealthCheckType"), "ELB") || g.suspended("HealthCheck") {
			continue
		}
		b := Balanced{Group: g.name, TargetGroups: slices.Clone(g.texts("TargetGroupARNs"))}
		grace := time.Duration(g.number("HealthCheckGracePeriod")) * time.Second
		for _, m := range g.members {
			if m.state == stateInService && !s.now().Before(m.since.Add(grace)) {
				b.Instances = append(b.Instances, m.id)
			}
		}
		if len(b.Instances) > 0 {
			out = append(out, b)
		}
	}
	return out
}

// ask asks the load balancers for the health of what they serve.
func (s *Service) ask(ctx context.Context) error {
	if s.health == nil {
		return nil
	}
	s.mu.Lock()
	groups := s.balanced()
	s.mu.Unlock()
	var failed error
	for _, b := range groups {
		ill, err := s.health(ctx, b)
		failed = errors.Join(failed, err)
		s.mu.Lock()
		for _, id := range ill {
			if g := s.groups[b.Group]; g != nil && g.find(id) != nil && g.find(id).ill == "" {
				g.find(id).ill = illBalancer
			}
		}
		s.mu.Unlock()
	}
	return failed
}

// setHealth is SetInstanceHealth. Unless told otherwise it respects the grace period.
func (s *Service) setHealth(in *node) (*node, error) {
	g, m, err := s.instance(in.str("InstanceId"))
	if err != nil {
		return nil, err
	}
	switch in.str("HealthStatus") {
	case "Healthy":
		m.ill, m.leaving = "", ""
	case "Unhealthy":
		grace := time.Duration(g.number("HealthCheckGracePeriod")) * time.Second
		if in.str("ShouldRespectGracePeriod") != "false" && m.state == stateInService && s.now().Before(m.since.Add(grace)) {
			return nil, nil
		}
		m.ill = illUser
	default:
		return nil, invalid("HealthStatus is Healthy or Unhealthy")
	}
	return nil, nil
}

// instance finds a member by its id in any group.
func (s *Service) instance(id string) (*group, *member, error) {
	for _, g := range s.groups {
		if m := g.find(id); m != nil {
			return g, m, nil
		}
	}
	return nil, nil, invalid("Instance Id not found - No managed instance found for instance ID: " + id)
}
