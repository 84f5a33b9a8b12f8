package asg

import (
	"slices"
	"strings"
	"time"
)

// group is one Auto Scaling group: the fields as they were sent, and what
// lives by them.
type group struct {
	*node
	name       string
	members    []*member
	activities []*activity // newest first
	deleting   bool        // ends when its last member has
	reasons    []string    // why the desired capacity is what it is, since it was last met
	retry      time.Time   // no launch before; after failed ones
	failures   int         // launches that failed in a row
	stuck      bool        // that scale-in finds nobody was said
	troubled   map[place]time.Time
	cooldown   time.Time
	owed       []string   // why the next launches are made, when it is not the capacity
	refreshes  []*refresh // newest first
	pool       *node      // the warm pool's configuration; nil without one
	poolEnding bool
	sampled    time.Time // when its metrics were put last
}

// find returns a member by its instance id.
func (g *group) find(id string) *member {
	if i := slices.IndexFunc(g.members, func(m *member) bool { return m.id == id }); id != "" && i >= 0 {
		return g.members[i]
	}
	return nil
}

// why remembers a reason for the desired capacity.
func (g *group) why(reason string) { g.reasons = append(g.reasons, reason) }

func (g *group) suspended(process string) bool {
	return slices.ContainsFunc(g.all("SuspendedProcesses"), func(n *node) bool { return n.str("ProcessName") == process })
}

// place is where an instance can be launched.
type place struct{ zone, subnet string }

// member is an instance of a group, from the moment it is decided on.
type member struct {
	id        string // "" until it is launched
	token     string
	state     string // lifecycle state
	at        place
	kind      string // instance type; "" when only the template knows
	spot      bool
	weight    int
	weighted  bool     // weight was asked for
	template  Template // what it was launched from
	config    string   // or the launch configuration
	protected bool
	ill       string    // why it is unhealthy, as causes say it; "" when it is not
	leaving   string    // why it goes once another has taken its place; "" when it stays
	ec2       string    // state of the machine when it was last seen
	born      time.Time // when it was launched
	since     time.Time // in service
	busy      bool      // a call to Machines is on its way
	sent      bool      // the call that its state needs was made
	failed    time.Time // when that call failed; zero when it did not
	asked     bool      // hooks of its transition were asked
	pooled    bool      // it is on its way to the warm pool
	waits     []*wait
	launch    *activity // that brings it in
	end       *activity // that takes it out
}

// Lifecycle states, see "Amazon EC2 Auto Scaling instance lifecycle" in the
// user guide.
const (
	statePending     = "Pending"
	stateInService   = "InService"
	stateTerminating = "Terminating"
	stateRetained    = "Terminating:Retained"
	stateEntering    = "EnteringStandby"
	stateStandby     = "Standby"
	stateDetaching   = "Detaching"
	stateDetached    = "Detached"

	warmed  = "Warmed:"
	wait4   = ":Wait"
	proceed = ":Proceed"
)

// in reports whether m is in a phase (Pending, Terminating, …), hooks included.
func (m *member) in(phase string) bool {
	return m.state == phase || m.state == phase+wait4 || m.state == phase+proceed
}

// lives reports whether m is in service or on its way there.
func (m *member) lives() bool { return m.state == stateInService || m.in(statePending) }

// counts reports whether m counts towards the desired capacity.
func (m *member) counts() bool { return m.lives() && m.leaving == "" }

func (m *member) ending() bool {
	return m.in(stateTerminating) || m.in(warmed+stateTerminating) || m.state == stateRetained
}

// target is what the instance is on its way to, as its metadata says it.
func (m *member) target(g *group) string {
	switch {
	case m.in(stateTerminating) && m.pooled, m.in(warmed + statePending):
		return warmed + g.poolState()
	case m.in(warmed + stateTerminating):
		return warmed + "Terminated"
	case m.ending():
		return "Terminated"
	case m.state == stateEntering, m.state == stateStandby:
		return stateStandby
	case m.state == stateDetaching, m.state == stateDetached:
		return stateDetached
	case strings.HasPrefix(m.state, warmed):
		return m.state
	}
	return stateInService
}

// move brings m to a state and tells it.
func (s *Service) move(g *group, m *member, state string) {
	if !strings.HasSuffix(state, wait4) && !strings.HasSuffix(state, proceed) {
		m.asked, m.waits = false, nil
	}
	m.state, m.sent, m.failed, s.moved = state, false, time.Time{}, true
	if state == stateInService {
		m.since = s.now()
	}
	if m.id == "" {
		return
	}
	c := Change{Group: g.name, Instance: m.id, State: state, Target: m.target(g)}
	if w := m.waiting(); w != nil {
		c.Hook, c.Token, c.Until = w.hook, w.token, w.until
	}
	s.news = append(s.news, c)
}

// expel takes m out of its group.
func (s *Service) expel(g *group, m *member) {
	s.moved = true
	g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
}

// health is the word for m's health.
func (m *member) health() string {
	if m.ill != "" {
		return "Unhealthy"
	}
	return "Healthy"
}

// describe renders m as groups list it.
func (m *member) describe() *node {
	n := fields("InstanceId", m.id, "AvailabilityZone", m.at.zone, "LifecycleState", m.state, "HealthStatus", m.health(), "ProtectedFromScaleIn", m.protected)
	if m.kind != "" {
		n.set("InstanceType", text(m.kind))
	}
	if m.weighted {
		n.set("WeightedCapacity", text(itoa(m.weight)))
	}
	if m.config != "" {
		n.set("LaunchConfigurationName", text(m.config))
	} else if m.template.ID != "" {
		n.set("LaunchTemplate", fields("LaunchTemplateId", m.template.ID, "LaunchTemplateName", m.template.Name, "Version", m.template.Version))
	}
	return n
}
