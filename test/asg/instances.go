package asg

import (
	"fmt"
	"slices"
	"strings"
)

// those finds the members that a call names, which must be in one of states.
func (s *Service) those(in *node, states ...string) (*group, []*member, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, nil, err
	}
	var all []*member
	for _, id := range in.texts("InstanceIds") {
		m := g.find(id)
		if m == nil {
			return nil, nil, invalid(fmt.Sprintf("The instance %s is not part of Auto Scaling group %s.", id, g.name))
		}
		if len(states) > 0 && !slices.Contains(states, m.state) {
			return nil, nil, invalid(fmt.Sprintf("The instance %s is not in %s.", id, strings.Join(states, " or ")))
		}
		all = append(all, m)
	}
	return g, all, nil
}

// resize moves the desired capacity by n for a reason, within bounds.
func (s *Service) resize(g *group, n int, reason string) error {
	was := g.number("DesiredCapacity")
	if is := was + n; is < g.number("MinSize") || is > g.number("MaxSize") {
		return invalid(fmt.Sprintf("AutoScalingGroup %s has min-size=%s, max-size=%s, and desired-size=%d; the call would make it %d.", g.name, g.str("MinSize"), g.str("MaxSize"), was, is))
	}
	if n != 0 {
		g.set("DesiredCapacity", text(itoa(was+n)))
		g.why(fmt.Sprintf("At %s %s, changing the desired capacity from %d to %d.", causeTime(s.now()), reason, was, was+n))
	}
	return nil
}

// total adds the weights of members.
func total(all []*member) (n int) {
	for _, m := range all {
		n += m.weight
	}
	return n
}

// withdraw is what EnterStandby and DetachInstances share.
func (s *Service) withdraw(in *node, state, verb string, from ...string) (*node, error) {
	g, all, err := s.those(in, from...)
	if err == nil && in.str("ShouldDecrementDesiredCapacity") == "true" {
		err = s.resize(g, -total(all), "a user request moved instances out of service")
	}
	if err != nil {
		return nil, err
	}
	acts := list()
	for _, m := range all {
		m.end = s.begin(g, fmt.Sprintf("%s EC2 instance: %s", verb, m.id), fmt.Sprintf("At %s instance %s was moved out of service in response to a user request.", causeTime(s.now()), m.id), statusInProgress)
		m.end.zone, m.end.subnet, m.end.progress = m.at.zone, m.at.subnet, 50
		m.leaving = ""
		s.move(g, m, state)
		acts.items = append(acts.items, m.end.describe(g))
	}
	return fields("Activities", acts), nil
}

func (s *Service) enterStandby(in *node) (*node, error) {
	return s.withdraw(in, stateEntering, "Moving to Standby", stateInService)
}

func (s *Service) detachInstances(in *node) (*node, error) {
	return s.withdraw(in, stateDetaching, "Detaching", stateInService, stateStandby)
}

func (s *Service) exitStandby(in *node) (*node, error) {
	g, all, err := s.those(in, stateStandby)
	if err == nil {
		err = s.resize(g, total(all), "a user request moved instances out of Standby")
	}
	if err != nil {
		return nil, err
	}
	acts := list()
	for _, m := range all {
		m.launch = s.begin(g, "Moving EC2 instance out of Standby: "+m.id, fmt.Sprintf("At %s instance %s was moved out of Standby in response to a user request.", causeTime(s.now()), m.id), statusPreService)
		m.launch.zone, m.launch.progress = m.at.zone, 30
		s.move(g, m, statePending)
		acts.items = append(acts.items, m.launch.describe(g))
	}
	g.reasons = nil
	return fields("Activities", acts), nil
}

