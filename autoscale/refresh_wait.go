package autoscale

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// RefreshProgress hears of refreshes that are waited for; calls come from one
// goroutine.
type RefreshProgress interface {
	Refresh(RefreshStatus) // it moved
	Activity(Activity)     // it began or ended
}

// Bounds of waiting: the first pause between two looks, the longest, and how
// many looks in a row may fail before the wait ends.
const (
	refreshPause    = 3 * time.Second
	maxRefreshPause = 15 * time.Second
	maxLostLooks    = 10
)

// WaitRefreshes looks at refreshes, by group, until each is over or ctx ends,
// which leaves them running. wish is the status that counts as success:
// Successful, or RollbackSuccessful, or Cancelled; anything else is a
// fault.Check that says what became of which group. The answer has the last
// status of each, in the order of names.
func WaitRefreshes(ctx context.Context, w World, ids map[string]string, wish string, hear RefreshProgress) ([]RefreshStatus, error) {
	l := refreshWait{w: w, hear: hear, ids: ids, last: map[string]RefreshStatus{}, seen: map[string]string{}, from: w.Now().Add(-time.Minute)}
	pause, lost := refreshPause, 0
	for {
		moved, over, err := l.round(ctx)
		switch {
		case ctx.Err() != nil:
			return l.all(), l.left(context.Cause(ctx))
		case err != nil:
			if lost++; lost == maxLostLooks || !Passing(err) {
				return l.all(), l.left(refused("looking at refreshes", err))
			}
		case over:
			return l.all(), l.verdict(wish)
		default:
			lost = 0
		}
		if pause = min(pause*3/2, maxRefreshPause); moved {
			pause = refreshPause
		}
		if err := w.Sleep(ctx, pause); err != nil {
			return l.all(), l.left(context.Cause(ctx))
		}
	}
}

// Passing says that a failed look may well succeed the next time, as
// awserr.IsPassing does; an attempt that ran out of its own time counts, too.
// Missing rights, for one, do not pass.
func Passing(err error) bool { return awserr.IsPassing(err) || awserr.Code(err) == "" }

// refreshWait is one wait under way.
type refreshWait struct {
	w    World
	hear RefreshProgress
	ids  map[string]string
	last map[string]RefreshStatus
	seen map[string]string // activity to the status that was told
	from time.Time         // activities before are somebody else's
}

func (l *refreshWait) names() []string { return slices.Sorted(maps.Keys(l.ids)) }

func (l *refreshWait) all() []RefreshStatus {
	out := []RefreshStatus{}
	for _, name := range l.names() {
		if s, known := l.last[name]; known {
			out = append(out, s)
		}
	}
	return out
}

// round looks once at each refresh that is not over.
func (l *refreshWait) round(ctx context.Context) (moved, over bool, err error) {
	over = true
	for _, name := range l.names() {
		was := l.last[name]
		if was.Over() {
			continue
		}
		now, err := l.look(ctx, name)
		if err != nil {
			return moved, false, err
		}
		told, err := l.activities(ctx, name, now)
		if err != nil {
			return moved, false, err
		}
		if now != was {
			l.last[name] = now
			l.hear.Refresh(now)
		}
		moved = moved || told || now != was
		over = over && now.Over()
	}
	return moved, over, nil
}

func (l *refreshWait) look(ctx context.Context, name string) (RefreshStatus, error) {
	out, err := l.w.Groups.DescribeInstanceRefreshes(ctx, &as.DescribeInstanceRefreshesInput{AutoScalingGroupName: &name, InstanceRefreshIds: []string{l.ids[name]}})
	if err != nil {
		return RefreshStatus{}, err
	}
	if len(out.InstanceRefreshes) == 0 {
		return RefreshStatus{}, fault.Newf(fault.AWS, "", "looking at the refresh of %s: Auto Scaling does not know %s", name, l.ids[name])
	}
	return refreshOf(out.InstanceRefreshes[0]), nil
}

