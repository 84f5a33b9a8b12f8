package autoscale

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// StatusReader is the part of Auto Scaling that tells how groups fare.
type StatusReader interface {
	DescribeScalingActivities(context.Context, *as.DescribeScalingActivitiesInput, ...func(*as.Options)) (*as.DescribeScalingActivitiesOutput, error)
	DescribeInstanceRefreshes(context.Context, *as.DescribeInstanceRefreshesInput, ...func(*as.Options)) (*as.DescribeInstanceRefreshesOutput, error)
	DescribeWarmPool(context.Context, *as.DescribeWarmPoolInput, ...func(*as.Options)) (*as.DescribeWarmPoolOutput, error)
}

// StatusOptions bound a look at groups.
type StatusOptions struct {
	Names []string      // none: all groups of the region
	Since time.Duration // how far back activities and ended refreshes count
}

// Bounds of a look.
const (
	// few groups are asked for one by one; more in one list of the account.
	few = 3
	// askRefresh is up to how many groups each is asked for its refreshes;
	// beyond, only those whose instances or activities hint at one.
	askRefresh = 20
	// activityPages bounds the list of the account: 1,000 activities.
	activityPages = 10
)

// ReadStatus looks at groups: pages of groups and of activities, and one call
// for each warm pool and each group that may have a refresh. Names that do not
// exist are in the answer, with trouble. Errors are fault.AWS.
func ReadStatus(ctx context.Context, w World, opt StatusOptions) ([]GroupStatus, error) {
	l := statusLook{w: w, opt: opt, since: w.Now().Add(-opt.Since)}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"groups", l.groups}, {"launch templates", l.versions}, {"scaling activities", l.activities}, {"instance refreshes", l.refreshes}, {"warm pools", l.warmPools},
	} {
		if err := step.do(ctx); err != nil {
			return nil, refused("reading "+step.what, err)
		}
	}
	for i := range l.all {
		s := &l.all[i]
		s.Counts = tally(s.Instances, s.Version)
		s.Trouble = trouble(*s)
	}
	return l.all, nil
}

// statusLook is one reading under way.
type statusLook struct {
	w     World
	opt   StatusOptions
	since time.Time
	all   []GroupStatus
	pools []string // groups with a warm pool
}

func (l *statusLook) groups(ctx context.Context) error {
	for _, name := range l.opt.Names {
		l.all = append(l.all, GroupStatus{Group: name, Instances: []Instance{}, Activities: []Activity{}})
	}
	ask := [][]string{nil} // nobody named: all
	if len(l.opt.Names) > 0 {
		ask = slices.Collect(slices.Chunk(l.opt.Names, pageSize))
	}
	if err := l.describe(ctx, ask); err != nil || len(l.opt.Names) == 0 {
		return err
	}
	halves := l.halves()
	l.opt.Names = slices.Concat(l.opt.Names, halves)
	for _, name := range halves {
		l.all = append(l.all, GroupStatus{Group: name, Instances: []Instance{}, Activities: []Activity{}})
	}
	return l.describe(ctx, slices.Collect(slices.Chunk(halves, pageSize)))
}

// halves are the other groups of written groups that are several; whoever
// asks for the written one means them, too.
func (l *statusLook) halves() []string {
	var out []string
	for _, s := range l.all {
		if half := s.PartOf + BackstopSuffix; s.PartOf == s.Group && l.index(half) < 0 {
			out = append(out, half)
		}
	}
	return out
}

func (l *statusLook) describe(ctx context.Context, ask [][]string) error {
	for _, names := range ask {
		in := &as.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: names, MaxRecords: ptr(int32(pageSize))}
		for pages := as.NewDescribeAutoScalingGroupsPaginator(l.w.Groups, in); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, g := range out.AutoScalingGroups {
				l.add(g)
			}
		}
	}
	return nil
}

func (l *statusLook) add(g astypes.AutoScalingGroup) {
	live := liveOf(g)
	s := GroupStatus{Group: val(g.AutoScalingGroupName), PartOf: val(live.PartOf), Exists: true, Deleting: live.Status, Min: int(val(g.MinSize)), Max: int(val(g.MaxSize)), Desired: live.Desired,
		Template: cmp.Or(live.Template, live.Config), Version: cmp.Or(live.Version, live.Config), Instances: []Instance{}, Activities: []Activity{}}
	slices.Sort(live.Suspended)
	s.Suspended = live.Suspended
	for _, i := range g.Instances {
		s.Instances = append(s.Instances, instanceOf(i))
		if i.LifecycleState == astypes.LifecycleStateInService && val(i.HealthStatus) == "Healthy" {
			s.InService += weight(i)
		}
	}
	if g.WarmPoolConfiguration != nil {
		l.pools = append(l.pools, s.Group)
		s.WarmPool = warmOf(*g.WarmPoolConfiguration)
		s.WarmPool.Size = int(val(g.WarmPoolSize))
	}
	if at := l.index(s.Group); at >= 0 {
		l.all[at] = s
	} else {
		l.all = append(l.all, s)
	}
}

// weight is what an instance counts for in a group whose types have weights.
func weight(i astypes.Instance) int {
	if n, err := strconv.Atoi(val(i.WeightedCapacity)); err == nil {
		return n
	}
	return 1
}

func (l *statusLook) index(group string) int {
	return slices.IndexFunc(l.all, func(s GroupStatus) bool { return s.Group == group })
}

