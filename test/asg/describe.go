package asg

import "slices"

// describeGroups lists groups with their instances; those of the warm pool
// have a call of their own.
func (s *Service) describeGroups(in *node) (*node, error) {
	defer s.thaw()
	wanted := in.texts("AutoScalingGroupNames")
	var found []*group
	for _, g := range sorted(s.groups) {
		shown := s.shown(g)
		if shown == nil || len(wanted) > 0 && !slices.Contains(wanted, g.name) || !matches(shown, in.all("Filters")) {
			continue
		}
		found = append(found, g)
	}
	out := make([]*node, len(found))
	for i, g := range found {
		out[i] = s.shown(g)
	}
	cut, err := page("AutoScalingGroups", out, in, 50)
	if err != nil {
		return nil, err
	}
	items := cut.get("AutoScalingGroups").items
	for i, n := range items {
		items[i] = s.describeGroup(s.groups[n.str("AutoScalingGroupName")], n)
		if in.str("IncludeInstances") == "false" {
			items[i].set("Instances", list())
		}
	}
	return cut, nil
}

func (s *Service) describeGroup(g *group, shown *node) *node {
	shown = shown.copy()
	members, warm := list(), 0
	for _, m := range g.members {
		switch {
		case m.id == "":
		case m.lives() || m.in(stateTerminating) || m.state == stateRetained || m.state == stateStandby || m.state == stateEntering || m.state == stateDetaching:
			members.items = append(members.items, m.describe())
		default:
			warm++
		}
	}
	shown.set("Instances", members)
	if c := g.configuration(); c != nil {
		shown.set("WarmPoolConfiguration", c)
		shown.set("WarmPoolSize", text(itoa(warm)))
	}
	return shown
}

// matches applies filters on tags.
func matches(g *node, filters []*node) bool {
	for _, f := range filters {
		name, values := f.str("Name"), f.texts("Values")
		if !slices.ContainsFunc(g.all("Tags"), func(t *node) bool {
			switch name {
			case "tag-key":
				return slices.Contains(values, t.str("Key"))
			case "tag-value":
				return slices.Contains(values, t.str("Value"))
			}
			return name == "tag:"+t.str("Key") && slices.Contains(values, t.str("Value"))
		}) {
			return false
		}
	}
	return true
}
