package asg

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// advance brings groups one step on, and first what fires by the clock, when
// it has moved. It returns what must be done to machines for the next step,
// and whether anything moved without them.
func (s *Service) advance(groups []*group, clock bool) (work []effect, moved bool) {
	s.moved = false
	if clock {
		s.fireAll()
		s.alarmed()
	}
	for _, g := range groups {
		for _, m := range slices.Clone(g.members) {
			work = append(work, s.step(g, m)...)
		}
		s.stepRefresh(g)
		work = append(work, s.reconcile(g)...)
		if g.deleting && len(g.members) == 0 {
			s.forgetGroup(g)
		}
	}
	return work, s.moved
}

// weigh adds up the weights of the members that fit.
func (g *group) weigh(fits func(*member) bool) (n int) {
	for _, m := range g.members {
		if fits(m) {
			n += m.weight
		}
	}
	return n
}

// want is the capacity that the group is to have.
func (g *group) want() int {
	if g.deleting {
		return 0
	}
	return g.number("DesiredCapacity")
}

// reconcile launches what is missing and ends what is too many.
func (s *Service) reconcile(g *group) []effect {
	if g.deleting {
		s.endAll(g)
		return nil
	}
	s.rebalance(g)
	want, have := g.want(), g.weigh((*member).counts)
	work := s.grow(g, have, want)
	s.replaceLeaving(g, want)
	if have > want && !g.suspended("Terminate") {
		s.shrink(g, have, want)
	}
	if have == want {
		g.reasons, g.stuck = nil, false
	}
	return append(work, s.keepPool(g)...)
}

// endAll ends every member of a group that is being deleted.
func (s *Service) endAll(g *group) {
	for _, m := range g.members {
		if m.id != "" && !m.ending() && !g.suspended("Terminate") {
			s.dismiss(g, m, s.because(nil, "a user request deleted the AutoScalingGroup."))
		}
	}
}

// room is how far a group may stand above its desired capacity while one
// member replaces another: what its maintenance policy grants, or a tenth, and
// always one.
func (g *group) room(want int) int {
	most := 110
	if p := g.get("InstanceMaintenancePolicy"); p.number("MaxHealthyPercentage") >= 100 {
		most = p.number("MaxHealthyPercentage")
	}
	return max(1, want*(most-100)/100)
}

// grow launches up to want, from the warm pool first.
func (s *Service) grow(g *group, have, want int) []effect {
	if g.suspended("Launch") {
		return nil
	}
	var work []effect
	live, limit := g.weigh((*member).lives), want+max(g.room(want), g.refreshRoom())
	for now := have; now < want && (live < limit || now == live); {
		if m := s.draw(g, have, want); m != nil {
			now, live = now+m.weight, live+m.weight
			continue
		}
		if s.now().Before(g.retry) {
			break
		}
		m, e := s.launch(g, s.growth(g, have, want), false)
		work = append(work, e)
		now, live = now+m.weight, live+m.weight
	}
	return work
}

// growth words why a member is launched.
func (s *Service) growth(g *group, have, want int) string {
	if len(g.owed) > 0 {
		what := g.owed[0]
		g.owed = g.owed[1:]
		return s.because(nil, what)
	}
	return s.because(g, fmt.Sprintf("an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.", have, want))
}

// replaceLeaving ends members that are to leave, as far as others serve.
func (s *Service) replaceLeaving(g *group, want int) {
	if g.suspended("Terminate") {
		return
	}
	warm := g.refreshWarmup()
	serving := g.weigh(func(m *member) bool {
		return m.state == stateInService && m.ill == "" && (m.leaving != "" || !s.now().Before(m.since.Add(warm)))
	})
	for _, m := range slices.Clone(g.members) {
		own := m.weight // what goes with m of what serves
		if m.ill != "" {
			own = 0
		}
		if m.leaving != "" && m.state == stateInService && serving-own >= want {
			serving -= own
			s.dismiss(g, m, s.because(nil, m.leaving+"."))
		}
	}
}

// shrink ends the members that the termination policies choose.
func (s *Service) shrink(g *group, have, want int) {
	for now := have; now > want; {
		m := s.victim(g, now-want)
		if m == nil {
			s.sayStuck(g)
			return
		}
		now -= m.weight
		cause := s.because(g, fmt.Sprintf("an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from %d to %d.", have, want))
		m.pooled = m.state == stateInService && g.pool.get("InstanceReusePolicy").str("ReuseOnScaleIn") == "true"
		s.dismiss(g, m, cause+fmt.Sprintf(" At %s instance %s was selected for termination.", causeTime(s.now()), m.id))
	}
}

// sayStuck writes down, once, that everybody is protected.
func (s *Service) sayStuck(g *group) {
	if g.stuck || !slices.ContainsFunc(g.members, func(m *member) bool { return m.protected && m.counts() }) {
		return
	}
	g.stuck = true
	a := s.begin(g, "Terminating EC2 instance", s.because(g, "a scale in was begun."), statusInProgress)
	s.finish(a, statusCancelled, "Could not scale to desired capacity because all remaining instances are protected from scale-in.")
}

// places are where instances of g may be launched.
func (s *Service) places(g *group) []place {
	var out []place
	for _, subnet := range g.subnets() {
		out = append(out, place{s.zoneOf(g.node, subnet), subnet})
	}
	if len(out) == 0 {
		for _, zone := range g.texts("AvailabilityZones") {
			out = append(out, place{zone: zone})
		}
	}
	if len(out) == 0 { // only the ids of zones are known
		for _, id := range g.texts("AvailabilityZoneIds") {
			out = append(out, place{zone: "us-east-1" + string(rune('a'-1)+rune(id[len(id)-1]-'0'))})
		}
	}
	return out
}

// inOrder sorts places: those without recent trouble first, then the one whose
// zone has the fewest members.
func (s *Service) inOrder(g *group) []place {
	all := s.places(g)
	slices.SortStableFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(flag(s.troubled(g, a)), flag(s.troubled(g, b))), cmp.Compare(g.crowd(a.zone), g.crowd(b.zone)))
	})
	return all
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// trouble is how long a place that had no capacity is a last resort.
const trouble = 5 * time.Minute

func (s *Service) troubled(g *group, p place) bool {
	t, ok := g.troubled[p]
	return ok && s.now().Before(t.Add(trouble))
}

// crowd counts the members of a zone.
func (g *group) crowd(zone string) int {
	return g.weigh(func(m *member) bool { return m.counts() && m.at.zone == zone })
}

// rebalance lets one member of the fullest zone leave for the emptiest, and
// those of zones that are no longer the group's.
func (s *Service) rebalance(g *group) {
	all := s.inOrder(g)
	if g.suspended("AZRebalance") || g.suspended("Launch") || g.suspended("Terminate") || len(all) == 0 || s.troubled(g, all[0]) ||
		g.weigh((*member).counts) != g.want() || slices.ContainsFunc(g.members, func(m *member) bool { return m.leaving != "" || m.busy }) {
		return
	}
	for _, m := range g.members {
		foreign := !slices.ContainsFunc(all, func(p place) bool { return p.zone == m.at.zone })
		if m.state == stateInService && !m.protected && (foreign || g.crowd(m.at.zone)-g.crowd(all[0].zone) >= 2*m.weight) {
			s.leave(m, "an instance was taken out of service in response to rebalancing the Availability Zones")
			return
		}
	}
}
