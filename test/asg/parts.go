package asg

import (
	"slices"
)

// describe lists things that belong to groups, by group or all.
func (s *Service) describe(store map[string]*node, name string) operation {
	return func(in *node) (*node, error) {
		groups := in.texts("AutoScalingGroupNames")
		if g := in.str("AutoScalingGroupName"); g != "" {
			groups = []string{g}
		}
		if name == "LifecycleHooks" { // the one list that neither spans groups nor has pages
			if _, err := s.group(in); err != nil {
				return nil, err
			}
		}
		var found []*node
		for _, n := range sorted(store) {
			if len(groups) == 0 || slices.Contains(groups, n.str("AutoScalingGroupName")) {
				found = append(found, n)
			}
		}
		if name == "LifecycleHooks" {
			return fields(name, list(found...)), nil
		}
		return page(name, found, in, 50)
	}
}

// setTags writes tags on g, which is called name.
func setTags(g *group, name string, tags []*node) {
	have := slices.Clone(g.all("Tags"))
	for _, t := range tags {
		t = t.copy()
		t.set("ResourceId", text(name))
		t.set("ResourceType", text("auto-scaling-group"))
		have = slices.DeleteFunc(have, func(o *node) bool { return o.str("Key") == t.str("Key") })
		have = append(have, t)
	}
	g.set("Tags", list(have...))
}

func (s *Service) eachTag(in *node, do func(g *group, tag *node)) error {
	for _, t := range in.all("Tags") {
		g := s.groups[t.str("ResourceId")]
		if g == nil {
			return invalid("there is no group " + t.str("ResourceId"))
		}
		do(g, t)
	}
	return nil
}

func (s *Service) putTags(in *node) (*node, error) {
	return nil, s.eachTag(in, func(g *group, t *node) { setTags(g, t.str("ResourceId"), []*node{t}) })
}

func (s *Service) deleteTags(in *node) (*node, error) {
	return nil, s.eachTag(in, func(g *group, t *node) {
		rest := slices.DeleteFunc(slices.Clone(g.all("Tags")), func(o *node) bool { return o.str("Key") == t.str("Key") })
		g.set("Tags", list(rest...))
	})
}

func (s *Service) putPolicy(in *node) (*node, error) {
	if _, err := s.group(in); err != nil {
		return nil, err
	}
	p := in.copy()
	if !p.has("PolicyType") {
		p.set("PolicyType", text("SimpleScaling"))
	}
	if !p.has("Enabled") {
		p.set("Enabled", text("true"))
	}
	group, name := in.str("AutoScalingGroupName"), in.str("PolicyName")
	p.set("PolicyARN", text(arn("scalingPolicy", group+":policyName/"+name)))
	s.policies[key(group, name)] = p
	return fields("PolicyARN", p.str("PolicyARN")), nil
}

// remove deletes one thing of a group; what is not there is an error.
func (s *Service) remove(store map[string]*node, in *node, name string) (*node, error) {
	k := key(in.str("AutoScalingGroupName"), in.str(name))
	if store[k] == nil {
		return nil, invalid("there is no " + name + " " + in.str(name))
	}
	delete(store, k)
	return nil, nil
}

func (s *Service) deletePolicy(in *node) (*node, error) {
	return s.remove(s.policies, in, "PolicyName")
}

func (s *Service) putSchedule(in *node) (*node, error) {
	if _, err := s.group(in); err != nil {
		return nil, err
	}
	n := in.copy()
	if n.has("Recurrence") && !n.has("TimeZone") {
		n.set("TimeZone", text("Etc/UTC"))
	}
	s.schedules[key(in.str("AutoScalingGroupName"), in.str("ScheduledActionName"))] = n
	return nil, nil
}

func (s *Service) deleteSchedule(in *node) (*node, error) {
	return s.remove(s.schedules, in, "ScheduledActionName")
}

func (s *Service) putHook(in *node) (*node, error) {
	if _, err := s.group(in); err != nil {
		return nil, err
	}
	s.storeHook(in.str("AutoScalingGroupName"), in)
	return nil, nil
}

