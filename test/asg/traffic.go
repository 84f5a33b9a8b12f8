package asg

import "slices"

// A group's traffic sources are one list in two views: load balancers and
// target groups have lists of their own besides.

// kinds names the list of a type of traffic source; "" for those that have none.
func listOf(kind string) string {
	return map[string]string{"elb": "LoadBalancerNames", "elbv2": "TargetGroupARNs"}[kind]
}

// kindOf is the type of a source that is known by its identifier alone.
func kindOf(list string) string {
	if list == "TargetGroupARNs" {
		return "elbv2"
	}
	return "elb"
}

// source makes a traffic source of an identifier.
func source(list, id string) *node { return fields("Identifier", id, "Type", kindOf(list)) }

// joinSources brings both views of a new group together.
func joinSources(g *group) {
	for _, t := range g.all("TrafficSources") {
		if name := listOf(t.str("Type")); name != "" {
			change(g, name, "", []*node{t.get("Identifier")}, nil)
		}
	}
	for _, name := range []string{"LoadBalancerNames", "TargetGroupARNs"} {
		for _, id := range g.texts(name) {
			change(g, "TrafficSources", "Identifier", []*node{source(name, id)}, nil)
		}
	}
}

func (s *Service) attach(name string) operation {
	return func(in *node) (*node, error) {
		g, err := s.group(in)
		if err == nil {
			change(g, name, "", in.all(name), nil)
			joinSources(g)
		}
		return nil, err
	}
}

func (s *Service) detach(name string) operation {
	return func(in *node) (*node, error) {
		g, err := s.group(in)
		if err != nil {
			return nil, err
		}
		for _, id := range in.texts(name) {
			if !slices.Contains(g.texts(name), id) {
				return nil, invalid("Trying to remove " + id + " that is not part of the group")
			}
		}
		change(g, name, "", nil, in.texts(name))
		change(g, "TrafficSources", "Identifier", nil, in.texts(name))
		return nil, nil
	}
}

func (s *Service) attachSources(in *node) (*node, error) {
	g, err := s.group(in)
	if err == nil {
		change(g, "TrafficSources", "Identifier", typed(in.all("TrafficSources")), nil)
		joinSources(g)
	}
	return nil, err
}

// typed fills in the type that an ARN tells.
func typed(sources []*node) []*node {
	var out []*node
	for _, t := range sources {
		t = t.copy()
		if !t.has("Type") {
			t.set("Type", text("elbv2"))
		}
		out = append(out, t)
	}
	return out
}

func (s *Service) detachSources(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, t := range in.all("TrafficSources") {
		ids = append(ids, t.str("Identifier"))
	}
	for _, name := range []string{"TargetGroupARNs", "LoadBalancerNames"} {
		change(g, name, "", nil, ids)
	}
	change(g, "TrafficSources", "Identifier", nil, ids)
	return nil, nil
}

func (s *Service) describeSources(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	var found []*node
	for _, t := range g.all("TrafficSources") {
		if kind := in.str("TrafficSourceType"); kind == "" || kind == t.str("Type") {
			found = append(found, fields("TrafficSource", t.str("Identifier"), "Identifier", t.str("Identifier"), "Type", t.str("Type"), "State", "InService"))
		}
	}
	return page("TrafficSources", found, in, 100)
}

// describeTargets lists one kind as its older call does.
func (s *Service) describeTargets(from, out, field string) operation {
	return func(in *node) (*node, error) {
		g, err := s.group(in)
		if err != nil {
			return nil, err
		}
		var found []*node
		for _, id := range g.texts(from) {
			found = append(found, fields(field, id, "State", "InService"))
		}
		return page(out, found, in, 100)
	}
}
