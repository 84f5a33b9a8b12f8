package autoscale

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/fault"
)

// Unprotect is the kind of change that takes scale-in protection off
// instances.
const Unprotect Kind = "unprotect instances"

// Blocker is something that would make AWS refuse to delete a group, or hang,
// or that somebody put there to keep an instance.
type Blocker struct {
	Group string `json:"group"`
	What  string `json:"what"`
	Lift  string `json:"lift"` // what takes it away
}

// BlockedError lists all that stands in the way of a deletion.
type BlockedError struct {
	Doing    string
	Blockers []Blocker
}

// Error counts the blockers; the list is for the caller to show.
func (e *BlockedError) Error() string {
	groups := map[string]bool{}
	for _, b := range e.Blockers {
		groups[b.Group] = true
	}
	return fmt.Sprintf("%s %s: %s in the way", e.Doing, strings.Join(slices.Sorted(maps.Keys(groups)), ", "), count(len(e.Blockers), "thing is", "things are"))
}

func blocked(doing string, all []Blocker) error {
	if len(all) == 0 {
		return nil
	}
	return fault.New(fault.Check, "look at the list; --lift takes all of it away first", &BlockedError{doing, all})
}

// Blockers lists all that blocks the deletion of a group: g as AWS has it, its
// hooks, and its newest instance refresh or nil.
func Blockers(g astypes.AutoScalingGroup, hooks map[string]Hook, refresh *RefreshStatus) []Blocker {
	var out []Blocker
	say := func(lift, format string, args ...any) {
		out = append(out, Blocker{val(g.AutoScalingGroupName), fmt.Sprintf(format, args...), lift})
	}
	if refresh != nil && !refresh.Over() {
		say("cancel it", "instance refresh %s is %s at %d %%", refresh.ID, refresh.Status, refresh.Percent)
	}
	if p := g.DeletionProtection; p != "" && p != astypes.DeletionProtectionNone {
		say("set protection.deletion: none", "deletion protection is %s", p)
	}
	for _, p := range g.SuspendedProcesses {
		if val(p.ProcessName) == "Terminate" {
			say("resume it", "process Terminate is suspended: instances would stay")
		}
	}
	for _, i := range g.Instances {
		switch {
		case i.LifecycleState == astypes.LifecycleStateStandby || i.LifecycleState == astypes.LifecycleStateEnteringStandby:
			say("it ends with the group", "instance %s is in standby: somebody works on it", val(i.InstanceId))
		case val(i.ProtectedFromScaleIn):
			say("take its protection off", "instance %s is protected from scale-in", val(i.InstanceId))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(hooks)) {
		if h := hooks[key]; val(h.On) == "terminating" {
			say("delete the hook", "hook %s holds each instance on its way out for up to %d s", key, *or(h.Timeout, 3600))
		}
	}
	if c := g.WarmPoolConfiguration; c != nil {
		say("delete the pool with its instances", "there is a warm pool of %s", count(int(val(g.WarmPoolSize)), "instance", "instances"))
	}
	return out
}

// DestroyGroup plans the deletion of one group with its instances and alarms;
// of a written group that is several in AWS, that of all.
// Launch templates stay: they cost nothing and are the way back. Without lift,
// what blocks the deletion is a fault.Check around a *BlockedError; with it,
// the plan takes the blockers away first. A group that AWS is deleting already
// is an empty plan, so that a second run ends well.
func DestroyGroup(ctx context.Context, w World, region, name string, lift bool) (Plan, error) {
	raw, names, err := withHalves(ctx, w, []string{name})
	if err != nil {
		return Plan{}, err
	}
	if _, there := raw[name]; !there && len(names) > 1 { // a run before this one took the other half
		names = names[1:]
	}
	p, blockers, err := doom(ctx, w, region, names, "you asked for it", lift)
	if err != nil {
		return Plan{}, err
	}
	return p, blocked("destroying", blockers)
}

// doom plans the deletion of groups that must exist.
func doom(ctx context.Context, w World, region string, names []string, reason string, lift bool) (Plan, []Blocker, error) {
	var p Plan
	var all []Blocker
	ask := Spec{Region: region, Groups: map[string]Group{}}
	for _, name := range names {
		ask.Groups[name] = Group{Hooks: map[string]Hook{}} // a managed section is read
	}
	if len(names) == 0 {
		return p, nil, nil
	}
	o, err := Observe(ctx, w, ask)
	if err != nil {
		return p, nil, err
	}
	raw, err := rawGroups(ctx, w.Groups, ask.Names())
	if err != nil {
		return p, nil, err
	}
	for _, name := range ask.Names() {
		g, there := raw[name]
		live, seen := o.Groups[name]
		if !there || !seen {
			return p, nil, fault.Newf(fault.Check, "check the name and the region "+region, "destroying %s: there is no such group", name)
		}
		if live.Status != "" {
			continue // AWS is at it
		}
		last, err := lastRefresh(ctx, w, name)
		if err != nil {
			return p, nil, refused("reading instance refreshes", err)
		}
		found := Blockers(g, live.Hooks, last)
		if !lift {
			all = append(all, found...)
		} else if len(found) > 0 {
			p.Changes = append(p.Changes, lifting(name, g, live, last)...)
		}
		p.Changes = append(p.Changes, deletion(name, live, reason)...)
		for i := range p.Changes {
			if p.Changes[i].Group == name {
				p.Changes[i].PartOf, p.Changes[i].Region = val(live.PartOf), region
			}
		}
	}
	return p, all, nil
}

// lifting takes away what blocks, in the order in which AWS allows it.
func lifting(name string, g astypes.AutoScalingGroup, live Live, refresh *RefreshStatus) []Change {
	var out []Change
	add := func(k Kind, what string, f Field, do func(context.Context, *run) error) {
		out = append(out, Change{Group: name, Kind: k, Name: what, Fields: []Field{f}, Reason: "it blocks the deletion", do: do})
	}
	if refresh != nil && !refresh.Over() {
		add(CancelRefresh, refresh.ID, Field{Path: "refresh", Before: refresh.Status, After: "Cancelled"}, func(ctx context.Context, r *run) error { return r.cancelRefresh(ctx) })
	}
	if p := g.DeletionProtection; p != "" && p != astypes.DeletionProtectionNone {
		add(UpdateGroup, name, Field{Path: "protection.deletion", Before: string(p), After: "none"}, func(ctx context.Context, r *run) error {
			_, err := r.w.Groups.UpdateAutoScalingGroup(ctx, &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &name, DeletionProtection: astypes.DeletionProtectionNone})
			return err
		})
	}
	if slices.Contains(live.Suspended, "Terminate") {
		add(Resume, "suspended", Field{Path: "suspended", Before: "Terminate"}, func(ctx context.Context, r *run) error { return r.processes(ctx, Resume, []string{"Terminate"}) })
	}
	var held []string
	for _, i := range g.Instances {
		if val(i.ProtectedFromScaleIn) {
			held = append(held, val(i.InstanceId))
		}
	}
	if len(held) > 0 {
		add(Unprotect, name, Field{Path: "instances", Before: strings.Join(held, ", ")}, func(ctx context.Context, r *run) error { return r.unprotect(ctx, held) })
	}
	for _, key := range slices.Sorted(maps.Keys(live.Hooks)) {
		if val(live.Hooks[key].On) == "terminating" {
			add(DeleteHook, key, Field{Path: "hooks." + key + ".on", Before: "terminating"}, func(ctx context.Context, r *run) error { return r.deleteHook(ctx, key) })
		}
	}
	if g.WarmPoolConfiguration != nil {
		add(DeleteWarmPool, name, Field{Path: "warm_pool.size", Before: fmt.Sprint(val(g.WarmPoolSize))}, func(ctx context.Context, r *run) error {
			_, err := r.w.Groups.DeleteWarmPool(ctx, &as.DeleteWarmPoolInput{AutoScalingGroupName: &name, ForceDelete: ptr(true)})
			return gone(err)
		})
	}
	return out
}

