package autoscale

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"golang.org/x/sync/errgroup"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// OwnerTag is the tag on a group that says which owner's file made it.
const OwnerTag = "bakehouse:autoscale-owner"

// Live is one group as AWS has it.
type Live struct {
	Group                         // every field that is read is set
	Desired     int               // capacity now
	Config      string            // the launch configuration it still uses
	Template    string            // the launch template's name
	Version     string            // the number the group uses
	PolicyARNs  map[string]string // by name in AWS
	PolicyNames map[string]string // by key in Policies
	Owner       string
	Status      string // set while the group is being deleted
	Instances   []Instance

	alarms map[string]cwtypes.MetricAlarm // by name, as they came: what no file manages is kept
}

// Instance is one instance of a group.
type Instance struct {
	ID      string `json:"id"`
	Zone    string `json:"zone"`
	State   string `json:"state"`
	Health  string `json:"health"`
	Version string `json:"version"` // of its launch template
}

// Versions are the two versions of a launch template that anybody reads
// without knowing its name.
type Versions struct {
	Latest  int64
	Default int64
	Data    map[int64]*Launch
	Ours    bool // this tool has made one of them
}

// Observed is what AWS has of the groups asked for.
type Observed struct {
	At        time.Time
	Groups    map[string]Live
	Templates map[string]Versions // by name
	Targets   map[string]Target   // target groups by name and by ARN, where the file looks one up
	Left      []string            // on-demand halves of groups that have no mode backstop any more
	Silent    []Silence           // metrics that policies and alarms read and that have no data
	Images    map[string]Image    // by the reference in the file
}

// pageSize is the most that the calls in question give at once.
const pageSize = 100

// Observe reads the groups of s, with all that belongs to them, page by page:
// the number of calls grows with pages, not with groups, except that hooks can
// only be asked for group by group, and tags of alarms alarm by alarm; both only
// are where a file manages them.
func Observe(ctx context.Context, w World, s Spec) (Observed, error) {
	return observe(ctx, w, s, false)
}

// observe is Observe; whole also reads what is asked for alarm by alarm of
// alarms that s does not have.
func observe(ctx context.Context, w World, s Spec, whole bool) (Observed, error) {
	o := Observed{At: w.Now(), Groups: map[string]Live{}, Templates: map[string]Versions{}, Images: map[string]Image{}, Targets: map[string]Target{}}
	r := reader{w, &o, Expand(s), whole}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"groups", r.groups}, {"groups", r.left}, {"launch templates", r.templates}, {"launch configurations", r.configs}, {"policies", r.policies},
		{"alarms", r.alarms}, {"tags of alarms", r.alarmTags}, {"scheduled actions", r.schedules}, {"notifications", r.notices}, {"hooks", r.hooks}, {"images", r.images},
		{"target groups", r.targets},
	} {
		if err := step.do(ctx); err != nil {
			return Observed{}, refused("reading "+step.what, err)
		}
	}
	r.probe(ctx)
	return o, nil
}

// Names lists the observed groups in order.
func (o Observed) Names() []string { return slices.Sorted(maps.Keys(o.Groups)) }

// refused gives an error of AWS its kind and a next step.
func refused(what string, err error) error {
	next := "look at the message of AWS; nothing that is not listed as done was changed"
	if awserr.IsAuth(err) {
		next = "give the caller the rights listed in docs/iam/autoscalectl.json"
	}
	if unreached(err) {
		next = "check that the region's endpoint can be reached from here, then run it again"
	}
	return fault.Newf(fault.AWS, next, "%s: %w", what, brief(err))
}

// reader is one observation under way.
type reader struct {
	w     World
	o     *Observed
	s     Spec
	whole bool // the tags of all alarms
}

func (r reader) groups(ctx context.Context) error {
	for names := range slices.Chunk(r.s.Names(), pageSize) {
		in := &as.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: names, MaxRecords: ptr(int32(pageSize))}
		for pages := as.NewDescribeAutoScalingGroupsPaginator(r.w.Groups, in); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, g := range out.AutoScalingGroups {
				r.o.Groups[val(g.AutoScalingGroupName)] = liveOf(g)
			}
		}
	}
	return nil
}

// templates reads the latest and the default version of all templates at
// once, then those few versions that groups use and that are neither.
func (r reader) templates(ctx context.Context) error {
	all, err := r.versions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{Versions: []string{"$Latest", "$Default"}})
	if err != nil {
		return err
	}
	r.note(all)
	var behind []string
	for _, name := range r.o.Names() {
		l := r.o.Groups[name]
		if v := r.o.Templates[l.Template]; l.Template != "" && v.Data[v.number(l.Version)] == nil {
			behind = append(behind, name)
		}
	}
	older := make(chan []ec2types.LaunchTemplateVersion, len(behind))
	err = side(ctx, behind, func(ctx context.Context, name string) error {
		l := r.o.Groups[name]
		found, err := r.versions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: &l.Template, Versions: []string{l.Version}})
		older <- found
		if awserr.IsNotFound(err) { // somebody has deleted what the group uses
			return nil
		}
		return err
	})
	close(older)
	for found := range older {
		r.note(found)
	}
	for _, name := range r.o.Names() {
		l := r.o.Groups[name]
		v := r.o.Templates[l.Template]
		if d := v.Data[v.number(l.Version)]; d != nil {
			launch := *d
			launch.Template = ptr(l.Template)
			l.Launch = &launch
			r.o.Groups[name] = l
		}
	}
	return err
}

