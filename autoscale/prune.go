package autoscale

import (
	"context"
	"fmt"
	"slices"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/fault"
)

// PruneOptions bound what a prune may take away.
type PruneOptions struct {
	MaxShare float64 // of the owner's groups, 0 to 1; more is refused
}

// Leftover is a group that no file describes.
type Leftover struct {
	Group string `json:"group"`
	Owner string `json:"owner"` // "" for one that nobody marked
}

// Prune plans the deletion of the groups that carry s.Owner's mark and are not
// in s. Groups that are not ours are listed, never planned. A file without an
// owner, or a plan over MaxShare of the owner's groups, is refused: that is
// more likely a wrong file than a wish.
func Prune(ctx context.Context, w World, s Spec, opt PruneOptions) (Plan, []Leftover, error) {
	if s.Owner == "" {
		return Plan{}, nil, fault.Newf(fault.Usage, "add owner: NAME to the file (version 2) and apply it, which marks its groups", "pruning: the file names no owner, so no group is known to be its own")
	}
	names, foreign, total, err := strangers(ctx, w, Expand(s))
	if err != nil {
		return Plan{}, nil, err
	}
	if share := float64(len(names)) / float64(max(total, 1)); share > opt.MaxShare {
		return Plan{}, foreign, fault.Newf(fault.Check, "look at the list; if it is right, raise --max-share",
			"pruning: %d of %d groups of owner %s would go (%v), over the limit of %.0f%%", len(names), total, s.Owner, names, 100*opt.MaxShare)
	}
	if len(names) == 0 {
		return Plan{}, foreign, nil
	}
	doomed := Spec{Region: s.Region, Groups: map[string]Group{}}
	for _, name := range names {
		doomed.Groups[name] = Group{Hooks: map[string]Hook{}}
	}
	o, err := Observe(ctx, w, doomed)
	if err != nil {
		return Plan{}, foreign, err
	}
	p := Plan{}
	for _, name := range o.Names() {
		c, blockers := Destroy(name, o.Groups[name], "the file does not describe it, and it carries the mark of owner "+s.Owner)
		if len(blockers) > 0 {
			return Plan{}, foreign, blocked(name, blockers)
		}
		p.Changes = append(p.Changes, c)
	}
	p.sort()
	return p, foreign, nil
}

// strangers lists the groups that s does not describe: ours, and those that
// are not; total counts the groups with the owner's mark.
func strangers(ctx context.Context, w World, s Spec) (ours []string, foreign []Leftover, total int, err error) {
	for pages := as.NewDescribeAutoScalingGroupsPaginator(w.Groups, &as.DescribeAutoScalingGroupsInput{MaxRecords: ptr(int32(pageSize))}); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, 0, refused("reading groups", err)
		}
		for _, g := range out.AutoScalingGroups {
			live, name := liveOf(g), val(g.AutoScalingGroupName)
			if live.Status != "" {
				continue // AWS is deleting it already
			}
			if live.Owner == s.Owner {
				total++
			}
			switch _, described := s.Groups[name]; {
			case described:
			case live.Owner != s.Owner:
				foreign = append(foreign, Leftover{name, live.Owner})
			default:
				ours = append(ours, name)
			}
		}
	}
	return ours, foreign, total, nil
}

func blocked(name string, blockers []string) error {
	return fault.Newf(fault.Check, "lift what blocks it first", "destroying %s: %v", name, blockers)
}

// Destroy plans the deletion of one group with its instances, and lists what
// would make AWS refuse or hang.
func Destroy(name string, live Live, reason string) (Change, []string) {
	var blockers []string
	if p := val(live.Protection).Deletion; p != nil && *p != "none" {
		blockers = append(blockers, "deletion protection is "+*p)
	}
	if slices.Contains(live.Suspended, "Terminate") {
		blockers = append(blockers, "process Terminate is suspended")
	}
	for _, i := range live.Instances {
		if i.State == string(astypes.LifecycleStateStandby) || i.State == string(astypes.LifecycleStateEnteringStandby) {
			blockers = append(blockers, fmt.Sprintf("instance %s is in standby", i.ID))
		}
	}
	for key, h := range live.Hooks {
		if val(h.On) == "terminating" {
			blockers = append(blockers, fmt.Sprintf("hook %s holds each instance for up to %d s", key, val(h.Timeout)))
		}
	}
	slices.Sort(blockers)
	fields := []Field{{"capacity.desired", fmt.Sprint(live.Desired), ""}}
	return Change{Group: name, Kind: DeleteGroup, Name: name, Fields: fields, Reason: reason, PartOf: val(live.PartOf), do: func(ctx context.Context, r *run) error {
		return r.deleteGroup(ctx, live)
	}}, blockers
}

// DestroyGroup reads one group and plans its deletion; of a written group that
// is several in AWS, that of all. Blockers are an error that lists them.
func DestroyGroup(ctx context.Context, w World, region, name string) (Plan, error) {
	ask := Spec{Region: region, Groups: map[string]Group{name: {Hooks: map[string]Hook{}}, name + BackstopSuffix: {Hooks: map[string]Hook{}}}}
	o, err := Observe(ctx, w, ask)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{}
	for _, one := range o.Names() {
		live := o.Groups[one]
		if one != name && val(live.PartOf) != name {
			continue // it only looks like a half
		}
		c, blockers := Destroy(one, live, "you asked for it")
		if len(blockers) > 0 {
			return Plan{}, blocked(one, blockers)
		}
		p.Changes = append(p.Changes, c)
	}
	if len(p.Changes) == 0 {
		return Plan{}, fault.Newf(fault.Check, "check the name and the region "+region, "destroying %s: there is no such group", name)
	}
	p.sort()
	return p, nil
}

// deleteGroup takes the group, then the alarms that only served it. Launch
// templates stay: they cost nothing and are the way back.
func (r *run) deleteGroup(ctx context.Context, live Live) error {
	_, err := r.w.Groups.DeleteAutoScalingGroup(ctx, &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &r.group, ForceDelete: ptr(true)})
	if err != nil {
		return err
	}
	for _, a := range live.Alarms {
		if err := r.deleteAlarm(ctx, AlarmName(r.group, a)); err != nil {
			return err
		}
	}
	return nil
}
