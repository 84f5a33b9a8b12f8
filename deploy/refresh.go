package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/await"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// Refreshing is the part of Auto Scaling that Refresher uses.
type Refreshing interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
	StartInstanceRefresh(context.Context, *autoscaling.StartInstanceRefreshInput, ...func(*autoscaling.Options)) (*autoscaling.StartInstanceRefreshOutput, error)
	DescribeInstanceRefreshes(context.Context, *autoscaling.DescribeInstanceRefreshesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeInstanceRefreshesOutput, error)
	CancelInstanceRefresh(context.Context, *autoscaling.CancelInstanceRefreshInput, ...func(*autoscaling.Options)) (*autoscaling.CancelInstanceRefreshOutput, error)
	RollbackInstanceRefresh(context.Context, *autoscaling.RollbackInstanceRefreshInput, ...func(*autoscaling.Options)) (*autoscaling.RollbackInstanceRefreshOutput, error)
}

// refreshLook is the pause between two looks at an instance refresh, which
// takes minutes.
const refreshLook = 15 * time.Second

// Refresh is what became of one Auto Scaling group.
type Refresh struct {
	Group   string `json:"group"`
	Version string `json:"version,omitempty"` // of the launch template that was asked for; empty: the group's own
	Before  string `json:"before,omitempty"`  // version that the group had; empty: none was asked for
	ID      string `json:"id,omitempty"`      // of the instance refresh under way, or the last one
	Back    bool   `json:"back,omitempty"`    // it is the one that goes back
	Status  string `json:"status,omitempty"`  // as Auto Scaling names it
	Percent int32  `json:"percent,omitempty"`
}

// Refresher replaces the instances of whole groups by Auto Scaling's instance
// refresh: new instances boot with what the channel points at. Auto Scaling's
// own health checks say whether they came up, not the agent.
type Refresher struct {
	API   Refreshing
	Clock Clock
}

