package autoscale

import (
	"context"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// newVersion is a launch template version to create.
type newVersion struct {
	template, label string
	source          string // the version it starts from; "" for none
	full, want      Launch
}

func (r *run) createTemplate(ctx context.Context, name, label string, l Launch) error {
	_, err := r.w.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: &name, VersionDescription: &label, LaunchTemplateData: launchData(l)})
	if err == nil {
		r.version = "1"
	}
	return err
}

// createVersion also makes it the default, so that one read over all
// templates sees the version in use.
func (r *run) createVersion(ctx context.Context, v newVersion) error {
	in := &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateName: &v.template, VersionDescription: &v.label, LaunchTemplateData: launchData(v.full)}
	if v.source != "" {
		// The source keeps what the file does not manage and we do not know.
		in.SourceVersion, in.LaunchTemplateData = &v.source, launchData(v.want)
	}
	out, err := r.w.EC2.CreateLaunchTemplateVersion(ctx, in)
	if err != nil {
		return err
	}
	r.version = strconv.FormatInt(val(out.LaunchTemplateVersion.VersionNumber), 10)
	_, err = r.w.EC2.ModifyLaunchTemplate(ctx, &ec2.ModifyLaunchTemplateInput{LaunchTemplateName: &v.template, DefaultVersion: &r.version})
	return err
}

func launchData(l Launch) *ec2types.RequestLaunchTemplateData {
	d := &ec2types.RequestLaunchTemplateData{ImageId: l.Image, InstanceType: ec2types.InstanceType(val(l.Type)), KeyName: l.Key, EbsOptimized: l.EBSOptimized}
	for _, g := range l.SecurityGroups {
		if strings.HasPrefix(g, "sg-") {
			d.SecurityGroupIds = append(d.SecurityGroupIds, g)
		} else {
			d.SecurityGroups = append(d.SecurityGroups, g)
		}
	}
	if p := val(l.Profile); strings.HasPrefix(p, "arn:") {
		d.IamInstanceProfile = &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Arn: &p}
	} else if p != "" {
		d.IamInstanceProfile = &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: &p}
	}
	if l.UserData != nil {
		d.UserData = ptr(base64.StdEncoding.EncodeToString([]byte(*l.UserData)))
	}
	if l.Monitoring != nil {
		d.Monitoring = &ec2types.LaunchTemplatesMonitoringRequest{Enabled: l.Monitoring}
	}
	if l.Tokens != nil || l.HopLimit != nil {
		d.MetadataOptions = &ec2types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: ec2types.LaunchTemplateHttpTokensState(val(l.Tokens)), HttpPutResponseHopLimit: num32(l.HopLimit)}
	}
	if l.SpotPrice != nil {
		d.InstanceMarketOptions = &ec2types.LaunchTemplateInstanceMarketOptionsRequest{MarketType: ec2types.MarketTypeSpot,
			SpotOptions: &ec2types.LaunchTemplateSpotMarketOptionsRequest{MaxPrice: l.SpotPrice}}
	}
	return d
}

// newGroup is a group to create.
type newGroup struct {
	want Group
	use  launchUse
	tags map[string]Tag
}

func (r *run) template(use launchUse) *astypes.LaunchTemplateSpecification {
	version := use.version
	if version == "" {
		version = r.version
	}
	return &astypes.LaunchTemplateSpecification{LaunchTemplateName: &use.template, Version: &version}
}

// createGroup gives the new group its tags and hooks in the same call, so that
// no instance starts without them.
func (r *run) createGroup(ctx context.Context, n newGroup) error {
	g := n.want
	c, net, b, p := val(g.Capacity), val(g.Network), val(g.Balancing), val(g.Protection)
	in := &as.CreateAutoScalingGroupInput{
		AutoScalingGroupName: &r.group, MinSize: num32(c.Min), MaxSize: num32(c.Max), DesiredCapacityType: c.Units, DefaultCooldown: num32(c.Cooldown),
		DefaultInstanceWarmup: num32(c.Warmup), MaxInstanceLifetime: num32(c.MaxLifetime), CapacityRebalance: c.Rebalance,
		AvailabilityZones: net.Zones, VPCZoneIdentifier: joined(net.Subnets), PlacementGroup: net.PlacementGroup,
		TargetGroupARNs: b.TargetGroups, LoadBalancerNames: b.Classic, HealthCheckType: b.HealthCheck, HealthCheckGracePeriod: num32(b.Grace),
		NewInstancesProtectedFromScaleIn: p.ScaleIn, TerminationPolicies: p.Termination, DeletionProtection: astypes.DeletionProtection(val(p.Deletion)),
		Tags: tagsOf(r.group, n.tags), InstanceMaintenancePolicy: maintenance(c),
	}
	if c.Desired != nil {
		in.DesiredCapacity = ptr(int32(c.Desired.N))
	}
	if g.Mixed != nil {
		in.MixedInstancesPolicy = mixedPolicy(nil, *g.Mixed, r.template(n.use))
	} else {
		in.LaunchTemplate = r.template(n.use)
	}
	for name, h := range g.Hooks {
		in.LifecycleHookSpecificationList = append(in.LifecycleHookSpecificationList, astypes.LifecycleHookSpecification{
			LifecycleHookName: ptr(name), LifecycleTransition: ptr(transitions()[val(h.On)]), HeartbeatTimeout: num32(h.Timeout), DefaultResult: h.Default,
			NotificationTargetARN: h.Topic, RoleARN: h.Role, NotificationMetadata: h.Metadata})
	}
	_, err := r.w.Groups.CreateAutoScalingGroup(ctx, in)
	return err
}