// activities tells what is new since the refresh began, oldest first.
func (l *refreshWait) activities(ctx context.Context, name string, r RefreshStatus) (told bool, err error) {
	from := l.from
	if !r.Start.IsZero() {
		from = r.Start.Truncate(time.Second)
	}
	out, err := l.w.Groups.DescribeScalingActivities(ctx, &as.DescribeScalingActivitiesInput{AutoScalingGroupName: &name, MaxRecords: ptr(int32(pageSize))})
	if err != nil {
		return false, err
	}
	for _, a := range slices.Backward(out.Activities) {
		one := activityOf(a)
		if one.Start.Before(from) || l.seen[one.ID] == one.Status {
			continue
		}
		ends := slices.Contains([]string{"Successful", "Failed", "Cancelled"}, one.Status)
		if _, began := l.seen[one.ID]; !began || ends {
			l.hear.Activity(one)
			told = true
		}
		l.seen[one.ID] = one.Status
	}
	return told, nil
}

// left is the error of a wait that ended before the refreshes did.
func (l *refreshWait) left(cause error) error {
	var open []string
	for _, name := range l.names() {
		if s := l.last[name]; !s.Over() {
			open = append(open, name)
		}
	}
	groups := strings.Join(open, " ")
	next := fmt.Sprintf("look again with autoscalectl status %s; stop with autoscalectl refresh --cancel %s, or --rollback", groups, groups)
	return fault.New(fault.KindOf(cause), next, fmt.Errorf("waiting for the refresh of %s, which goes on: %w", strings.Join(open, ", "), cause))
}

// verdict is nil when all ended as they should.
func (l *refreshWait) verdict(wish string) error {
	var wrong []error
	var groups []string
	for _, s := range l.all() {
		if s.Status == wish {
			continue
		}
		groups = append(groups, s.Group)
		wrong = append(wrong, fmt.Errorf("the refresh of %s is %s at %d %%%s", s.Group, s.Status, s.Percent, colon(s.Reason)))
	}
	if len(wrong) == 0 {
		return nil
	}
	return fault.New(fault.Check, "autoscalectl status "+strings.Join(groups, " ")+" says what failed and why", errors.Join(wrong...))
}

// PlanEndRefresh plans to cancel the running refreshes of groups, or to roll
// them back. A group without one, or one that has nowhere to go back to, is a
// fault.Check. The ids are those of the refreshes.
func PlanEndRefresh(ctx context.Context, w World, region string, names []string, back bool) (RefreshPlan, error) {
	p := RefreshPlan{ids: map[string]string{}}
	raw, names, err := withHalves(ctx, w, names)
	if err != nil {
		return p, err
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		if _, there := raw[name]; !there {
			return p, fault.Newf(fault.Check, "check the name and the region "+region, "ending the refresh of %s: there is no such group", name)
		}
		last, err := lastRefresh(ctx, w, name)
		switch {
		case err != nil:
			return p, refused("reading the refreshes of "+name, err)
		case last == nil || last.Over():
			return p, fault.Newf(fault.Check, "autoscalectl status "+name, "ending the refresh of %s: none is under way%s", name, lately(last))
		case back && last.Version == "":
			return p, fault.Newf(fault.Check, "autoscalectl refresh --cancel "+name, "rolling back %s: its refresh was started without a desired configuration, so there is nothing to go back from", name)
		case last.Status == "Cancelling" || last.Status == "RollbackInProgress":
			p.ids[name] = last.ID // on its way already
			continue
		}
		p.ids[name] = last.ID
		c := Change{Region: region, Group: name, Kind: CancelRefresh, Name: last.ID, Reason: "you asked for it; replaced instances stay replaced", Fields: []Field{{Path: "refresh", Before: fmt.Sprintf("%s %d %%", last.Status, last.Percent), After: "Cancelled"}}}
		c.do = func(ctx context.Context, r *run) error {
			_, err := r.w.Groups.CancelInstanceRefresh(ctx, &as.CancelInstanceRefreshInput{AutoScalingGroupName: &name})
			return err
		}
		if back {
			c.Kind, c.Reason, c.Fields[0].After = RollbackRefresh, "you asked for it; instances that were replaced are replaced again", "RollbackInProgress"
			c.do = func(ctx context.Context, r *run) error {
				_, err := r.w.Groups.RollbackInstanceRefresh(ctx, &as.RollbackInstanceRefreshInput{AutoScalingGroupName: &name})
				return err
			}
		}
		p.Changes = append(p.Changes, c)
	}
	return p, nil
}

func lately(last *RefreshStatus) string {
	if last == nil {
		return ""
	}
	return fmt.Sprintf("; the last one is %s", last.Status)
}
