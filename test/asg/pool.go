package asg

import (
	"fmt"
	"slices"
	"strings"
)

// poolState is where members of the warm pool rest.
func (g *group) poolState() string {
	if state := g.pool.str("PoolState"); state != "" {
		return state
	}
	return "Stopped"
}

// pooledUp reports whether m is in the warm pool and not on its way out.
func (m *member) pooledUp() bool { return strings.HasPrefix(m.state, warmed) && !m.ending() }

// resting reports whether m may be drawn from the pool.
func (m *member) resting() bool {
	return strings.HasPrefix(m.state, warmed) && slices.Contains([]string{"Stopped", "Running", "Hibernated"}, strings.TrimPrefix(m.state, warmed))
}

// poolSize is how many members the warm pool is to have (PutWarmPool): what is
// missing to the group's maximum, or to the prepared capacity, at least MinSize.
func (g *group) poolSize() int {
	if g.pool == nil || g.poolEnding || g.deleting {
		return 0
	}
	most := g.number("MaxSize")
	if n := g.pool.number("MaxGroupPreparedCapacity"); g.pool.has("MaxGroupPreparedCapacity") && n >= 0 {
		most = n
	}
	return max(g.pool.number("MinSize"), most-g.want())
}

// keepPool brings the warm pool to its size.
func (s *Service) keepPool(g *group) []effect {
	have := g.weigh(func(m *member) bool { return m.pooledUp() || m.pooled && m.in(stateTerminating) })
	want := g.poolSize()
	for _, m := range slices.Clone(g.members) {
		if have > want && m.pooledUp() && m.id != "" && !m.busy && !g.suspended("Terminate") {
			have -= m.weight
			s.dismiss(g, m, s.because(nil, fmt.Sprintf("an instance was taken out of the warm pool, which is to have %d.", want)))
		}
	}
	if g.pool != nil && g.poolEnding && !slices.ContainsFunc(g.members, func(m *member) bool { return strings.HasPrefix(m.state, warmed) }) {
		g.pool, g.poolEnding, s.moved = nil, false, true
	}
	if g.suspended("Launch") || s.now().Before(g.retry) {
		return nil
	}
	var work []effect
	for have < want {
		m, e := s.launch(g, s.because(nil, fmt.Sprintf("an instance was started for the warm pool, which is to have %d.", want)), true)
		work = append(work, e)
		have += m.weight
	}
	return work
}

// draw takes a member from the warm pool into the group; nil when none rests there.
func (s *Service) draw(g *group, have, want int) *member {
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.resting() && !m.busy })
	if i < 0 {
		return nil
	}
	m := g.members[i]
	m.pooled, m.ill = true, ""
	m.launch = s.begin(g, "Launching a new EC2 instance from warm pool: "+m.id, s.growth(g, have, want), statusPreService)
	m.launch.zone, m.launch.subnet = m.at.zone, m.at.subnet
	m.protected = g.str("NewInstancesProtectedFromScaleIn") == "true"
	s.move(g, m, statePending)
	return m
}

// stepPool brings a member of the warm pool on.
func (s *Service) stepPool(g *group, m *member) []effect {
	phase := warmed + statePending
	rest := g.poolState()
	switch {
	case m.in(phase) && (m.ec2 == gone || m.ec2 == ec2Terminated || m.ec2 == ec2ShuttingDown), m.resting() && m.ec2 == gone:
		s.finish(m.launch, statusFailed, "The instance is "+m.ec2+".")
		s.dismiss(g, m, s.because(nil, "an instance was taken out of the warm pool in response to an EC2 health check."))
		m.asked = true
	case m.state == phase && !m.asked && s.hold(g, m, onLaunch):
	case m.state == phase+wait4:
		switch s.settle(m) {
		case abandon:
			s.finish(m.launch, statusCancelled, m.abandoned())
			s.dismiss(g, m, s.because(nil, "an instance was taken out of the warm pool in response to a launch lifecycle hook that was abandoned."))
			m.asked = true
		case goOn:
			s.move(g, m, phase+proceed)
		}
	case m.in(phase) && (rest == "Running" && m.ec2 == ec2Running || rest != "Running" && m.ec2 == ec2Stopped):
		m.pooled = false
		s.finish(m.launch, statusSuccessful, "")
		s.move(g, m, warmed+rest)
	case m.in(phase) && rest != "Running" && m.ec2 == ec2Running && !m.sent:
		return []effect{s.call(m, s.machines.Stop)}
	}
	return nil
}

func (s *Service) putPool(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	if g.poolEnding {
		return nil, &refusal{"ResourceContention", "the warm pool is being deleted", 400}
	}
	if g.get("MixedInstancesPolicy").get("InstancesDistribution") != nil && g.onDemand(100) < 100 {
		return nil, invalid("You can't add a warm pool to an Auto Scaling group that has a mixed instances policy with Spot Instances.")
	}
	pool := fields("MinSize", "0", "PoolState", "Stopped")
	if g.pool != nil {
		pool = g.pool.copy()
	}
	pool.merge(in)
	pool.drop("AutoScalingGroupName")
	if most := pool.number("MaxGroupPreparedCapacity"); pool.number("MinSize") < 0 || most < -1 || most >= 0 && pool.has("MaxGroupPreparedCapacity") && most < pool.number("MinSize") {
		return nil, invalid("MinSize and MaxGroupPreparedCapacity do not fit")
	}
	if pool.str("MaxGroupPreparedCapacity") == "-1" {
		pool.drop("MaxGroupPreparedCapacity")
	}
	g.pool = pool
	return nil, nil
}

// configuration is the pool as describes show it.
func (g *group) configuration() *node {
	if g.pool == nil {
		return nil
	}
	n := g.pool.copy()
	if g.poolEnding {
		n.set("Status", text("PendingDelete"))
	}
	return n
}

func (s *Service) describePool(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	var found []*node
	for _, m := range g.members {
		if strings.HasPrefix(m.state, warmed) && m.id != "" {
			found = append(found, m.describe())
		}
	}
	out, err := page("Instances", found, in, 50)
	if c := g.configuration(); err == nil && c != nil {
		out.set("WarmPoolConfiguration", c)
	}
	return out, err
}

func (s *Service) deletePool(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	if g.pool == nil {
		return nil, invalid("No warm pool found for Auto Scaling group " + g.name)
	}
	if in.str("ForceDelete") != "true" && slices.ContainsFunc(g.members, func(m *member) bool { return m.in(warmed+statePending) || m.in(warmed+stateTerminating) }) {
		return nil, &refusal{"ScalingActivityInProgress", "the warm pool has activities in progress", 400}
	}
	g.poolEnding = true
	return nil, nil
}
