package asg

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Statuses of instance refreshes.
const (
	refreshPending    = "Pending"
	refreshRunning    = "InProgress"
	refreshBaking     = "Baking"
	refreshCancelling = "Cancelling"
	refreshRolling    = "RollbackInProgress"
)

// patience is how long a refresh waits without progress before it fails.
const patience = time.Hour

// refresh is one instance refresh of a group, or its way back.
type refresh struct {
	id             string
	desired        *node // configuration; nil when none was given
	preferences    *node // with their defaults
	status, reason string
	start, end     time.Time
	old            map[*member]bool // members to replace
	total          int              // of them at the start
	most           int              // most that were replaced so far
	progress       time.Time        // when that grew
	passed         int              // checkpoints
	until          time.Time        // of a checkpoint, or of the baking
	back           *node            // RollbackDetails; nil while it goes forward
	wentTo         int              // percentage when it turned back
	skipped        map[*member]bool // that matched at the start
	kept           int              // members in service that are not to be replaced
	shown          int              // percentage at its end
	shownLeft      int
}

// refreshing is the group's refresh that is under way; nil when none is.
func (g *group) refreshing() *refresh {
	if len(g.refreshes) > 0 && g.refreshes[0].end.IsZero() {
		return g.refreshes[0]
	}
	return nil
}

// config is what launches use instead of the group's own fields; nil is none.
func (r *refresh) config() *node {
	if r.status == refreshRunning || r.status == refreshBaking || r.status == refreshPending {
		return r.desired
	}
	return nil
}

func (r *refresh) percent(name string) int { return r.preferences.number(name) }

// seconds reads a preference in seconds.
func (r *refresh) seconds(name string) time.Duration {
	return time.Duration(r.preferences.number(name)) * time.Second
}

// refreshWarmup is how long a new member of a group under refresh must have
// served before it counts.
func (g *group) refreshWarmup() time.Duration {
	if r := g.refreshing(); r != nil {
		return r.seconds("InstanceWarmup")
	}
	return 0
}

// refreshRoom is how far a refresh may lift the group above its capacity.
func (g *group) refreshRoom() int {
	if r := g.refreshing(); r != nil && r.preferences.has("MaxHealthyPercentage") {
		return g.want() * (r.percent("MaxHealthyPercentage") - 100) / 100
	}
	return 0
}

// left counts the members that r has not replaced yet. What nobody has to
// wait for any more is done, even when the group shrank meanwhile.
func (s *Service) left(g *group, r *refresh) int {
	targets, warm, cold := 0, 0, 0
	for _, m := range g.members {
		switch {
		case r.old[m] && r.wanted(m), r.old[m] && m.pooledUp():
			targets++
		case r.old[m]:
		case m.state == stateInService && m.ill == "" && !s.now().Before(m.since.Add(r.seconds("InstanceWarmup"))):
			warm++
		case m.lives():
			cold++
		}
	}
	if targets == 0 && cold == 0 && g.weigh((*member).counts) >= g.want() {
		return 0
	}
	fresh := warm - r.kept
	return max(1, r.total-max(0, fresh))
}

// wanted reports whether m is one that r goes on to replace.
func (r *refresh) wanted(m *member) bool {
	switch {
	case m.ending(), m.state == stateDetaching:
		return false
	case m.protected && r.preferences.str("ScaleInProtectedInstances") == "Ignore":
		return false
	case m.state == stateStandby || m.state == stateEntering:
		return r.preferences.str("StandbyInstances") != "Ignore"
	}
	return m.lives()
}

// done is the percentage that is replaced, as describes show it: it falls
// again while a refresh goes back.
func (s *Service) done(g *group, r *refresh) (percent, left int) {
	if !r.end.IsZero() || r.total == 0 {
		return r.shown, r.shownLeft
	}
	left = s.left(g, r)
	percent = (r.total - left) * 100 / r.total
	if r.back != nil {
		return r.wentTo * (100 - percent) / 100, r.back.number("InstancesToUpdateOnRollback")
	}
	return percent, left
}

// conclude ends r.
func (s *Service) conclude(g *group, r *refresh, status, reason string) {
	r.shown, r.shownLeft = s.done(g, r)
	if status == "Successful" {
		r.shown, r.shownLeft = 100, 0
	}
	if status == "RollbackSuccessful" {
		r.shown = 0
	}
	r.status, r.reason, r.end, s.moved = status, reason, s.now(), true
	for _, m := range g.members {
		if r.old[m] {
			m.leaving = ""
		}
	}
}

