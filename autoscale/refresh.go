package autoscale

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// RefreshAPI is the part of Auto Scaling that replaces instances.
type RefreshAPI interface {
	StartInstanceRefresh(context.Context, *as.StartInstanceRefreshInput, ...func(*as.Options)) (*as.StartInstanceRefreshOutput, error)
	CancelInstanceRefresh(context.Context, *as.CancelInstanceRefreshInput, ...func(*as.Options)) (*as.CancelInstanceRefreshOutput, error)
	RollbackInstanceRefresh(context.Context, *as.RollbackInstanceRefreshInput, ...func(*as.Options)) (*as.RollbackInstanceRefreshOutput, error)
}

// The kinds of changes that a refresh plan has besides a new version.
const (
	ResetVersion    Kind = "point group at version"
	StartRefresh    Kind = "refresh instances"
	CancelRefresh   Kind = "cancel refresh"
	RollbackRefresh Kind = "roll back refresh"
)

// RefreshOptions say how instances are replaced. Nil leaves a setting to the
// group and to Auto Scaling.
type RefreshOptions struct {
	Version     string // of the launch template, a number; "": the file's, else the group's own
	From        string // version that the group is pointed at first, so that a rollback goes there
	ReplaceAll  bool   // instances that match, too
	MinHealthy  *int   // percent, 0 to 100
	MaxHealthy  *int   // percent, 100 to 200
	Warmup      *int   // seconds
	BakeTime    *int   // seconds
	Checkpoints []int  // percent, ascending, the last one 100
	Delay       *int   // seconds at each checkpoint
	Rollback    bool   // when it fails or an alarm fires
	Alarms      []string
	Standby     string // Wait, Ignore or Terminate
	Protected   string // Wait, Ignore or Refresh
}

// RefreshPlan starts refreshes, or says why there is none to start.
type RefreshPlan struct {
	Plan
	Idle    []string // groups whose instances match already
	Pending []string // groups for which the file asks for more than a refresh brings
	ids     map[string]string
}

// IDs are the refreshes by group: those that were under way with the same aim
// when the plan was made, and those that Apply has started since.
func (p RefreshPlan) IDs() map[string]string { return maps.Clone(p.ids) }

// PlanRefresh decides, group by group, which version the instances shall get
// and how many there are to replace. s describes groups or is empty; a group
// that it does not describe gets its own version. The refresh carries the
// version as its desired configuration while the group still asks for the old
// one, which is what makes a rollback possible ("Undo changes with a
// rollback", Amazon EC2 Auto Scaling user guide). Errors are fault.Check for
// groups that cannot be refreshed, fault.Usage for options that cannot be.
func PlanRefresh(ctx context.Context, w World, s Spec, names []string, opt RefreshOptions) (RefreshPlan, error) {
	p := RefreshPlan{ids: map[string]string{}}
	if err := opt.Check(); err != nil {
		return p, err
	}
	s = Expand(s)
	raw, names, err := withHalves(ctx, w, names)
	if err != nil {
		return p, err
	}
	sub := Spec{Version: s.Version, Region: s.Region, Owner: s.Owner, Groups: map[string]Group{}}
	for _, name := range names {
		sub.Groups[name] = s.Groups[name]
	}
	o, err := Observe(ctx, w, sub)
	if err != nil {
		return p, err
	}
	for _, name := range sub.Names() {
		g, there := raw[name]
		if !there {
			return p, fault.Newf(fault.Check, "check the name and the region "+s.Region, "refreshing %s: there is no such group", name)
		}
		r := refresher{name: name, raw: g, live: o.Groups[name], o: o, opt: opt.Under(s.Groups[name].Refresh), plan: &p}
		if _, described := s.Groups[name]; described && opt.Version == "" {
			one := sub
			one.Groups = map[string]Group{name: s.Groups[name]}
			if err := r.aim(one); err != nil {
				return p, err
			}
		}
		if err := r.opt.Check(); err != nil { // of the file and the options together
			return p, err
		}
		last, err := lastRefresh(ctx, w, name)
		if err != nil {
			return p, refused("reading instance refreshes", err)
		}
		if err := r.decide(last); err != nil {
			return p, err
		}
	}
	for i := range p.Changes {
		p.Changes[i].Region = s.Region
	}
	return p, nil
}

