package asg

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// arn makes the name of a thing of kind.
func arn(kind, rest string) string {
	return "arn:aws:autoscaling:us-east-1:123456789012:" + kind + ":" + rest
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

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
		return nil, &refusal{"AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name " + name + " already exists", 400}
	}
	if name == "" || !in.has("MinSize") || !in.has("MaxSize") {
		return nil, invalid("AutoScalingGroupName, MinSize and MaxSize are needed")
	}
	if in.has("InstanceId") {
		return nil, invalid("this service makes no launch configuration of an instance: leave InstanceId out")
	}
	if !in.has("AvailabilityZones") && !in.has("AvailabilityZoneIds") && !in.has("VPCZoneIdentifier") {
		return nil, invalid("At least one Availability Zone or VPC Subnet is required.")
	}
	g := in.copy()
	for _, field := range []string{"LifecycleHookSpecificationList", "SkipZonalShiftValidation", "Tags"} {
		g.drop(field)
	}
	for k, v := range map[string]string{"DefaultCooldown": "300", "HealthCheckType": "EC2", "HealthCheckGracePeriod": "0",
		"DesiredCapacity": in.str("MinSize"), "NewInstancesProtectedFromScaleIn": "false", "CapacityRebalance": "false",
		"ServiceLinkedRoleARN": "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"} {
		if !g.has(k) {
			g.set(k, text(v))
		}
	}
	if !g.has("TerminationPolicies") {
		g.set("TerminationPolicies", list(text("Default")))
	}
	g.set("CreatedTime", text(stamp(s.now())))
	g.set("AutoScalingGroupARN", text(arn("autoScalingGroup", s.uuid()+":autoScalingGroupName/"+name)))
	if err := s.checkGroup(g, in); err != nil {
		return nil, err
	}
	for _, hook := range in.all("LifecycleHookSpecificationList") {
		h := hook.copy()
		h.set("AutoScalingGroupName", text(name))
		if err := s.storeHook(name, h); err != nil {
			return nil, err
		}
	}
	made := &group{node: g, name: name, troubled: map[place]time.Time{}}
	s.groups[name] = made
	setTags(made, name, in.all("Tags"))
	joinSources(made)
	made.why(fmt.Sprintf("At %s a user request created an AutoScalingGroup changing the desired capacity from 0 to %d.", causeTime(s.now()), made.want()))
	return nil, nil
}

// ways are the fields that say what is launched; one replaces the others.
func ways() []string {
	return []string{"LaunchTemplate", "MixedInstancesPolicy", "LaunchConfigurationName"}
}

func (s *Service) updateGroup(in *node) (*node, error) {
	old, err := s.group(in)
	if err != nil {
		return nil, err
	}
	if old.deleting {
		return nil, invalid("AutoScalingGroup " + old.name + " is being deleted")
	}
	g := old.copy()
	for _, way := range ways() {
		if !in.has(way) {
			continue
		}
		if r := old.refreshing(); r != nil && r.desired != nil {
			return nil, invalid("An active instance refresh with a desired configuration exists. All configuration options derived from the desired configuration are not available for update while the instance refresh is active.")
		}
		for _, other := range ways() {
			g.drop(other)
		}
	}
	g.merge(in)
	g.drop("SkipZonalShiftValidation")
	for field, none := range map[string]string{"MaxInstanceLifetime": "0", "DefaultInstanceWarmup": "-1", "PlacementGroup": "", "Context": ""} {
		if in.has(field) && in.str(field) == none {
			g.drop(field)
		}
	}
	if !in.has("DesiredCapacity") { // AWS moves it into the new bounds
		g.set("DesiredCapacity", text(itoa(min(max(g.number("DesiredCapacity"), g.number("MinSize")), g.number("MaxSize")))))
	}
	if err := s.checkGroup(g, in); err != nil {
		return nil, err
	}
	if was, is := old.number("DesiredCapacity"), g.number("DesiredCapacity"); was != is {
		old.why(fmt.Sprintf("At %s a user request update of AutoScalingGroup constraints to min: %d, max: %d, desired: %d changing the desired capacity from %d to %d.",
			causeTime(s.now()), g.number("MinSize"), g.number("MaxSize"), is, was, is))
	}
	old.node = g
	return nil, nil
}

