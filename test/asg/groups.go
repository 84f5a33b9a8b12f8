package asg

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// arn makes the name of a thing of kind.
func arn(kind, rest string) string {
	return "arn:aws:autoscaling:us-east-1:123456789012:" + kind + ":" + rest
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// autoScaling is the table of actions.
func (s *Service) autoScaling() map[string]operation {
	return map[string]operation{
		"CreateAutoScalingGroup":             s.createGroup,
		"UpdateAutoScalingGroup":             s.updateGroup,
		"DeleteAutoScalingGroup":             s.deleteGroup,
		"DescribeAutoScalingGroups":          s.describeGroups,
		"CreateLaunchConfiguration":          s.createConfiguration,
		"DescribeLaunchConfigurations":       s.describeConfigurations,
		"CreateOrUpdateTags":                 s.putTags,
		"DeleteTags":                         s.deleteTags,
		"PutScalingPolicy":                   s.putPolicy,
		"DeletePolicy":                       s.deletePolicy,
		"DescribePolicies":                   s.describe(s.policies, "ScalingPolicies"),
		"PutScheduledUpdateGroupAction":      s.putSchedule,
		"DeleteScheduledAction":              s.deleteSchedule,
		"DescribeScheduledActions":           s.describe(s.schedules, "ScheduledUpdateGroupActions"),
		"PutLifecycleHook":                   s.putHook,
		"DeleteLifecycleHook":                s.deleteHook,
		"DescribeLifecycleHooks":             s.describe(s.hooks, "LifecycleHooks"),
		"PutNotificationConfiguration":       s.putNotices,
		"DeleteNotificationConfiguration":    s.deleteNotices,
		"DescribeNotificationConfigurations": s.describe(s.notices, "NotificationConfigurations"),
		"EnableMetricsCollection":            s.enableMetrics,
		"DisableMetricsCollection":           s.disableMetrics,
		"SuspendProcesses":                   s.suspend,
		"ResumeProcesses":                    s.resume,
		"AttachLoadBalancerTargetGroups":     s.attach("TargetGroupARNs"),
		"DetachLoadBalancerTargetGroups":     s.detach("TargetGroupARNs"),
		"AttachLoadBalancers":                s.attach("LoadBalancerNames"),
		"DetachLoadBalancers":                s.detach("LoadBalancerNames"),
		"DescribeScalingActivities":          s.describeActivities,
	}
}

// group finds the group that a call names.
func (s *Service) group(in *node) (*group, error) {
	name := in.str("AutoScalingGroupName")
	if g := s.groups[name]; g != nil {
		return g, nil
	}
	return nil, invalid("AutoScalingGroup name not found - " + name)
}

func (s *Service) createGroup(in *node) (*node, error) {
	name := in.str("AutoScalingGroupName")
	if s.groups[name] != nil {
		return nil, &refusal{"AlreadyExists", "a group of the name " + name + " is there", 400}
	}
	if !in.has("AvailabilityZones") && !in.has("VPCZoneIdentifier") {
		return nil, invalid("at least one zone or subnet is needed")
	}
	g := in.copy()
	for _, hook := range g.all("LifecycleHookSpecificationList") {
		h := hook.copy()
		h.set("AutoScalingGroupName", text(name))
		s.storeHook(name, h)
	}
	g.drop("LifecycleHookSpecificationList")
	for k, v := range map[string]string{"DefaultCooldown": "300", "HealthCheckType": "EC2", "HealthCheckGracePeriod": "0",
		"DesiredCapacity": in.str("MinSize"), "NewInstancesProtectedFromScaleIn": "false", "CapacityRebalance": "false"} {
		if !g.has(k) {
			g.set(k, text(v))
		}
	}
	g.set("CreatedTime", text(stamp(s.now())))
	g.set("AutoScalingGroupARN", text(arn("autoScalingGroup", fmt.Sprintf("%d:autoScalingGroupName/%s", s.next(), name))))
	if err := s.checkGroup(g); err != nil {
		return nil, err
	}
	tags := g.all("Tags")
	g.set("Tags", list())
	made := &group{node: g, name: name}
	s.groups[name] = made
	setTags(made, name, tags)
	made.why(fmt.Sprintf("At %s a user request created an AutoScalingGroup changing the desired capacity from 0 to %d.", causeTime(s.now()), g.number("DesiredCapacity")))
	return nil, nil
}

func (s *Service) updateGroup(in *node) (*node, error) {
	old, err := s.group(in)
	if err != nil {
		return nil, err
	}
	g := old.copy()
	g.merge(in)
	switch { // one way to launch replaces the others
	case in.has("LaunchTemplate"):
		g.drop("LaunchConfigurationName")
		g.drop("MixedInstancesPolicy")
	case in.has("MixedInstancesPolicy"):
		g.drop("LaunchConfigurationName")
		g.drop("LaunchTemplate")
	}
	if in.str("MaxInstanceLifetime") == "0" {
		g.drop("MaxInstanceLifetime")
	}
	if !in.has("DesiredCapacity") { // AWS moves it into the new bounds
		n := min(max(g.number("DesiredCapacity"), g.number("MinSize")), g.number("MaxSize"))
		g.set("DesiredCapacity", text(strconv.Itoa(n)))
	}
	if err := s.checkGroup(g); err != nil {
		return nil, err
	}
	if was, is := old.number("DesiredCapacity"), g.number("DesiredCapacity"); was != is {
		old.why(fmt.Sprintf("At %s a user request update of AutoScalingGroup constraints to min: %d, max: %d, desired: %d changing the desired capacity from %d to %d.",
			causeTime(s.now()), g.number("MinSize"), g.number("MaxSize"), is, was, is))
	}
	old.node = g
	return nil, nil
}

func (s *Service) checkGroup(g *node) error {
	low, high, want := g.number("MinSize"), g.number("MaxSize"), g.number("DesiredCapacity")
	if low > high || want < low || want > high {
		return invalid(fmt.Sprintf("desired %d, min %d and max %d do not fit", want, low, high))
	}
	spec := g.get("LaunchTemplate")
	if m := g.get("MixedInstancesPolicy"); m != nil {
		spec = m.get("LaunchTemplate").get("LaunchTemplateSpecification")
	}
	if spec == nil {
		if s.configs[g.str("LaunchConfigurationName")] == nil {
			return invalid("a launch template or a launch configuration that exists is needed")
		}
		return nil
	}
	t, err := s.templates.known(refOf(spec))
	if err != nil {
		return invalid(err.Error())
	}
	full := spec.copy()
	full.set("LaunchTemplateId", text(t.ID))
	full.set("LaunchTemplateName", text(t.Name))
	if m := g.get("MixedInstancesPolicy"); m != nil {
		inner := m.get("LaunchTemplate").copy()
		inner.set("LaunchTemplateSpecification", full)
		m = m.copy()
		m.set("LaunchTemplate", inner)
		g.set("MixedInstancesPolicy", m)
	} else {
		g.set("LaunchTemplate", full)
	}
	return nil
}

func (s *Service) deleteGroup(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	name, force := in.str("AutoScalingGroupName"), in.str("ForceDelete") == "true"
	if p := g.str("DeletionProtection"); p == "prevent-all-deletion" || force && p == "prevent-force-deletion" {
		return nil, &refusal{"ResourceInUse", "deletion protection is on", 400}
	}
	if len(g.members) > 0 && !force {
		return nil, &refusal{"ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.", 400}
	}
	g.deleting = true
	g.set("Status", text("Delete in progress"))
	if len(g.members) == 0 {
		delete(s.groups, name)
	}
	for _, m := range []map[string]*node{s.policies, s.schedules, s.hooks, s.notices} {
		for k := range m {
			if strings.HasPrefix(k, name+"\x00") {
				delete(m, k)
			}
		}
	}
	return nil, nil
}

func (s *Service) describeGroups(in *node) (*node, error) {
	wanted := in.texts("AutoScalingGroupNames")
	var found []*node
	for _, g := range sorted(s.groups) {
		if len(wanted) > 0 && !slices.Contains(wanted, g.name) || !matches(g, in.all("Filters")) {
			continue
		}
		shown, members := g.copy(), list()
		for _, m := range g.members {
			if m.id != "" {
				members.items = append(members.items, m.describe())
			}
		}
		shown.set("Instances", members)
		found = append(found, shown)
	}
	return page("AutoScalingGroups", found, in, 50)
}

// matches applies filters on tags.
func matches(g *group, filters []*node) bool {
	for _, f := range filters {
		name, values := f.str("Name"), f.texts("Values")
		if !slices.ContainsFunc(g.all("Tags"), func(t *node) bool {
			if name == "tag-key" {
				return slices.Contains(values, t.str("Key"))
			}
			return name == "tag:"+t.str("Key") && slices.Contains(values, t.str("Value"))
		}) {
			return false
		}
	}
	return true
}

// page cuts a list to MaxRecords from NextToken.
func page(name string, all []*node, in *node, normal int) (*node, error) {
	from, size := 0, normal
	if in.has("MaxRecords") {
		size = in.number("MaxRecords")
	}
	if size < 1 || size > 100 {
		return nil, invalid("MaxRecords is 1 to 100")
	}
	if in.has("NextToken") {
		from = in.number("NextToken")
	}
	from = min(from, len(all))
	to := min(from+size, len(all))
	out := fields(name, list(all[from:to]...))
	if to < len(all) {
		out.set("NextToken", text(strconv.Itoa(to)))
	}
	return out, nil
}