// PlanGroups makes a wave of each Auto Scaling group that hosts are in. A host
// in no group is fault.Check: nobody would replace it.
func PlanGroups(hosts []Host) ([]Wave, error) {
	byGroup := map[string][]Host{}
	for _, h := range hosts {
		if h.Group == "" {
			return nil, fault.Newf(fault.Check, "roll it out by --engine ssh or ssm", "planning an instance refresh: %s is in no Auto Scaling group", h.Instance)
		}
		byGroup[h.Group] = append(byGroup[h.Group], h)
	}
	var names []string
	for name := range byGroup {
		names = append(names, name)
	}
	// The smallest group goes first: it stands for the canary.
	slices.SortFunc(names, func(a, b string) int {
		if d := len(byGroup[a]) - len(byGroup[b]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var waves []Wave
	for _, name := range names {
		waves = append(waves, wave("group "+name, byGroup[name]))
	}
	return waves, nil
}

// refreshOf is the entry of wave i's group.
func (r *Rollout) refreshOf(i int) *Refresh {
	group := r.Waves[i].Hosts[0].Group
	for j := range r.Refreshes {
		if r.Refreshes[j].Group == group {
			return &r.Refreshes[j]
		}
	}
	r.Refreshes = append(r.Refreshes, Refresh{Group: group, Version: r.Strategy.TemplateVersion})
	return &r.Refreshes[len(r.Refreshes)-1]
}

// group replaces the instances of wave i's group. An error with r.Reason set is
// the stop rule's; another one leaves the refresh under way to a later Run.
func (x *Executor) group(ctx context.Context, r *Rollout, i int) error {
	w := &r.Waves[i]
	if len(w.Hosts) == 0 || w.Hosts[0].State == Replaced {
		return nil
	}
	start := x.Clock.Now()
	x.Board.StepStarted(w.Name)
	f := r.refreshOf(i)
	resumed := w.Hosts[0].State == Begun
	w.set(Begun, "")
	err := x.save(ctx, r)
	if err == nil && f.ID == "" {
		if err = x.Groups.start(ctx, r, f, resumed); err == nil {
			err = x.save(ctx, r)
		}
	}
	why := ""
	if err == nil {
		why, err = x.watch(ctx, r, f, w.Name)
	}
	if why != "" {
		r.Reason, r.Phase = w.Name+": "+why, RollingBack
		w.set(Failed, why)
		err = errors.Join(errors.New(r.Reason), x.save(ctx, r))
	} else if err == nil {
		w.set(Replaced, "")
		err = x.save(ctx, r)
	}
	x.Board.StepDone(w.Name, x.Clock.Now().Sub(start), err)
	return err
}

// set gives all hosts of a wave a state.
func (w *Wave) set(s HostState, problem string) {
	for h := range w.Hosts {
		w.Hosts[h].State, w.Hosts[h].Problem = s, problem
	}
}

// watch waits for the end of a refresh, and says why it failed, or "". The
// watched gates are asked on the way.
func (x *Executor) watch(ctx context.Context, r *Rollout, f *Refresh, name string) (why string, err error) {
	for {
		now, err := x.lookOn(ctx, f, name)
		if err != nil {
			return "", err
		}
		x.Board.StepProgress(name, progressOf(now))
		switch now.Status {
		case types.InstanceRefreshStatusSuccessful, types.InstanceRefreshStatusRollbackSuccessful:
			if f.Back == (now.Status == types.InstanceRefreshStatusRollbackSuccessful) || f.Back {
				return "", nil
			}
			return "somebody rolled its refresh back", nil
		case types.InstanceRefreshStatusFailed, types.InstanceRefreshStatusCancelled, types.InstanceRefreshStatusCancelling,
			types.InstanceRefreshStatusRollbackFailed:
			return strings.TrimSpace(fmt.Sprintf("the instance refresh is %s: %s", now.Status, aws.ToString(now.StatusReason))), nil
		}
		if r.Phase == Rolling {
			if err := x.ask(ctx, r, name, true); err != nil {
				return strings.TrimPrefix(r.Reason, "after "+name+": "), errors.Join(err, ctx.Err()) // it is not after it yet
			}
		}
		if err := x.Clock.Sleep(ctx, refreshLook); err != nil {
			return "", err
		}
	}
}

// lookOn asks how f's refresh stands until there is an answer. Auto Scaling
// goes on with it in a storm of throttling, too, which is no reason to go back.
func (x *Executor) lookOn(ctx context.Context, f *Refresh, name string) (now types.InstanceRefresh, err error) {
	patience := await.Patience{For: await.Unanswered}
	for {
		now, err = x.Groups.look(ctx, f)
		if !patience.Outlasts(x.Clock.Now(), err) {
			return now, err
		}
		x.Board.StepProgress(name, awsfault.Brief(err).Error()+"; looking on")
		if err := x.Clock.Sleep(ctx, refreshLook); err != nil {
			return now, err
		}
	}
}

// progressOf is how far a refresh is, in words.
func progressOf(now types.InstanceRefresh) string {
	text := fmt.Sprintf("%s, %d %%, %d instances to go", now.Status, aws.ToInt32(now.PercentageComplete), aws.ToInt32(now.InstancesToUpdate))
	if why := aws.ToString(now.StatusReason); why != "" {
		text += ": " + why
	}
	return text
}

// start begins a refresh. One of ours whose answer was lost with a dead
// operator is taken up; anybody else's is refused.
func (g Refresher) start(ctx context.Context, r *Rollout, f *Refresh, resumed bool) error {
	in, err := g.wanted(ctx, r, f)
	if err != nil {
		return err
	}
	out, err := g.API.StartInstanceRefresh(ctx, in)
	if err == nil {
		f.ID = aws.ToString(out.InstanceRefreshId)
		return nil
	}
	if awserr.Code(err) != "InstanceRefreshInProgress" {
		return awsfault.New("autoscaling:StartInstanceRefresh", "refreshing group "+f.Group, err)
	}
	list, lerr := g.API.DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &f.Group, MaxRecords: aws.Int32(1)})
	if lerr != nil {
		return awsfault.New("autoscaling:DescribeInstanceRefreshes", "looking at the refreshes of group "+f.Group, lerr)
	}
	if resumed && len(list.InstanceRefreshes) > 0 && !aws.ToTime(list.InstanceRefreshes[0].StartTime).Before(r.Started) {
		f.ID = aws.ToString(list.InstanceRefreshes[0].InstanceRefreshId)
		return nil
	}
	return fault.New(fault.Check, "wait until it is over, then deployctl rollout --resume "+r.ID, fmt.Errorf("refreshing group %s: somebody else's refresh of it is under way: %w", f.Group, awsfault.Brief(err)))
}

// wanted is the request that replaces the group's instances. SkipMatching stays
// off: a build is in no launch template, so every instance would match.
func (g Refresher) wanted(ctx context.Context, r *Rollout, f *Refresh) (*autoscaling.StartInstanceRefreshInput, error) {
	in := &autoscaling.StartInstanceRefreshInput{AutoScalingGroupName: &f.Group, Strategy: types.RefreshStrategyRolling,
		Preferences: &types.RefreshPreferences{SkipMatching: aws.Bool(false), AutoRollback: aws.Bool(false), MinHealthyPercentage: aws.Int32(r.Strategy.minHealthy())}}
	if c := r.Strategy.Canary; c.Percent && c.N > 0 && c.N < 100 && !f.Back {
		in.Preferences.CheckpointPercentages = []int32{int32(c.N), 100}
		in.Preferences.CheckpointDelay = aws.Int32(int32(max(r.Strategy.Pause, time.Second).Seconds()))
	}
	version := f.Version
	if f.Back {
		version = f.Before
	}
	if version == "" {
		return in, nil
	}
	out, err := g.API.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{f.Group}})
	if err != nil {
		return nil, awsfault.New("autoscaling:DescribeAutoScalingGroups", "looking at group "+f.Group, err)
	}
	if len(out.AutoScalingGroups) != 1 {
		return nil, fault.Newf(fault.Check, "check its name and the region", "looking at group %s: there are %d", f.Group, len(out.AutoScalingGroups))
	}
	before := ""
	if in.DesiredConfiguration, before = desired(out.AutoScalingGroups[0], version); in.DesiredConfiguration == nil {
		return nil, fault.Newf(fault.Check, "leave --launch-template-version out", "refreshing group %s: it has no launch template", f.Group)
	}
	if !f.Back && f.Before == "" {
		f.Before = before
	}
	return in, nil
}

