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
			names := in.texts("LifecycleHookNames")
			if (len(groups) == 0 || slices.Contains(groups, n.str("AutoScalingGroupName"))) && (len(names) == 0 || slices.Contains(names, n.str("LifecycleHookName"))) {
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

// remove deletes one thing of a group; what is not there is an error.
func (s *Service) remove(store map[string]*node, in *node, name string) (*node, error) {
	k := key(in.str("AutoScalingGroupName"), in.str(name))
	if store[k] == nil {
		return nil, invalid("there is no " + name + " " + in.str(name))
	}
	delete(store, k)
	return nil, nil
}

func (s *Service) putHook(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	return nil, s.storeHook(g.name, in)
}

// storeHook keeps what a later Put leaves out, as AWS does.
func (s *Service) storeHook(group string, in *node) error {
	k := key(group, in.str("LifecycleHookName"))
	if err := limit(s.hooks, group, k, mostHooks, "lifecycle hooks"); err != nil {
		return err
	}
	h := fields("HeartbeatTimeout", "3600", "DefaultResult", abandon)
	if old := s.hooks[k]; old != nil {
		h = old.copy()
	}
	h.merge(in)
	beat, result := h.number("HeartbeatTimeout"), h.str("DefaultResult")
	switch {
	case h.str("LifecycleTransition") != onLaunch && h.str("LifecycleTransition") != onEnd:
		return invalid("LifecycleTransition is " + onLaunch + " or " + onEnd)
	case beat < 30 || beat > 7200:
		return invalid("HeartbeatTimeout is 30 to 7200 seconds")
	case result != abandon && result != goOn:
		return invalid("DefaultResult is CONTINUE or ABANDON")
	}
	h.set("GlobalTimeout", text(itoa(globalTimeout(beat))))
	s.hooks[k] = h
	return nil
}

// deleteHook lets go whom the hook holds: its actions are completed, a launch
// as ABANDON, an end as CONTINUE (DeleteLifecycleHook).
func (s *Service) deleteHook(in *node) (*node, error) {
	if _, err := s.remove(s.hooks, in, "LifecycleHookName"); err != nil {
		return nil, err
	}
	g := s.groups[in.str("AutoScalingGroupName")]
	for _, m := range g.members {
		for _, w := range m.waits {
			if w.hook == in.str("LifecycleHookName") && w.result == "" {
				w.result = goOn
				if !m.ending() {
					w.result = abandon
				}
			}
		}
	}
	return nil, nil
}

// putNotices replaces the events of one topic, and tells it that it may.
func (s *Service) putNotices(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	events := in.texts("NotificationTypes")
	if err := known("the notification type", events, noticeTypes()); err != nil {
		return nil, err
	}
	if _, err := s.deleteNotices(in); err != nil {
		return nil, err
	}
	topics := map[string]bool{in.str("TopicARN"): true}
	for _, n := range s.notices {
		if n.str("AutoScalingGroupName") == g.name {
			topics[n.str("TopicARN")] = true
		}
	}
	if len(topics) > mostTopics {
		return nil, &refusal{"LimitExceeded", "a group has at most 10 topics", 400}
	}
	for _, event := range events {
		s.notices[key(g.name, in.str("TopicARN"), event)] = fields("AutoScalingGroupName", g.name, "TopicARN", in.str("TopicARN"), "NotificationType", event)
	}
	s.sent = append(s.sent, Notification{Topic: in.str("TopicARN"), Event: noticeTest, Group: g.name, At: s.now()})
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

func (s *Service) enableMetrics(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	if in.str("Granularity") != "1Minute" {
		return nil, invalid("the only Granularity is 1Minute")
	}
	names := in.texts("Metrics")
	if len(names) == 0 {
		names = metrics()
	}
	if err := known("the metric", names, metrics()); err != nil {
		return nil, err
	}
	var add []*node
	for _, m := range names {
		add = append(add, fields("Metric", m, "Granularity", in.str("Granularity")))
	}
	change(g, "EnabledMetrics", "Metric", add, nil)
	return nil, nil
}

func (s *Service) disableMetrics(in *node) (*node, error) {
	g, err := s.group(in)
	if err == nil {
		names := in.texts("Metrics")
		if len(names) == 0 {
			names = metrics()
		}
		change(g, "EnabledMetrics", "Metric", nil, names)
	}
	return nil, err
}

func (s *Service) suspend(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	names, err := chosen(in)
	if err != nil {
		return nil, err
	}
	var add []*node
	for _, p := range names {
		add = append(add, fields("ProcessName", p, "SuspensionReason", "User suspended"))
	}
	change(g, "SuspendedProcesses", "ProcessName", add, nil)
	return nil, nil
}

func (s *Service) resume(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	names, err := chosen(in)
	if err == nil {
		change(g, "SuspendedProcesses", "ProcessName", nil, names)
	}
	return nil, err
}

// chosen are the processes that a call names; none means all.
func chosen(in *node) ([]string, error) {
	names := in.texts("ScalingProcesses")
	if len(names) == 0 {
		return processes(), nil
	}
	return names, known("the process", names, processes())
}

func (s *Service) createConfiguration(in *node) (*node, error) {
	if s.configs[in.str("LaunchConfigurationName")] != nil {
		return nil, &refusal{"AlreadyExists", "a launch configuration of the name is there", 400}
	}
	c := in.copy()
	c.set("LaunchConfigurationARN", text(arn("launchConfiguration", s.uuid()+":launchConfigurationName/"+in.str("LaunchConfigurationName"))))
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

func (s *Service) deleteConfiguration(in *node) (*node, error) {
	name := in.str("LaunchConfigurationName")
	for _, g := range s.groups {
		if g.str("LaunchConfigurationName") == name {
			return nil, &refusal{"ResourceInUse", "Cannot delete launch configuration " + name + " because it is attached to AutoScalingGroup " + g.name, 400}
		}
	}
	if s.configs[name] == nil {
		return nil, invalid("Launch configuration name not found - " + name)
	}
	delete(s.configs, name)
	return nil, nil
}

// describeTags lists the tags of all groups, filtered.
func (s *Service) describeTags(in *node) (*node, error) {
	defer s.thaw()
	var found []*node
	for _, g := range sorted(s.groups) {
		shown := s.shown(g)
		if shown == nil {
			continue
		}
		for _, t := range shown.all("Tags") {
			of := map[string]string{"auto-scaling-group": g.name, "key": t.str("Key"), "value": t.str("Value"), "propagate-at-launch": t.str("PropagateAtLaunch")}
			if !slices.ContainsFunc(in.all("Filters"), func(f *node) bool { return !slices.Contains(f.texts("Values"), of[f.str("Name")]) }) {
				found = append(found, t)
			}
		}
	}
	return page("Tags", found, in, 50)
}