func maintenance(c Capacity) *astypes.InstanceMaintenancePolicy {
	if c.MinHealthy == nil {
		return nil
	}
	return &astypes.InstanceMaintenancePolicy{MinHealthyPercentage: num32(c.MinHealthy), MaxHealthyPercentage: num32(c.MaxHealthy)}
}

func joined(subnets []string) *string {
	if len(subnets) == 0 {
		return nil
	}
	return ptr(strings.Join(subnets, ","))
}

// groupUpdate is what an update writes: the changed fields alone.
type groupUpdate struct {
	want   Group
	use    launchUse
	live   Live
	fields []Field
}

// after returns what the plan writes at path, as a number; nil for nothing.
func (u groupUpdate) after(path string) *int32 {
	for _, f := range u.fields {
		if n, err := strconv.ParseInt(f.After, 10, 32); f.Path == path && err == nil {
			return ptr(int32(n))
		}
	}
	return nil
}

// touches says whether a field at or below path changes.
func (u groupUpdate) touches(path string) bool {
	return slices.ContainsFunc(u.fields, func(f Field) bool { return f.Path == path || strings.HasPrefix(f.Path, path+".") })
}

// when is p if the field at path changes.
func when[T any](u groupUpdate, path string, p *T) *T {
	if u.touches(path) {
		return p
	}
	return nil
}

func (r *run) updateGroup(ctx context.Context, u groupUpdate) error {
	c, net, b, p := val(u.want.Capacity), val(u.want.Network), val(u.want.Balancing), val(u.want.Protection)
	in := &as.UpdateAutoScalingGroupInput{
		AutoScalingGroupName: &r.group, MinSize: u.after("capacity.min"), MaxSize: u.after("capacity.max"), DesiredCapacity: u.after("capacity.desired"),
		DefaultCooldown: u.after("capacity.cooldown"), DefaultInstanceWarmup: u.after("capacity.warmup"), MaxInstanceLifetime: u.after("capacity.max_lifetime"),
		DesiredCapacityType: when(u, "capacity.units", c.Units), CapacityRebalance: when(u, "capacity.rebalance", c.Rebalance),
		PlacementGroup: when(u, "network.placement_group", net.PlacementGroup), HealthCheckType: when(u, "load_balancing.health_check", b.HealthCheck),
		HealthCheckGracePeriod: u.after("load_balancing.grace"), NewInstancesProtectedFromScaleIn: when(u, "protection.scale_in", p.ScaleIn),
	}
	if u.touches("capacity.min_healthy") || u.touches("capacity.max_healthy") {
		in.InstanceMaintenancePolicy = maintenance(c)
	}
	if u.touches("network.zones") {
		in.AvailabilityZones = net.Zones
	}
	if u.touches("network.subnets") {
		in.VPCZoneIdentifier = joined(net.Subnets)
	}
	if u.touches("protection.termination_policies") {
		in.TerminationPolicies = p.Termination
	}
	if u.touches("protection.deletion") {
		in.DeletionProtection = astypes.DeletionProtection(*p.Deletion)
	}
	r.setLaunch(in, u)
	_, err := r.w.Groups.UpdateAutoScalingGroup(ctx, in)
	return err
}

// setLaunch writes the launch template, within the mixed policy where the
// group has or gets one.
func (r *run) setLaunch(in *as.UpdateAutoScalingGroupInput, u groupUpdate) {
	if !u.touches("launch") && !u.touches("mixed") {
		return
	}
	spec := r.template(u.use)
	if u.use.template == "" { // the launch section is unmanaged or unchanged
		spec = &astypes.LaunchTemplateSpecification{LaunchTemplateName: &u.live.Template, Version: &u.live.Version}
	}
	if u.want.Mixed != nil || u.live.mixed != nil {
		in.MixedInstancesPolicy = mixedPolicy(u.live.mixed, val(u.want.Mixed), spec)
	} else {
		in.LaunchTemplate = spec
	}
}

// mixedPolicy writes m over what the group has.
func mixedPolicy(have *astypes.MixedInstancesPolicy, m Mixed, spec *astypes.LaunchTemplateSpecification) *astypes.MixedInstancesPolicy {
	d, overrides := astypes.InstancesDistribution{}, []astypes.LaunchTemplateOverrides(nil)
	if have != nil {
		d = val(have.InstancesDistribution)
		overrides = val(have.LaunchTemplate).Overrides
	}
	set := func(into **int32, p *int) {
		if p != nil {
			*into = num32(p)
		}
	}
	word := func(into **string, p *string) {
		if p != nil {
			*into = p
		}
	}
	set(&d.OnDemandBaseCapacity, m.OnDemandBase)
	set(&d.OnDemandPercentageAboveBaseCapacity, m.OnDemandPercentage)
	set(&d.SpotInstancePools, m.SpotPools)
	word(&d.OnDemandAllocationStrategy, m.OnDemandStrategy)
	word(&d.SpotAllocationStrategy, m.SpotStrategy)
	word(&d.SpotMaxPrice, m.SpotMaxPrice)
	if m.Types != nil {
		overrides = nil
		for _, t := range m.Types {
			// Parse has refused what does not read.
			name, weight, _ := weighted(t)
			overrides = append(overrides, astypes.LaunchTemplateOverrides{InstanceType: &name, WeightedCapacity: text(weight)})
		}
	}
	return &astypes.MixedInstancesPolicy{InstancesDistribution: &d, LaunchTemplate: &astypes.LaunchTemplate{LaunchTemplateSpecification: spec, Overrides: overrides}}
}