// number resolves what a group calls a version.
func (v Versions) number(which string) int64 {
	switch which {
	case "$Latest":
		return v.Latest
	case "", "$Default":
		return v.Default
	}
	n, err := strconv.ParseInt(which, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func (r reader) versions(ctx context.Context, in *ec2.DescribeLaunchTemplateVersionsInput) ([]ec2types.LaunchTemplateVersion, error) {
	var all []ec2types.LaunchTemplateVersion
	for pages := ec2.NewDescribeLaunchTemplateVersionsPaginator(r.w.EC2, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, out.LaunchTemplateVersions...)
	}
	return all, nil
}

func (r reader) note(all []ec2types.LaunchTemplateVersion) {
	for _, v := range all {
		name, n := val(v.LaunchTemplateName), val(v.VersionNumber)
		t := r.o.Templates[name]
		if t.Data == nil {
			t.Data = map[int64]*Launch{}
		}
		t.Data[n] = ptr(launchOf(v.LaunchTemplateData))
		t.Ours = t.Ours || strings.HasPrefix(val(v.VersionDescription), versionLabel)
		if t.Latest = max(t.Latest, n); val(v.DefaultVersion) {
			t.Default = n
		}
		r.o.Templates[name] = t
	}
}

// configs reads the launch configurations that groups still use.
func (r reader) configs(ctx context.Context) error {
	var names []string
	for _, l := range r.o.Groups {
		if l.Config != "" && !slices.Contains(names, l.Config) {
			names = append(names, l.Config)
		}
	}
	found := map[string]Launch{}
	for chunk := range slices.Chunk(names, 50) {
		in := &as.DescribeLaunchConfigurationsInput{LaunchConfigurationNames: chunk, MaxRecords: ptr(int32(pageSize))}
		for pages := as.NewDescribeLaunchConfigurationsPaginator(r.w.Groups, in); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, c := range out.LaunchConfigurations {
				found[val(c.LaunchConfigurationName)] = configOf(c)
			}
		}
	}
	for name, l := range r.o.Groups {
		if c, ok := found[l.Config]; ok {
			l.Launch = &c
			r.o.Groups[name] = l
		}
	}
	return nil
}

// only is the group to ask for when there is one; nil asks for all at once.
func (r reader) only() *string {
	if names := r.o.Names(); len(names) == 1 {
		return &names[0]
	}
	return nil
}

func (r reader) policies(ctx context.Context) error {
	if len(r.o.Groups) == 0 {
		return nil
	}
	in := &as.DescribePoliciesInput{AutoScalingGroupName: r.only(), MaxRecords: ptr(int32(pageSize))}
	for pages := as.NewDescribePoliciesPaginator(r.w.Groups, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, p := range out.ScalingPolicies {
			if l, ours := r.o.Groups[val(p.AutoScalingGroupName)]; ours {
				l.addPolicy(p)
			}
		}
	}
	return nil
}

func (r reader) schedules(ctx context.Context) error {
	if len(r.o.Groups) == 0 {
		return nil
	}
	in := &as.DescribeScheduledActionsInput{AutoScalingGroupName: r.only(), MaxRecords: ptr(int32(pageSize))}
	for pages := as.NewDescribeScheduledActionsPaginator(r.w.Groups, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, a := range out.ScheduledUpdateGroupActions {
			if l, ours := r.o.Groups[val(a.AutoScalingGroupName)]; ours {
				l.Schedules[val(a.ScheduledActionName)] = scheduleOf(a)
			}
		}
	}
	return nil
}

func (r reader) notices(ctx context.Context) error {
	for names := range slices.Chunk(r.o.Names(), pageSize) {
		in := &as.DescribeNotificationConfigurationsInput{AutoScalingGroupNames: names, MaxRecords: ptr(int32(pageSize))}
		for pages := as.NewDescribeNotificationConfigurationsPaginator(r.w.Groups, in); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, n := range out.NotificationConfigurations {
				l, topic := r.o.Groups[val(n.AutoScalingGroupName)], val(n.TopicARN)
				l.Notifications[topic] = append(l.Notifications[topic], val(n.NotificationType))
			}
		}
	}
	return nil
}

// atOnce bounds the calls that run side by side where AWS has no call for many.
const atOnce = 8

// hooks asks group by group, as AWS does not list the hooks of several at once.
// A group that is being deleted is not asked about; one that has gone since it
// was listed is as one that was not.
func (r reader) hooks(ctx context.Context) error {
	var names []string
	for _, name := range r.o.Names() {
		if r.s.Groups[name].Hooks != nil && r.o.Groups[name].Status == "" {
			names = append(names, name)
		}
	}
	gone := make(chan string, len(names))
	err := side(ctx, names, func(ctx context.Context, name string) error {
		out, err := r.w.Groups.DescribeLifecycleHooks(ctx, &as.DescribeLifecycleHooksInput{AutoScalingGroupName: &name})
		if err != nil && awserr.IsUnseen(err) {
			gone <- name
			return nil
		}
		if err != nil {
			return err
		}
		for _, h := range out.LifecycleHooks {
			r.o.Groups[name].Hooks[val(h.LifecycleHookName)] = hookOf(h)
		}
		return nil
	})
	close(gone)
	for name := range gone {
		delete(r.o.Groups, name)
	}
	return err
}

// side runs do for each of all, atOnce at a time, until one fails. Each call
// has its own group, so that they share nothing.
func side(ctx context.Context, all []string, do func(context.Context, string) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, one := range all {
		g.Go(func() error { return do(ctx, one) })
	}
	return g.Wait()
}