// withHalves reads groups as AWS has them, and finds those that are one half of
// a group in mode backstop: who names the group means both.
func withHalves(ctx context.Context, w World, names []string) (map[string]astypes.AutoScalingGroup, []string, error) {
	var ask, out []string
	for _, name := range names {
		ask = append(ask, name, name+BackstopSuffix)
	}
	raw, err := rawGroups(ctx, w.Groups, ask)
	for _, name := range names {
		out = append(out, name)
		half, there := raw[name+BackstopSuffix]
		if there && !slices.Contains(names, name+BackstopSuffix) && val(liveOf(half).PartOf) == name {
			out = append(out, name+BackstopSuffix)
		}
	}
	return raw, out, err
}

// rawGroups reads groups in AWS's own words, by name; one that is not there is
// left out.
func rawGroups(ctx context.Context, api as.DescribeAutoScalingGroupsAPIClient, names []string) (map[string]astypes.AutoScalingGroup, error) {
	out := map[string]astypes.AutoScalingGroup{}
	for chunk := range slices.Chunk(names, pageSize) {
		in := &as.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: chunk, MaxRecords: ptr(int32(pageSize))}
		for pages := as.NewDescribeAutoScalingGroupsPaginator(api, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, refused("reading groups", err)
			}
			for _, g := range page.AutoScalingGroups {
				out[val(g.AutoScalingGroupName)] = g
			}
		}
	}
	return out, nil
}

// refresher plans the refresh of one group.
type refresher struct {
	name string
	raw  astypes.AutoScalingGroup
	live Live
	o    Observed
	opt  RefreshOptions
	plan *RefreshPlan

	version  string  // to go to; "": the one that create makes
	template string  // by name, where the file moves the group to another one
	create   *Change // of the launch template version
}

// aim takes from the file which version the group shall get, and the change
// that makes it.
func (r *refresher) aim(s Spec) error {
	p, err := Diff(s, r.o, DiffOptions{})
	if err != nil {
		return err
	}
	r.version = r.current()
	others := 0
	for _, c := range p.Changes {
		switch {
		case c.Kind == CreateVersion || c.Kind == CreateTemplate:
			r.create = &c
		case c.Kind == UpdateGroup:
			others += r.update(c.Fields)
		default:
			others++
		}
	}
	if others > 0 {
		r.plan.Pending = append(r.plan.Pending, r.name)
	}
	if r.create != nil {
		r.version = ""
	}
	return nil
}

// update reads the new version off the group's own changes and counts those
// that are about something else.
func (r *refresher) update(fields []Field) (others int) {
	for _, f := range fields {
		switch {
		case f.Path == "launch.version":
			r.version = f.After
		case f.Path == "launch.template":
			r.template = f.After
		case !strings.HasPrefix(f.Path, "launch."):
			others++
		}
	}
	return others
}

// current is the version that the group asks for, as a number.
func (r *refresher) current() string {
	if strings.HasPrefix(r.live.Version, "$") {
		return strconv.FormatInt(r.o.Templates[r.live.Template].number(r.live.Version), 10)
	}
	return r.live.Version
}

// spec is the group's launch template.
func (r *refresher) spec() *astypes.LaunchTemplateSpecification {
	if m := r.raw.MixedInstancesPolicy; m != nil && m.LaunchTemplate != nil {
		return m.LaunchTemplate.LaunchTemplateSpecification
	}
	return r.raw.LaunchTemplate
}

// decide plans the refresh, joins one that is under way, or finds nothing to
// do.
func (r *refresher) decide(last *RefreshStatus) error {
	switch {
	case r.live.Status != "":
		return fault.Newf(fault.Check, "name another group", "refreshing %s: AWS is deleting it", r.name)
	case r.spec() == nil:
		return fault.Newf(fault.Check, "run autoscalectl apply first: it moves the group to a launch template", "refreshing %s: it still uses launch configuration %s", r.name, r.live.Config)
	}
	if r.version == "" && r.create == nil {
		r.version = r.current()
	}
	if r.opt.Version != "" {
		r.version, r.create = r.opt.Version, nil
	}
	if last != nil && !last.Over() {
		if last.Version != "" && last.Version == r.version && r.create == nil {
			r.plan.ids[r.name] = last.ID
			return nil
		}
		return fault.Newf(fault.Check, fmt.Sprintf("wait for it (autoscalectl watch %s), or end it: autoscalectl refresh --cancel %s, or --rollback", r.name, r.name),
			"refreshing %s: a refresh%s is under way (%s, %d %%)", r.name, toVersion(last.Version), last.Status, last.Percent)
	}
	replace := r.toReplace()
	if replace == 0 && r.create == nil && r.version == r.current() {
		r.plan.Idle = append(r.plan.Idle, r.name)
		return nil
	}
	r.changes(replace)
	return nil
}

func toVersion(v string) string {
	if v == "" {
		return ""
	}
	return " to version " + v
}