// minHealthy is the share of a group that stays in service: what a wave is not.
func (s Strategy) minHealthy() int32 {
	if !s.Wave.Percent {
		return 90 // Auto Scaling's own default; it knows no counts
	}
	return int32(100 - s.Wave.N)
}

// desired is the group's configuration with another version of its launch
// template, and the version that it has now.
func desired(g types.AutoScalingGroup, version string) (*types.DesiredConfiguration, string) {
	switch {
	case g.LaunchTemplate != nil:
		return &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: g.LaunchTemplate.LaunchTemplateId,
			Version: &version}}, aws.ToString(g.LaunchTemplate.Version)
	case g.MixedInstancesPolicy != nil && g.MixedInstancesPolicy.LaunchTemplate != nil && g.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification != nil:
		now := g.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification
		return &types.DesiredConfiguration{MixedInstancesPolicy: &types.MixedInstancesPolicy{InstancesDistribution: g.MixedInstancesPolicy.InstancesDistribution,
			LaunchTemplate: &types.LaunchTemplate{Overrides: g.MixedInstancesPolicy.LaunchTemplate.Overrides,
				LaunchTemplateSpecification: &types.LaunchTemplateSpecification{LaunchTemplateId: now.LaunchTemplateId, Version: &version}}}}, aws.ToString(now.Version)
	}
	return nil, ""
}

// look asks how f's refresh stands.
func (g Refresher) look(ctx context.Context, f *Refresh) (types.InstanceRefresh, error) {
	out, err := g.API.DescribeInstanceRefreshes(ctx, &autoscaling.DescribeInstanceRefreshesInput{AutoScalingGroupName: &f.Group, InstanceRefreshIds: []string{f.ID}})
	if err != nil {
		return types.InstanceRefresh{}, awsfault.New("autoscaling:DescribeInstanceRefreshes", "looking at the refresh of group "+f.Group, err)
	}
	if len(out.InstanceRefreshes) != 1 {
		return types.InstanceRefresh{}, fault.Newf(fault.AWS, "", "looking at the refresh of group %s: Auto Scaling does not know %s any more", f.Group, f.ID)
	}
	now := out.InstanceRefreshes[0]
	f.Status, f.Percent = string(now.Status), aws.ToInt32(now.PercentageComplete)
	return now, nil
}
