package asg

import (
	"fmt"
	"slices"
	"strconv"
)

// number is a text as a number, 0 when it is none.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// preferences checks those of a refresh and fills in the defaults that
// StartInstanceRefresh documents.
func preferences(g *group, in *node) (*node, error) {
	p := &node{}
	if in != nil {
		p = in.copy()
	}
	policy := g.get("InstanceMaintenancePolicy")
	for name, v := range map[string]string{"MinHealthyPercentage": "90", "SkipMatching": "false", "AutoRollback": "false",
		"ScaleInProtectedInstances": "Wait", "StandbyInstances": "Wait"} {
		if own := policy.str(name); own != "" && own != "-1" {
			v = own
		}
		if !p.has(name) {
			p.set(name, text(v))
		}
	}
	if most := policy.number("MaxHealthyPercentage"); most >= 100 && !in.has("MaxHealthyPercentage") {
		p.set("MaxHealthyPercentage", text(itoa(most)))
	}
	if !p.has("InstanceWarmup") {
		warm := g.str("HealthCheckGracePeriod")
		if n := g.number("DefaultInstanceWarmup"); g.has("DefaultInstanceWarmup") && n >= 0 {
			warm = itoa(n)
		}
		p.set("InstanceWarmup", text(warm))
	}
	if p.has("CheckpointPercentages") && !p.has("CheckpointDelay") {
		p.set("CheckpointDelay", text("3600"))
	}
	return p, checkPreferences(in, p)
}

func checkPreferences(in, p *node) error {
	least, most := p.number("MinHealthyPercentage"), p.number("MaxHealthyPercentage")
	if least < 0 || least > 100 {
		return invalid("MinHealthyPercentage is 0 to 100")
	}
	if in.has("MaxHealthyPercentage") && (!in.has("MinHealthyPercentage") || most < 100 || most > 200 || most-least > 100) {
		return invalid("MaxHealthyPercentage is 100 to 200, needs MinHealthyPercentage and is at most 100 above it")
	}
	if in.has("CheckpointDelay") && !in.has("CheckpointPercentages") {
		return invalid("CheckpointDelay needs CheckpointPercentages")
	}
	last := 0
	for _, c := range p.texts("CheckpointPercentages") {
		if number(c) <= last || number(c) > 100 {
			return invalid("CheckpointPercentages are unique, ascending and at most 100")
		}
		last = number(c)
	}
	return nil
}

func (s *Service) startRefresh(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	if r := g.refreshing(); r != nil {
		return nil, &refusal{"InstanceRefreshInProgress", fmt.Sprintf("An Instance Refresh is already in progress and blocks the execution of this Instance Refresh: %s", r.id), 400}
	}
	if in.str("Strategy") != "" && in.str("Strategy") != "Rolling" {
		return nil, invalid("this service replaces instances by the strategy Rolling only")
	}
	p, err := preferences(g, in.get("Preferences"))
	if err != nil {
		return nil, err
	}
	r := &refresh{id: s.uuid(), preferences: p, status: refreshPending, start: s.now(), progress: s.now(), old: map[*member]bool{}, skipped: map[*member]bool{}}
	if d := in.get("DesiredConfiguration"); d != nil {
		r.desired = d.copy()
		if err := s.checkSource(r.desired); err != nil {
			return nil, err
		}
	}
	if p.str("AutoRollback") == "true" {
		if err := g.reversible(r); err != nil {
			return nil, err
		}
	}
	g.refreshes = slices.Insert(g.refreshes, 0, r)
	for _, m := range g.members {
		switch skip := p.str("SkipMatching") == "true" && s.fits(m, g.source()); {
		case skip:
			r.skipped[m] = true
		case r.wanted(m):
			r.old[m] = true
			r.total++
		case m.pooledUp():
			r.old[m] = true
		}
	}
	r.shownLeft = r.total
	r.kept = s.serving(g, r)
	return fields("InstanceRefreshId", r.id), nil
}

// reversible refuses what AWS cannot turn back.
func (g *group) reversible(r *refresh) error {
	switch {
	case r.desired == nil:
		return &refusal{"IrreversibleInstanceRefresh", "The instance refresh has no desired configuration, so there is nothing to roll back to.", 400}
	case !numeric(r.desired), !numeric(pick(g.node, "LaunchTemplate", "MixedInstancesPolicy")):
		return &refusal{"IrreversibleInstanceRefresh", "A rollback needs a numeric version of the launch template; the group or the desired configuration uses $Latest or $Default.", 400}
	case g.has("LaunchConfigurationName"):
		return &refusal{"IrreversibleInstanceRefresh", "The Auto Scaling group uses a launch configuration.", 400}
	}
	return nil
}

// pick is a copy of n with some of its children only.
func pick(n *node, names ...string) *node {
	out := &node{}
	for _, name := range names {
		if n.has(name) {
			out.set(name, n.get(name))
		}
	}
	return out
}

// active is the refresh that a call may stop.
func (s *Service) active(in *node, states ...string) (*group, *refresh, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, nil, err
	}
	r := g.refreshing()
	if r == nil || !slices.Contains(states, r.status) {
		return nil, nil, &refusal{"ActiveInstanceRefreshNotFound", "No in progress or pending Instance Refresh found for Auto Scaling group " + g.name, 400}
	}
	return g, r, nil
}

func (s *Service) cancelRefresh(in *node) (*node, error) {
	g, r, err := s.active(in, refreshPending, refreshRunning, refreshBaking, refreshRolling)
	if err != nil {
		return nil, err
	}
	r.status = refreshCancelling
	for _, m := range g.members {
		if r.old[m] {
			m.leaving = ""
		}
	}
	if in.str("WaitForTransitioningInstances") == "false" {
		s.conclude(g, r, "Cancelled", "Cancelled due to user request.")
	}
	return fields("InstanceRefreshId", r.id), nil
}

func (s *Service) rollbackRefresh(in *node) (*node, error) {
	g, r, err := s.active(in, refreshPending, refreshRunning, refreshBaking)
	if err != nil {
		return nil, err
	}
	if err := g.reversible(r); err != nil {
		return nil, err
	}
	s.turnBack(g, r, "Rollback was requested by the user.")
	return fields("InstanceRefreshId", r.id), nil
}