func (s *Service) attachInstances(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	ids := in.texts("InstanceIds")
	for _, id := range ids {
		if owner, _, err := s.instance(id); err == nil {
			return nil, invalid(fmt.Sprintf("Instance %s is already part of AutoScalingGroup:%s", id, owner.name))
		}
	}
	if err := s.resize(g, len(ids), "a user request attached instances"); err != nil {
		return nil, err
	}
	g.reasons = nil
	for i, id := range ids {
		m := &member{id: id, state: statePending, weight: 1, born: s.now(), asked: true, ec2: ec2Pending}
		if all := s.inOrder(g); len(all) > 0 {
			m.at = all[i%len(all)]
		}
		m.launch = s.begin(g, "Attaching an existing EC2 instance: "+id, fmt.Sprintf("At %s an instance was attached in response to a user request.", causeTime(s.now())), statusInProgress)
		m.launch.zone = m.at.zone
		g.members = append(g.members, m)
		s.move(g, m, statePending)
		m.asked = true // attaching asks no hook
	}
	return nil, nil
}

func (s *Service) setProtection(in *node) (*node, error) {
	_, all, err := s.those(in)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if strings.HasPrefix(m.state, warmed) || m.ending() {
			return nil, invalid(fmt.Sprintf("The instance %s is not in InService or EnteringStandby or Standby.", m.id))
		}
		m.protected = in.str("ProtectedFromScaleIn") == "true"
	}
	return nil, nil
}

// terminateInstance ends members at a user's wish, protected ones too.
func (s *Service) terminateInstance(in *node) (*node, error) {
	ids := in.texts("InstanceIds")
	if len(ids) == 0 {
		ids = []string{in.str("InstanceId")}
	}
	acts := list()
	for _, id := range ids {
		g, m, err := s.instance(id)
		if err != nil {
			return nil, err
		}
		if m.ending() && m.state != stateRetained {
			return nil, &refusal{"ScalingActivityInProgress", "the instance " + id + " is already being terminated", 400}
		}
		reason := fmt.Sprintf("At %s instance %s was taken out of service in response to a user request", causeTime(s.now()), id)
		if in.str("ShouldDecrementDesiredCapacity") == "true" && m.lives() {
			if err := s.resize(g, -m.weight, "a user request terminated an instance"); err != nil {
				return nil, err
			}
			g.reasons = nil
			reason += fmt.Sprintf(", shrinking the capacity from %d to %d", g.want()+m.weight, g.want())
		}
		s.dismiss(g, m, reason+".")
		acts.items = append(acts.items, m.end.describe(g))
	}
	out := fields("Activities", acts)
	if len(acts.items) == 1 {
		out.set("Activity", acts.items[0])
	}
	return out, nil
}

// setDesired refuses what is outside the bounds, and, when told to honour it,
// what comes before the cooldown is over.
func (s *Service) setDesired(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	n, was := in.number("DesiredCapacity"), g.number("DesiredCapacity")
	if n < g.number("MinSize") {
		return nil, invalid(fmt.Sprintf("New SetDesiredCapacity value %d is below min value %s for the AutoScalingGroup.", n, g.str("MinSize")))
	}
	if n > g.number("MaxSize") {
		return nil, invalid(fmt.Sprintf("New SetDesiredCapacity value %d is above max value %s for the AutoScalingGroup.", n, g.str("MaxSize")))
	}
	if in.str("HonorCooldown") == "true" {
		if err := s.cooling(g); err != nil {
			return nil, err
		}
		s.cool(g, g.number("DefaultCooldown"))
	}
	g.set("DesiredCapacity", text(itoa(n)))
	g.why(fmt.Sprintf("At %s a user request explicitly set group desired capacity changing the desired capacity from %d to %d.", causeTime(s.now()), was, n))
	return nil, nil
}

func (s *Service) describeInstances(in *node) (*node, error) {
	ids := in.texts("InstanceIds")
	var found []*node
	for _, g := range sorted(s.groups) {
		for _, m := range g.members {
			if m.id != "" && (len(ids) == 0 || slices.Contains(ids, m.id)) {
				n := m.describe()
				n.set("AutoScalingGroupName", text(g.name))
				n.set("HealthStatus", text(strings.ToUpper(m.health())))
				found = append(found, n)
			}
		}
	}
	return page("AutoScalingInstances", found, in, 50)
}
