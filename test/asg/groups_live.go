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
	reasons    []string    // why the desired capacity is what it is, since the last launch or end
	retry      time.Time   // no launch before; after failed ones
	failures   int         // launches that failed in a row
}

// why remembers a reason for the desired capacity.
func (g *group) why(reason string) { g.reasons = append(g.reasons, reason) }

func (g *group) suspended(process string) bool {
	return slices.ContainsFunc(g.all("SuspendedProcesses"), func(n *node) bool { return n.str("ProcessName") == process })
}

// member is an instance of a group, from the moment it is decided on.
type member struct {
	id        string // "" until it is launched
	token     string
	state     string // lifecycle state
	zone      string
	kind      string   // instance type; "" when only the template knows
	template  Template // what it was launched from
	config    string   // or the launch configuration
	protected bool
	ill       string // why it is unhealthy; "" when it is not
	ec2       string // state of the machine when it was last seen
	since     time.Time
	busy      bool // a call to Machines is on its way
	launch    *activity
	end       *activity
}

// lives reports whether m counts towards the desired capacity.
func (m *member) lives() bool {
	return m.state == stateInService || m.state == statePending || strings.HasPrefix(m.state, statePending+":")
}

func (m *member) ending() bool { return strings.HasPrefix(m.state, stateTerminating) }

// Lifecycle states, see "Amazon EC2 Auto Scaling instance lifecycle" in the
// user guide.
const (
	statePending     = "Pending"
	stateInService   = "InService"
	stateTerminating = "Terminating"
)

// target is what the instance is on its way to, as its metadata says it.
func (m *member) target() string {
	if m.ending() {
		return "Terminated"
	}
	return stateInService
}

// move brings m to a state and tells it.
func (s *Service) move(g *group, m *member, state string) {
	m.state, s.moved = state, true
	if state == stateInService {
		m.since = s.now()
	}
	if m.id != "" {
		s.news = append(s.news, Change{Group: g.name, Instance: m.id, State: state, Target: m.target()})
	}
}

// describe renders m as groups list it.
func (m *member) describe() *node {
	health := "Healthy"
	if m.ill != "" {
		health = "Unhealthy"
	}
	n := fields("InstanceId", m.id, "AvailabilityZone", m.zone, "LifecycleState", m.state, "HealthStatus", health, "ProtectedFromScaleIn", m.protected)
	if m.kind != "" {
		n.set("InstanceType", text(m.kind))
	}
	if m.config != "" {
		n.set("LaunchConfigurationName", text(m.config))
	} else {
		n.set("LaunchTemplate", fields("LaunchTemplateId", m.template.ID, "LaunchTemplateName", m.template.Name, "Version", m.template.Version))
	}
	return n
}
