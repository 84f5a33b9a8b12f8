package autoscale

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
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
	data := launchData(v.full)
	in := &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateName: &v.template, VersionDescription: &v.label, LaunchTemplateData: data}
	if v.source != "" {
		// The source keeps what the file does not manage and we do not know. A
		// member that is sent replaces the source's whole, so it is sent full.
		in.SourceVersion = &v.source
		keep(data, given(launchData(v.want)))
	}
	if r.version == "" { // else an earlier try of this change has made it
		out, err := r.w.EC2.CreateLaunchTemplateVersion(ctx, in)
		if err != nil {
			return err
		}
		r.version = strconv.FormatInt(val(out.LaunchTemplateVersion.VersionNumber), 10)
	}
	_, err := r.w.EC2.ModifyLaunchTemplate(ctx, &ec2.ModifyLaunchTemplateInput{LaunchTemplateName: &v.template, DefaultVersion: &r.version})
	return err
}

// given names the members that a structure of AWS sets.
func given(in any) map[string]bool {
	out := map[string]bool{}
	v := reflect.ValueOf(in).Elem()
	for i := range v.NumField() {
		out[v.Type().Field(i).Name] = !v.Field(i).IsZero()
	}
	return out
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
	in := &as.CreateAutoScalingGroupInput{}
	toAWS(&g, in)
	in.AutoScalingGroupName, in.VPCZoneIdentifier, in.Tags = &r.group, joined(val(g.Network).Subnets), tagsOf(r.group, n.tags)
	in.TrafficSources = sources(val(g.Balancing).TrafficSources)
	if val(in.MaxInstanceLifetime) == 0 { // "never" is said to a group that exists
		in.MaxInstanceLifetime = nil
	}
	if d := val(g.Capacity).Desired; d != nil {
		in.DesiredCapacity = ptr(int32(d.N))
	}
	in.LaunchTemplate, in.MixedInstancesPolicy = launchFrom(g.Mixed, r.template(n.use))
	for _, name := range slices.Sorted(maps.Keys(g.Hooks)) {
		h := g.Hooks[name]
		spec := astypes.LifecycleHookSpecification{LifecycleHookName: ptr(name), LifecycleTransition: ptr(transitions()[val(h.On)])}
		toAWS(&h, &spec)
		in.LifecycleHookSpecificationList = append(in.LifecycleHookSpecificationList, spec)
	}
	_, err := r.w.Groups.CreateAutoScalingGroup(ctx, in)
	return err
}

func joined(subnets []string) *string {
	if len(subnets) == 0 {
		return nil
	}
	return ptr(strings.Join(subnets, ","))
}

// launchFrom puts a launch template's version into the mixed policy that the
// group has or gets, or stands it alone.
func launchFrom(m *Mixed, spec *astypes.LaunchTemplateSpecification) (*astypes.LaunchTemplateSpecification, *astypes.MixedInstancesPolicy) {
	if m == nil || val(m.None) {
		return spec, nil
	}
	p := &astypes.MixedInstancesPolicy{}
	toAWS(m, p)
	p.LaunchTemplate = or(p.LaunchTemplate, astypes.LaunchTemplate{})
	p.LaunchTemplate.LaunchTemplateSpecification = spec
	return nil, p
}

// groupUpdate is what an update writes: the changed fields alone.
type groupUpdate struct {
	want   Group
	use    launchUse
	live   Live
	fields []Field
	// desired is nil where nobody asked for one. What only has to lie in new
	// bounds is moved there by AWS, from where demand has it by then.
	desired *int32
}

// touches says whether a field at or below path changes.
func (u groupUpdate) touches(path string) bool {
	return slices.ContainsFunc(u.fields, func(f Field) bool { return f.Path == path || strings.HasPrefix(f.Path, path+".") })
}

func (r *run) updateGroup(ctx context.Context, u groupUpdate) error {
	full := overlay(u.live.Group, u.want)
	full.Mixed = mixedOver(u.live.Mixed, u.want.Mixed)
	in := &as.UpdateAutoScalingGroupInput{}
	toAWS(&full, in)
	wanted := members(reflect.TypeFor[Group](), "", u.touches)
	wanted["SkipZonalShiftValidation"] = wanted["AvailabilityZoneImpairmentPolicy"]
	keep(in, wanted)
	in.AutoScalingGroupName, in.DesiredCapacity = &r.group, u.desired
	if u.touches("network.subnets") {
		in.VPCZoneIdentifier = joined(val(full.Network).Subnets)
	}
	if u.touches("launch") || u.touches("mixed") {
		spec := r.template(u.use)
		if u.use.template == "" { // the launch section is unmanaged or unchanged
			spec = &astypes.LaunchTemplateSpecification{LaunchTemplateName: &u.live.Template, Version: &u.live.Version}
		}
		in.LaunchTemplate, in.MixedInstancesPolicy = launchFrom(full.Mixed, spec)
	}
	_, err := r.w.Groups.UpdateAutoScalingGroup(ctx, in)
	return err
}

// mixedOver puts a file's policy over the group's. That there was none is not
// taken over.
func mixedOver(have, want *Mixed) *Mixed {
	if want == nil {
		return have
	}
	full := overlay(val(have), *want)
	full.None = want.None
	return &full
}