// deletion takes the alarms first: one that fires meanwhile would start
// instances, and a run that stops between the two can be run again, which it
// could not once the group is gone.
func deletion(name string, live Live, reason string) []Change {
	var out []Change
	for _, key := range slices.Sorted(maps.Keys(live.Alarms)) {
		alarm := AlarmName(name, live.Alarms[key])
		if live.shared(name, alarm) {
			continue
		}
		out = append(out, Change{Group: name, Kind: DeleteAlarm, Name: alarm, Reason: "it serves the group alone", Fields: []Field{{Path: "alarms." + key, Before: alarm}},
			do: func(ctx context.Context, r *run) error { return r.deleteAlarm(ctx, alarm) }})
	}
	fields := []Field{{Path: "capacity.desired", Before: fmt.Sprint(live.Desired)}}
	return append(out, Change{Group: name, Kind: DeleteGroup, Name: name, Fields: fields, Reason: reason, do: func(ctx context.Context, r *run) error {
		_, err := r.w.Groups.DeleteAutoScalingGroup(ctx, &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &name, ForceDelete: ptr(true)})
		return gone(err)
	}})
}

// unprotect sends at most the 50 instances that one call takes.
func (r *run) unprotect(ctx context.Context, ids []string) error {
	for chunk := range slices.Chunk(ids, 50) {
		_, err := r.w.Groups.SetInstanceProtection(ctx, &as.SetInstanceProtectionInput{AutoScalingGroupName: &r.group, InstanceIds: chunk, ProtectedFromScaleIn: ptr(false)})
		if err != nil {
			return err
		}
	}
	return nil
}

// cancelLooks bounds the wait for a refresh to be cancelled: a quarter of an
// hour, which is longer than one instance takes to start.
const cancelLooks = 90

// cancelRefresh waits until it is cancelled: AWS ends what is under way first.
func (r *run) cancelRefresh(ctx context.Context) error {
	_, err := r.w.Groups.CancelInstanceRefresh(ctx, &as.CancelInstanceRefreshInput{AutoScalingGroupName: &r.group})
	for n := 0; err == nil && n < cancelLooks; n++ {
		var last *RefreshStatus
		if last, err = lastRefresh(ctx, r.w, r.group); err == nil && (last == nil || last.Over()) {
			return nil
		}
		if err == nil {
			err = r.w.Sleep(ctx, 10*time.Second)
		}
	}
	if err == nil {
		err = fault.Newf(fault.Timeout, "run it again", "waiting for the refresh of %s to be cancelled", r.group)
	}
	return err
}