// toReplace counts the instances that do not match.
func (r *refresher) toReplace() int {
	n := 0
	for _, i := range r.raw.Instances {
		if instanceOf(i).Version != r.version || r.opt.ReplaceAll {
			n++
		}
	}
	return n
}

// inUse are the versions that instances run, most first.
func (r *refresher) inUse() string {
	var all []Instance
	for _, i := range r.raw.Instances {
		n := instanceOf(i)
		n.State, n.Health = "", ""
		all = append(all, n)
	}
	var out []string
	for _, c := range tally(all, "") {
		out = append(out, fmt.Sprintf("%d on %s", c.N, c.Version))
	}
	return strings.Join(out, ", ")
}

// after is the version in words of the plan.
func (r *refresher) after() string {
	if r.version != "" {
		return r.version
	}
	return strconv.FormatInt(r.o.Templates[*or(text(r.template), r.live.Template)].Latest+1, 10)
}

func (r *refresher) add(k Kind, reason string, fields []Field, do func(context.Context, *run) error) {
	r.plan.Changes = append(r.plan.Changes, Change{Group: r.name, Kind: k, Name: r.name, Fields: fields, Reason: reason, do: do})
}

func (r *refresher) changes(replace int) {
	if r.create != nil {
		r.plan.Changes = append(r.plan.Changes, *r.create)
	}
	back := r.current()
	if from := r.opt.From; from != "" && from != back {
		r.add(ResetVersion, "a rollback goes back to what the group asks for when the refresh starts", []Field{{Path: "launch.version", Before: back, After: from}},
			func(ctx context.Context, run *run) error { return r.reset(ctx, run, from) })
		back = from
	}
	fields := append([]Field{{Path: "launch.version", Before: back, After: r.after()}, {Path: "instances", Before: r.inUse(), After: fmt.Sprintf("%d to replace", replace)}}, r.opt.fields()...)
	reason := fmt.Sprintf("%d of %s run something else than version %s", replace, count(len(r.raw.Instances), "instance", "instances"), r.after())
	switch {
	case r.opt.ReplaceAll:
		reason = "all instances are to be replaced"
	case replace == 0:
		reason = "no instance needs replacing; the refresh moves the group to version " + r.after()
	case back == r.after():
		reason += "; the group asks for it already, so a rollback would stay on it (--from names another version)"
	}
	r.add(StartRefresh, reason, fields, r.start)
}

// reset points the group at an older version before the refresh starts.
func (r *refresher) reset(ctx context.Context, run *run, version string) error {
	in := &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &r.name}
	in.LaunchTemplate, in.MixedInstancesPolicy = r.launch(version)
	_, err := run.w.Groups.UpdateAutoScalingGroup(ctx, in)
	return err
}

// launch is the group's way to launch with another version.
func (r *refresher) launch(version string) (*astypes.LaunchTemplateSpecification, *astypes.MixedInstancesPolicy) {
	spec := &astypes.LaunchTemplateSpecification{LaunchTemplateId: r.spec().LaunchTemplateId, Version: &version}
	if r.template != "" {
		spec = &astypes.LaunchTemplateSpecification{LaunchTemplateName: &r.template, Version: &version}
	}
	m := r.raw.MixedInstancesPolicy
	if m == nil {
		return spec, nil
	}
	return nil, &astypes.MixedInstancesPolicy{InstancesDistribution: m.InstancesDistribution,
		LaunchTemplate: &astypes.LaunchTemplate{LaunchTemplateSpecification: spec, Overrides: m.LaunchTemplate.Overrides}}
}

// start begins the refresh, to the version that an earlier change made where
// there was one.
func (r *refresher) start(ctx context.Context, run *run) error {
	version := r.version
	if r.create != nil {
		version = run.version
	}
	in := &as.StartInstanceRefreshInput{AutoScalingGroupName: &r.name, Strategy: astypes.RefreshStrategyRolling, Preferences: r.opt.preferences(), DesiredConfiguration: &astypes.DesiredConfiguration{}}
	in.DesiredConfiguration.LaunchTemplate, in.DesiredConfiguration.MixedInstancesPolicy = r.launch(version)
	out, err := run.w.Groups.StartInstanceRefresh(ctx, in)
	if err == nil {
		r.plan.ids[r.name] = val(out.InstanceRefreshId)
		return nil
	}
	if awserr.Code(err) == "InstanceRefreshInProgress" { // ours, when the answer to an earlier try was lost
		if last, lerr := lastRefresh(ctx, run.w, r.name); lerr == nil && last != nil && !last.Over() && last.Version == version {
			r.plan.ids[r.name] = last.ID
			return nil
		}
	}
	return err
}
