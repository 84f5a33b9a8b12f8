package asg

import (
	"fmt"
	"slices"
)

// stepRefresh brings the group's refresh on.
func (s *Service) stepRefresh(g *group) {
	r := g.refreshing()
	if r == nil || g.suspended("InstanceRefresh") {
		return
	}
	switch r.status {
	case refreshPending:
		r.status, s.moved = refreshRunning, true
	case refreshCancelling:
		if !slices.ContainsFunc(g.members, func(m *member) bool { return m.busy || m.in(statePending) || m.ending() }) {
			s.conclude(g, r, "Cancelled", "Cancelled due to user request.")
		}
	case refreshBaking:
		if name := s.alarming(r); name != "" {
			s.fail(g, r, "Alarm "+name+" went into the ALARM state.")
		} else if !s.now().Before(r.until) {
			s.succeed(g, r)
		}
	case refreshRunning, refreshRolling:
		s.stepRunning(g, r)
	}
}

// stepRunning looks how far r is, and replaces the next.
func (s *Service) stepRunning(g *group, r *refresh) {
	if name := s.alarming(r); name != "" && r.back == nil {
		s.fail(g, r, "Alarm "+name+" went into the ALARM state.")
		return
	}
	left := s.left(g, r)
	if n := r.total - left; n > r.most {
		r.most, r.progress = n, s.now()
	}
	switch {
	case left == 0 && r.seconds("BakeTime") > 0 && r.back == nil:
		r.status, r.reason, r.until, s.moved = refreshBaking, "", s.now().Add(r.seconds("BakeTime")), true
	case left == 0:
		s.succeed(g, r)
	case s.atCheckpoint(r):
	case !s.now().Before(r.progress.Add(patience)):
		s.fail(g, r, fmt.Sprintf("The instance refresh made no progress for an hour. %s", r.reason))
	case g.suspended("Launch") || g.suspended("Terminate"):
		r.reason = "Waiting for the processes Launch and Terminate to be resumed."
	default:
		r.reason = s.waitingFor(g, r)
		s.replaceNext(g, r)
	}
}

// atCheckpoint waits where r has to.
func (s *Service) atCheckpoint(r *refresh) bool {
	if s.now().Before(r.until) {
		return true
	}
	points := r.preferences.texts("CheckpointPercentages")
	if r.passed >= len(points) || r.most*100/r.total < number(points[r.passed]) || number(points[r.passed]) == 100 {
		return false
	}
	r.until = s.now().Add(r.seconds("CheckpointDelay"))
	r.reason = fmt.Sprintf("Checkpoint of %s%% reached. The instance refresh goes on at %s.", points[r.passed], stamp(r.until))
	r.passed++
	r.progress, s.moved = r.until, true
	return true
}

// alarming names an alarm of r's that is in ALARM; "" when none is.
func (s *Service) alarming(r *refresh) string {
	for _, name := range r.preferences.get("AlarmSpecification").texts("Alarms") {
		if s.watch.State(name) == "ALARM" {
			return name
		}
	}
	return ""
}

// replaceNext takes out, or lets leave, as many members as r's bounds allow.
func (s *Service) replaceNext(g *group, r *refresh) {
	s.giveUp(g, r)
	s.refreshPool(g, r)
	next, waits := r.next(g)
	if len(next) == 0 {
		if waits != "" {
			r.reason = waits
		}
		return
	}
	out, up := s.bounds(g, r)
	next = next[:min(len(next), max(out, up), r.allowed(g))]
	what := "an instance was taken out of service in response to an instance refresh"
	for _, m := range next {
		s.moved = true
		if up > 0 && m.state == stateInService {
			s.leave(m, what)
		} else {
			s.dismiss(g, m, s.because(nil, what+"."))
		}
		if m.state != stateStandby {
			g.owed = append(g.owed, "an instance was started in response to an instance refresh.")
		}
	}
}

// giveUp ends members that r replaces and that never came into service: they
// serve nobody.
func (s *Service) giveUp(g *group, r *refresh) {
	for _, m := range g.members {
		if r.old[m] && m.in(statePending) && m.id != "" && !m.busy {
			s.discard(g, m, "an instance was taken out of service in response to an instance refresh.")
		}
	}
}

// refreshPool ends what r replaces in the warm pool, which serves nobody; the
// pool fills up with what r brings.
func (s *Service) refreshPool(g *group, r *refresh) {
	for _, m := range g.members {
		if r.old[m] && m.pooledUp() && m.id != "" && !m.busy {
			s.dismiss(g, m, s.because(nil, "an instance was taken out of the warm pool in response to an instance refresh."))
		}
	}
}

// next lists the members that r may replace now, and what it waits for when
// some cannot be.
func (r *refresh) next(g *group) (next []*member, waits string) {
	for _, m := range g.members {
		switch {
		case !r.old[m] || !r.wanted(m) || m.leaving != "" || m.busy:
		case m.protected && r.preferences.str("ScaleInProtectedInstances") == "Wait":
			waits = fmt.Sprintf("Waiting for scale-in protection to be removed. For example: %s is protected.", m.id)
		case m.state == stateStandby && r.preferences.str("StandbyInstances") == "Wait":
			waits = fmt.Sprintf("Waiting for instances to leave Standby. For example: %s is in Standby.", m.id)
		case m.state == stateInService || m.state == stateStandby:
			next = append(next, m)
		}
	}
	return next, waits
}

// bounds says how many members may be taken out at once, or how many new ones
// may be added first. One is always replaced when everything is well, as the
// bounds would stop a small group for ever otherwise.
func (s *Service) bounds(g *group, r *refresh) (out, up int) {
	want, warm := g.want(), r.seconds("InstanceWarmup")
	healthy := g.weigh(func(m *member) bool {
		return m.state == stateInService && m.ill == "" && m.leaving == "" && (r.old[m] || !s.now().Before(m.since.Add(warm)))
	})
	live := g.weigh((*member).lives)
	least := (want*r.percent("MinHealthyPercentage") + 99) / 100
	out = max(0, healthy-least)
	steady := healthy >= want && live == want
	if !r.preferences.has("MaxHealthyPercentage") {
		if out == 0 && steady {
			out = 1
		}
		return out, 0
	}
	most := want * r.percent("MaxHealthyPercentage") / 100
	leaving := g.weigh(func(m *member) bool { return m.leaving != "" })
	up = max(0, most-want-leaving)
	if most == want && out == 0 && steady {
		up = 1
	}
	if up > 0 && healthy < least {
		up = 0
	}
	return out, up
}

// allowed is how many may go before the next checkpoint.
func (r *refresh) allowed(g *group) int {
	points := r.preferences.texts("CheckpointPercentages")
	if r.passed >= len(points) {
		return r.total
	}
	begun := r.total
	for _, m := range g.members {
		if r.old[m] && r.wanted(m) && m.leaving == "" {
			begun--
		}
	}
	return max(0, (r.total*number(points[r.passed])+99)/100-begun)
}
