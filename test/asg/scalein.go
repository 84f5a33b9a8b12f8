package asg

import (
	"cmp"
	"slices"
	"strconv"
)

// victim is the member that ends next; nil when all are protected. Of a zone
// with more members than others one goes first, then the group's termination
// policies decide in their order ("Configure termination policies" in the user
// guide). Members weigh at most excess, so that the group does not fall below
// its capacity.
func (s *Service) victim(g *group, excess int) *member {
	var all []*member
	for _, m := range g.members {
		if m.counts() && !m.protected && !m.busy && m.id != "" && m.weight <= excess {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil
	}
	all = g.purchased(all)
	most := slices.MaxFunc(all, func(a, b *member) int { return cmp.Compare(g.crowd(a.at.zone), g.crowd(b.at.zone)) })
	all = best(all, func(m *member) int { return -flag(g.crowd(m.at.zone) == g.crowd(most.at.zone)) })
	policies := g.texts("TerminationPolicies")
	if len(policies) == 0 {
		policies = []string{"Default"}
	}
	for _, p := range policies {
		all = s.prefer(g, all, p)
	}
	return all[0]
}

// prefer keeps those that a policy would end.
func (s *Service) prefer(g *group, all []*member, policy string) []*member {
	switch policy {
	case "OldestInstance":
		return best(all, func(m *member) int { return int(m.born.Unix()) })
	case "NewestInstance":
		return best(all, func(m *member) int { return -int(m.born.Unix()) })
	case "OldestLaunchTemplate", "OldestLaunchConfiguration":
		return best(all, (*member).age)
	case "Default": // the oldest configuration, then the one next to its billing hour
		return best(best(all, (*member).age), func(m *member) int { return s.nextHour(m) })
	case "ClosestToNextInstanceHour":
		return best(all, func(m *member) int { return s.nextHour(m) })
	}
	return all // AllocationStrategy is kept by purchased, and custom functions are not called
}

// age orders configurations, the oldest first: launch configurations before
// templates, then by version.
func (m *member) age() int {
	if m.config != "" {
		return -1
	}
	n, _ := strconv.Atoi(m.template.Version) // one that is no number is as good as new
	return n
}

func (s *Service) nextHour(m *member) int {
	return 3600 - int(s.now().Sub(m.born).Seconds())%3600
}

// best keeps the members with the lowest score.
func best(all []*member, score func(*member) int) []*member {
	least := score(slices.MinFunc(all, func(a, b *member) int { return cmp.Compare(score(a), score(b)) }))
	return slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return score(m) != least })
}

// purchased keeps those of the purchase option that has more than its share.
func (g *group) purchased(all []*member) []*member {
	if g.get("MixedInstancesPolicy") == nil {
		return all
	}
	extra := g.weigh(func(m *member) bool { return m.counts() && !m.spot }) > g.onDemand(g.want())
	kept := slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return m.spot == extra })
	if len(kept) == 0 {
		return all
	}
	return kept
}