// versions resolves what groups call $Latest or $Default, in one list.
func (l *statusLook) versions(ctx context.Context) error {
	symbolic := func(s GroupStatus) bool {
		return s.Exists && s.Template != "" && strings.HasPrefix(s.Version, "$")
	}
	if !slices.ContainsFunc(l.all, symbolic) {
		return nil
	}
	o := Observed{Templates: map[string]Versions{}}
	in := &ec2.DescribeLaunchTemplateVersionsInput{Versions: []string{"$Latest", "$Default"}}
	r := reader{w: l.w, o: &o}
	all, err := r.versions(ctx, in)
	if err != nil {
		return err
	}
	r.note(all)
	for i := range l.all {
		if v, known := o.Templates[l.all[i].Template]; known && symbolic(l.all[i]) {
			l.all[i].Version = strconv.FormatInt(v.number(l.all[i].Version), 10)
		}
	}
	return nil
}

func (l *statusLook) existing() []string {
	var out []string
	for _, s := range l.all {
		if s.Exists {
			out = append(out, s.Group)
		}
	}
	return out
}

// activities of a few groups are asked for by group, those of many in one
// list, which is sorted by start: reading stops where the look-back ends.
func (l *statusLook) activities(ctx context.Context) error {
	names := l.existing()
	if len(names) > few {
		return l.list(ctx, nil)
	}
	for _, name := range names {
		if err := l.list(ctx, &name); err != nil {
			return err
		}
	}
	return nil
}

func (l *statusLook) list(ctx context.Context, group *string) error {
	in := &as.DescribeScalingActivitiesInput{AutoScalingGroupName: group, MaxRecords: ptr(int32(pageSize)),
		Filters: []astypes.Filter{{Name: ptr("StartTimeLowerBound"), Values: []string{l.since.UTC().Format(time.RFC3339)}}}}
	pages := as.NewDescribeScalingActivitiesPaginator(l.w.Groups, in)
	for n := 0; pages.HasMorePages() && n < activityPages; n++ {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, a := range out.Activities {
			at := l.index(val(a.AutoScalingGroupName))
			if at >= 0 && !val(a.StartTime).Before(l.since) {
				l.all[at].Activities = append(l.all[at].Activities, activityOf(a))
			}
		}
	}
	for i := range l.all {
		slices.SortStableFunc(l.all[i].Activities, func(a, b Activity) int { return b.Start.Compare(a.Start) })
	}
	return nil
}

func activityOf(a astypes.Activity) Activity {
	out := Activity{ID: val(a.ActivityId), Group: val(a.AutoScalingGroupName), Description: val(a.Description), Status: string(a.StatusCode), Message: val(a.StatusMessage),
		Cause: val(a.Cause), Progress: int(val(a.Progress)), Start: val(a.StartTime), End: val(a.EndTime)}
	out.Trouble, out.Why = Classify(out.Status, firstOf(out.Message, out.Description), out.Cause)
	return out
}

func (l *statusLook) refreshes(ctx context.Context) error {
	names := l.existing()
	for i := range l.all {
		if s := &l.all[i]; s.Exists && (len(names) <= askRefresh || hints(*s)) {
			r, err := lastRefresh(ctx, l.w, s.Group)
			if err != nil {
				return err
			}
			if r != nil && (!r.Over() || !r.End.Before(l.since)) {
				s.Refresh = r
			}
		}
	}
	return nil
}

// hints says that a group may be under an instance refresh.
func hints(s GroupStatus) bool {
	return slices.ContainsFunc(s.Activities, func(a Activity) bool { return a.Why == CauseRefresh }) ||
		slices.ContainsFunc(s.Instances, func(i Instance) bool { return i.Version != s.Version })
}

// lastRefresh is the group's newest instance refresh; nil when it had none.
func lastRefresh(ctx context.Context, w World, group string) (*RefreshStatus, error) {
	out, err := w.Groups.DescribeInstanceRefreshes(ctx, &as.DescribeInstanceRefreshesInput{AutoScalingGroupName: &group, MaxRecords: ptr(int32(1))})
	if err != nil || len(out.InstanceRefreshes) == 0 {
		return nil, err
	}
	r := refreshOf(out.InstanceRefreshes[0])
	return &r, nil
}

func refreshOf(r astypes.InstanceRefresh) RefreshStatus {
	out := RefreshStatus{Group: val(r.AutoScalingGroupName), ID: val(r.InstanceRefreshId), Status: string(r.Status), Percent: int(val(r.PercentageComplete)), ToGo: int(val(r.InstancesToUpdate)),
		Reason: val(r.StatusReason), Start: val(r.StartTime), End: val(r.EndTime)}
	if d := r.DesiredConfiguration; d != nil {
		spec := d.LaunchTemplate
		if m := d.MixedInstancesPolicy; m != nil && m.LaunchTemplate != nil {
			spec = m.LaunchTemplate.LaunchTemplateSpecification
		}
		out.Version = val(val(spec).Version)
	}
	return out
}

func (l *statusLook) warmPools(ctx context.Context) error {
	for _, name := range l.pools {
		var all []Instance
		for pages := as.NewDescribeWarmPoolPaginator(l.w.Groups, &as.DescribeWarmPoolInput{AutoScalingGroupName: &name}); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, i := range out.Instances {
				all = append(all, instanceOf(i))
			}
		}
		s := &l.all[l.index(name)]
		s.WarmPool.Size, s.WarmPool.Counts = len(all), tally(all, s.Version)
	}
	return nil
}

func instanceOf(i astypes.Instance) Instance {
	n := Instance{ID: val(i.InstanceId), Zone: val(i.AvailabilityZone), State: string(i.LifecycleState), Health: val(i.HealthStatus), Version: val(i.LaunchConfigurationName)}
	if i.LaunchTemplate != nil {
		n.Version = val(i.LaunchTemplate.Version)
	}
	return n
}

func warmOf(c astypes.WarmPoolConfiguration) *WarmStatus {
	return &WarmStatus{State: string(c.PoolState), Min: int(val(c.MinSize)), Status: string(c.Status), Counts: []Count{}}
}
