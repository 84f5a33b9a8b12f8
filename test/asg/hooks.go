package asg

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Transitions of hooks, and what a hook may answer.
const (
	onLaunch = "autoscaling:EC2_INSTANCE_LAUNCHING"
	onEnd    = "autoscaling:EC2_INSTANCE_TERMINATING"
	goOn     = "CONTINUE"
	abandon  = "ABANDON"
)

// globalTimeout bounds an action however often it sends heartbeats: 48 hours
// or 100 heartbeats, whichever is shorter (PutLifecycleHook).
func globalTimeout(heartbeat int) int { return min(172800, 100*heartbeat) }

// wait is one lifecycle action: a hook that holds a member.
type wait struct {
	hook, token   string
	heartbeat     time.Duration
	until, global time.Time
	otherwise     string // the result when time runs out
	result        string // "" while it waits
	timedOut      bool
}

// waiting is the first action that m waits for; nil when there is none.
func (m *member) waiting() *wait {
	for _, w := range m.waits {
		if w.result == "" {
			return w
		}
	}
	return nil
}

// hold stops m for the group's hooks of a transition, all at once. It reports
// whether there are any.
func (s *Service) hold(g *group, m *member, transition string) bool {
	m.asked = true
	for _, k := range slices.Sorted(maps.Keys(s.hooks)) {
		h := s.hooks[k]
		if h.str("AutoScalingGroupName") != g.name || h.str("LifecycleTransition") != transition {
			continue
		}
		beat := time.Duration(h.number("HeartbeatTimeout")) * time.Second
		w := &wait{hook: h.str("LifecycleHookName"), token: s.uuid(), heartbeat: beat, otherwise: h.str("DefaultResult"), until: s.now().Add(beat),
			global: s.now().Add(time.Duration(globalTimeout(h.number("HeartbeatTimeout"))) * time.Second)}
		m.waits = append(m.waits, w)
	}
	if len(m.waits) == 0 {
		return false
	}
	s.move(g, m, m.state+wait4)
	for _, a := range []*activity{m.launch, m.end} {
		if a != nil && a.end.IsZero() {
			a.status = statusMidAction
		}
	}
	return true
}

// settle lets actions time out and says what came of all of them: "" while one
// waits. One that is abandoned ends the others.
func (s *Service) settle(m *member) string {
	result := goOn
	for _, w := range m.waits {
		if w.result == "" && (!s.now().Before(w.until) || !s.now().Before(w.global)) {
			w.result, w.timedOut = w.otherwise, true
		}
		if w.result == abandon {
			return abandon
		}
		if w.result == "" {
			result = ""
		}
	}
	return result
}

// action finds the waiting action that a call names, by token or by instance.
func (s *Service) action(in *node) (*group, *member, *wait, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, nil, nil, err
	}
	if s.hooks[key(g.name, in.str("LifecycleHookName"))] == nil {
		return nil, nil, nil, invalid(fmt.Sprintf("No Lifecycle Hook found with name %s for Auto Scaling group %s", in.str("LifecycleHookName"), g.name))
	}
	for _, m := range g.members {
		for _, w := range m.waits {
			if w.hook == in.str("LifecycleHookName") && w.result == "" && (w.token == in.str("LifecycleActionToken") || m.id == in.str("InstanceId") && in.has("InstanceId")) {
				return g, m, w, nil
			}
		}
	}
	if in.has("InstanceId") {
		return nil, nil, nil, invalid("No active Lifecycle Action found with instance ID " + in.str("InstanceId"))
	}
	return nil, nil, nil, invalid("No active Lifecycle Action found with token " + in.str("LifecycleActionToken"))
}

func (s *Service) completeAction(in *node) (*node, error) {
	_, _, w, err := s.action(in)
	if err != nil {
		return nil, err
	}
	result := in.str("LifecycleActionResult")
	if result != goOn && result != abandon {
		return nil, invalid(fmt.Sprintf("Lifecycle action result %q is neither CONTINUE nor ABANDON", result))
	}
	w.result = result
	return nil, nil
}

func (s *Service) heartbeat(in *node) (*node, error) {
	g, m, w, err := s.action(in)
	if err != nil {
		return nil, err
	}
	w.until = s.now().Add(w.heartbeat)
	s.news = append(s.news, Change{Group: g.name, Instance: m.id, State: m.state, Target: m.target(g), Hook: w.hook, Token: w.token, Until: w.until})
	return nil, nil
}

// abandoned says in an activity which action ended m.
func (m *member) abandoned() string {
	for _, w := range m.waits {
		if w.result == abandon {
			how := "was completed with ABANDON"
			if w.timedOut {
				how = "timed out, and its default result is ABANDON"
			}
			return fmt.Sprintf("Instance failed to complete user's Lifecycle Action: Lifecycle Action with token %s %s", w.token, how)
		}
	}
	return ""
}