// succeed makes the desired configuration the group's own.
func (s *Service) succeed(g *group, r *refresh) {
	if r.back != nil {
		s.conclude(g, r, "RollbackSuccessful", "")
		return
	}
	if r.desired != nil {
		n := g.copy()
		for _, name := range []string{"LaunchTemplate", "MixedInstancesPolicy", "LaunchConfigurationName"} {
			n.drop(name)
		}
		n.merge(r.desired)
		g.node = n
	}
	s.conclude(g, r, "Successful", "")
}

// fail ends r, or turns it back when that was asked for.
func (s *Service) fail(g *group, r *refresh, reason string) {
	switch {
	case r.back != nil:
		s.conclude(g, r, "RollbackFailed", reason)
	case r.preferences.str("AutoRollback") == "true":
		s.turnBack(g, r, reason)
	default:
		s.conclude(g, r, "Failed", reason)
	}
}

// turnBack begins to replace what r has launched.
func (s *Service) turnBack(g *group, r *refresh, reason string) {
	percent, left := s.done(g, r)
	r.back = fields("RollbackReason", reason, "RollbackStartTime", stamp(s.now()), "PercentageCompleteOnRollback", percent, "InstancesToUpdateOnRollback", left)
	r.wentTo, r.status, r.reason, s.moved = percent, refreshRolling, "", true
	fresh := map[*member]bool{}
	for _, m := range g.members {
		switch {
		case r.old[m]:
			m.leaving = ""
		case !r.skipped[m] && !m.ending():
			fresh[m] = true
		}
	}
	live := 0
	for m := range fresh {
		live += flag(!m.pooledUp())
	}
	r.old, r.total, r.most, r.progress, r.until = fresh, live, 0, s.now(), time.Time{}
	r.passed = len(r.preferences.all("CheckpointPercentages"))
	r.kept = s.serving(g, r)
}

// serving counts members in service that r does not replace.
func (s *Service) serving(g *group, r *refresh) (n int) {
	for _, m := range g.members {
		if m.state == stateInService && !r.old[m] {
			n++
		}
	}
	return n
}

// matches reports whether m already is what a configuration launches.
func (s *Service) fits(m *member, from *node) bool {
	return slices.ContainsFunc(s.overrides(from), func(c choice) bool {
		return c.unknown == nil && c.template.ID == m.template.ID && c.template.Version == m.template.Version && (c.kind == "" || c.kind == m.kind)
	})
}

// describe renders r.
func (s *Service) describeRefresh(g *group, r *refresh) *node {
	percent, left := s.done(g, r)
	n := fields("InstanceRefreshId", r.id, "AutoScalingGroupName", g.name, "Status", r.status, "StartTime", stamp(r.start), "PercentageComplete", percent,
		"InstancesToUpdate", left, "Preferences", r.preferences, "Strategy", "Rolling")
	if r.reason != "" {
		n.set("StatusReason", text(r.reason))
	}
	if !r.end.IsZero() {
		n.set("EndTime", text(stamp(r.end)))
	}
	if r.desired != nil {
		n.set("DesiredConfiguration", r.desired)
	}
	if r.back != nil {
		n.set("RollbackDetails", r.back)
	}
	if g.pool != nil {
		n.set("ProgressDetails", fields("LivePoolProgress", fields("PercentageComplete", percent, "InstancesToUpdate", left)))
	}
	return n
}

func (s *Service) describeRefreshes(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	var found []*node
	for _, r := range g.refreshes {
		if ids := in.texts("InstanceRefreshIds"); len(ids) == 0 || slices.Contains(ids, r.id) {
			found = append(found, s.describeRefresh(g, r))
		}
	}
	return page("InstanceRefreshes", found, in, 50)
}

// numeric reports whether no template of a configuration is at $Latest or $Default.
func numeric(from *node) bool {
	return !slices.ContainsFunc(refsIn(from), func(ref TemplateRef) bool {
		_, err := strconv.Atoi(ref.Version)
		return err != nil
	})
}

// waiting says what a refresh waits for.
func (s *Service) waitingFor(g *group, r *refresh) string {
	for _, m := range g.members {
		switch {
		case r.old[m] || m.ending():
		case m.lives() && m.state != stateInService:
			return fmt.Sprintf("Waiting for remaining instances to be available. For example: %s is %s.", m.id, m.state)
		case m.state == stateInService && s.now().Before(m.since.Add(r.seconds("InstanceWarmup"))):
			return fmt.Sprintf("Waiting for instances to warm up before continuing. For example: %s is warming up.", m.id)
		}
	}
	if g.weigh((*member).counts) < g.want() {
		return fmt.Sprintf("Waiting for replacements: the group has %d of %d instances.", g.weigh((*member).counts), g.want())
	}
	return ""
}