// storeHook keeps what a later Put leaves out, as AWS does.
func (s *Service) storeHook(group string, in *node) {
	k := key(group, in.str("LifecycleHookName"))
	h := fields("HeartbeatTimeout", "3600", "GlobalTimeout", "172800", "DefaultResult", "ABANDON")
	if old := s.hooks[k]; old != nil {
		h = old.copy()
	}
	h.merge(in)
	s.hooks[k] = h
}

func (s *Service) deleteHook(in *node) (*node, error) {
	return s.remove(s.hooks, in, "LifecycleHookName")
}

// putNotices replaces the events of one topic.
func (s *Service) putNotices(in *node) (*node, error) {
	if _, err := s.group(in); err != nil {
		return nil, err
	}
	if _, err := s.deleteNotices(in); err != nil {
		return nil, err
	}
	group, topic := in.str("AutoScalingGroupName"), in.str("TopicARN")
	for _, event := range in.texts("NotificationTypes") {
		s.notices[key(group, topic, event)] = fields("AutoScalingGroupName", group, "TopicARN", topic, "NotificationType", event)
	}
	return nil, nil
}

func (s *Service) deleteNotices(in *node) (*node, error) {
	for k, n := range s.notices {
		if n.str("AutoScalingGroupName") == in.str("AutoScalingGroupName") && n.str("TopicARN") == in.str("TopicARN") {
			delete(s.notices, k)
		}
	}
	return nil, nil
}

// change adds and removes items of a list that are known by field; an empty
// field means that items are plain text.
func change(g *group, name, field string, add []*node, remove []string) {
	id := func(n *node) string {
		if field == "" {
			return n.text
		}
		return n.str(field)
	}
	gone := slices.Clone(remove)
	for _, a := range add {
		gone = append(gone, id(a))
	}
	rest := slices.DeleteFunc(slices.Clone(g.all(name)), func(n *node) bool { return slices.Contains(gone, id(n)) })
	g.set(name, list(append(rest, add...)...))
}

func (s *Service) attach(name string) operation {
	return func(in *node) (*node, error) {
		g, err := s.group(in)
		if err == nil {
			change(g, name, "", in.all(name), nil)
		}
		return nil, err
	}
}

func (s *Service) detach(name string) operation {
	return func(in *node) (*node, error) {
		g, err := s.group(in)
		if err == nil {
			change(g, name, "", nil, in.texts(name))
		}
		return nil, err
	}
}

func (s *Service) enableMetrics(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	var add []*node
	for _, m := range in.texts("Metrics") {
		add = append(add, fields("Metric", m, "Granularity", in.str("Granularity")))
	}
	change(g, "EnabledMetrics", "Metric", add, nil)
	return nil, nil
}

func (s *Service) disableMetrics(in *node) (*node, error) {
	g, err := s.group(in)
	if err == nil {
		change(g, "EnabledMetrics", "Metric", nil, in.texts("Metrics"))
	}
	return nil, err
}

func (s *Service) suspend(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	var add []*node
	for _, p := range in.texts("ScalingProcesses") {
		add = append(add, fields("ProcessName", p, "SuspensionReason", "User suspended"))
	}
	change(g, "SuspendedProcesses", "ProcessName", add, nil)
	return nil, nil
}

func (s *Service) resume(in *node) (*node, error) {
	g, err := s.group(in)
	if err == nil {
		change(g, "SuspendedProcesses", "ProcessName", nil, in.texts("ScalingProcesses"))
	}
	return nil, err
}

func (s *Service) createConfiguration(in *node) (*node, error) {
	c := in.copy()
	c.set("CreatedTime", text(stamp(s.now())))
	s.configs[in.str("LaunchConfigurationName")] = c
	return nil, nil
}

func (s *Service) describeConfigurations(in *node) (*node, error) {
	wanted := in.texts("LaunchConfigurationNames")
	var found []*node
	for _, c := range sorted(s.configs) {
		if len(wanted) == 0 || slices.Contains(wanted, c.str("LaunchConfigurationName")) {
			found = append(found, c)
		}
	}
	return page("LaunchConfigurations", found, in, 50)
}