// checkGroup refuses what AWS refuses, and completes what it completes.
func (s *Service) checkGroup(g, in *node) error {
	low, high, want := g.number("MinSize"), g.number("MaxSize"), g.number("DesiredCapacity")
	switch {
	case low < 0 || low > high:
		return invalid(fmt.Sprintf("Max bound, %d, must be greater than or equal to min bound, %d", high, low))
	case want < low || want > high:
		return invalid(fmt.Sprintf("Desired capacity:%d must be between the specified min size:%d and max size:%d", want, low, high))
	case g.has("MaxInstanceLifetime") && g.number("MaxInstanceLifetime") < 86400:
		return invalid("MaxInstanceLifetime is 0, or at least 86400 seconds")
	}
	if err := checkMaintenance(g.get("InstanceMaintenancePolicy")); err != nil {
		return err
	}
	own := slices.DeleteFunc(g.texts("TerminationPolicies"), func(p string) bool { return strings.HasPrefix(p, "arn:") })
	if err := known("the termination policy", own, terminationPolicies()); err != nil {
		return err
	}
	if in.has("AvailabilityZoneIds") && !in.has("AvailabilityZones") {
		g.set("AvailabilityZones", zonesByID(in.texts("AvailabilityZoneIds")))
	}
	if err := s.locate(g, in.texts("AvailabilityZones")); err != nil {
		return err
	}
	return s.checkSource(g)
}

func checkMaintenance(p *node) error {
	if p == nil {
		return nil
	}
	least, most := p.number("MinHealthyPercentage"), p.number("MaxHealthyPercentage")
	if least == -1 && most == -1 {
		return nil
	}
	if least < 0 || least > 100 || most < 100 || most > 200 || most-least > 100 {
		return invalid("the maintenance policy wants 0 to 100 as its minimum, 100 to 200 as its maximum, and at most 100 between them")
	}
	return nil
}

// checkSource wants one way to launch, and completes the ids and names of its
// templates.
func (s *Service) checkSource(g *node) error {
	count := 0
	for _, way := range ways() {
		if g.has(way) {
			count++
		}
	}
	if count != 1 {
		return invalid("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
	}
	if g.has("LaunchConfigurationName") {
		if s.configs[g.str("LaunchConfigurationName")] == nil {
			return invalid("Launch configuration name not found - " + g.str("LaunchConfigurationName"))
		}
		return nil
	}
	if g.has("LaunchTemplate") {
		full, err := s.complete(g.get("LaunchTemplate"))
		if err == nil {
			g.set("LaunchTemplate", full)
		}
		return err
	}
	return s.checkMixed(g)
}

// complete fills in the id and name of a template that exists.
func (s *Service) complete(spec *node) (*node, error) {
	t, err := s.templates.known(refOf(spec))
	if err != nil {
		return nil, invalid(err.Error())
	}
	full := spec.copy()
	full.set("LaunchTemplateId", text(t.ID))
	full.set("LaunchTemplateName", text(t.Name))
	return full, nil
}

func (s *Service) checkMixed(g *node) error {
	m := g.get("MixedInstancesPolicy").copy()
	inner := m.get("LaunchTemplate").copy()
	full, err := s.complete(inner.get("LaunchTemplateSpecification").copy())
	if err != nil {
		return err
	}
	weights, overrides := 0, inner.all("Overrides")
	for _, o := range overrides {
		if o.has("WeightedCapacity") {
			weights++
		}
		if own := o.get("LaunchTemplateSpecification"); own != nil {
			if _, err := s.complete(own); err != nil {
				return err
			}
		}
	}
	if weights > 0 && weights < len(overrides) {
		return invalid("WeightedCapacity is given for every instance type or for none")
	}
	if percent := m.get("InstancesDistribution").number("OnDemandPercentageAboveBaseCapacity"); percent < 0 || percent > 100 {
		return invalid("OnDemandPercentageAboveBaseCapacity is 0 to 100")
	}
	inner.set("LaunchTemplateSpecification", full)
	m.set("LaunchTemplate", inner)
	g.set("MixedInstancesPolicy", m)
	return nil
}

func (s *Service) deleteGroup(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	force := in.str("ForceDelete") == "true"
	if p := g.str("DeletionProtection"); p == "prevent-all-deletion" || force && p == "prevent-force-deletion" {
		return nil, &refusal{"ResourceInUse", "The Auto Scaling group cannot be deleted: its deletion protection is " + p, 400}
	}
	if !force && len(g.members) > 0 {
		if !slices.ContainsFunc(g.members, func(m *member) bool { return !m.ending() }) {
			return nil, &refusal{"ScalingActivityInProgress", "You cannot delete an AutoScalingGroup while there are scaling activities in progress for that group.", 400}
		}
		return nil, &refusal{"ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.", 400}
	}
	g.deleting = true
	g.set("Status", text("Delete in progress"))
	if len(g.members) == 0 {
		s.forgetGroup(g)
	}
	for _, p := range s.policies {
		if p.str("AutoScalingGroupName") == g.name {
			s.dropTracked(p)
		}
	}
	for _, m := range []map[string]*node{s.policies, s.schedules, s.hooks, s.notices} {
		for k := range m {
			if strings.HasPrefix(k, g.name+"\x00") {
				delete(m, k)
			}
		}
	}
	return nil, nil
}

// forgetGroup takes a deleted group away; its activities can still be asked for.
func (s *Service) forgetGroup(g *group) {
	delete(s.groups, g.name)
	delete(s.frozen, g.name)
	s.past[g.name], s.moved = g, true
}
