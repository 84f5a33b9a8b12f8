package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
)

// groupsBack brings the groups that were touched back, the last one first; the
// channel points at the build before already. One that cannot be brought back
// does not keep the others from it.
func (x *Executor) groupsBack(ctx context.Context, r *Rollout) error {
	for i := len(r.Waves) - 1; i >= 0; i-- {
		w := &r.Waves[i]
		if len(w.Hosts) == 0 || w.Hosts[0].State == Pending || w.Hosts[0].State == Restored || w.Hosts[0].State == Stuck {
			continue
		}
		name, start := "back: "+w.Name, x.Clock.Now()
		x.Board.StepStarted(name)
		why, err := x.groupBack(ctx, r, r.refreshOf(i), name)
		if err != nil && ctx.Err() != nil {
			x.Board.StepDone(name, x.Clock.Now().Sub(start), err)
			return context.Cause(ctx)
		}
		if err != nil {
			why = err.Error()
		}
		if why == "" {
			for h := range w.Hosts {
				w.Hosts[h].State = Restored // what it failed of is kept
			}
		} else {
			w.set(Stuck, why)
			err = errors.New(why)
		}
		x.Board.StepDone(name, x.Clock.Now().Sub(start), err)
		if err := x.save(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// groupBack has a group's instances boot again with the build before: by
// Auto Scaling's own rollback while a refresh to another version of the launch
// template is under way; otherwise by a refresh of its own, after the one under
// way, if any, was cancelled.
func (x *Executor) groupBack(ctx context.Context, r *Rollout, f *Refresh, name string) (why string, err error) {
	if !f.Back {
		if err := x.endForward(ctx, f, name); err != nil {
			return "", err
		}
		if err := x.save(ctx, r); err != nil {
			return "", err
		}
	}
	for f.ID == "" { // cancelled, or over: a refresh back
		err := x.Groups.start(ctx, r, f, false)
		if err == nil {
			if err := x.save(ctx, r); err != nil {
				return "", err
			}
			break
		}
		// Cancelling takes its time: the instance under way is finished first.
		if awserr.Code(err) != "InstanceRefreshInProgress" {
			return "", err
		}
		x.Board.StepProgress(name, "waiting until the cancelled refresh has ended")
		if err := x.Clock.Sleep(ctx, refreshLook); err != nil {
			return "", err
		}
	}
	why, err = x.watch(ctx, r, f, name)
	if why != "" {
		why = fmt.Sprintf("group %s: %s", f.Group, why)
	}
	return why, err
}

// endForward ends the refresh forward. When Auto Scaling rolls it back by itself, f
// stays on its id; otherwise f has none afterwards, and a new one is needed.
func (x *Executor) endForward(ctx context.Context, f *Refresh, name string) error {
	f.Back = true
	if f.ID == "" {
		return nil
	}
	now, err := x.lookOn(ctx, f, name)
	if err != nil {
		return err
	}
	return x.Groups.end(ctx, f, now)
}

// end is endForward of a refresh that stands so now.
func (g Refresher) end(ctx context.Context, f *Refresh, now types.InstanceRefresh) error {
	switch now.Status {
	case types.InstanceRefreshStatusRollbackInProgress, types.InstanceRefreshStatusRollbackSuccessful:
		return nil
	case types.InstanceRefreshStatusPending, types.InstanceRefreshStatusInProgress, types.InstanceRefreshStatusBaking:
	default: // over, or being cancelled
		f.ID = ""
		return nil
	}
	if f.Version != "" { // without another version there is nothing that Auto Scaling could go back to
		_, err := g.API.RollbackInstanceRefresh(ctx, &autoscaling.RollbackInstanceRefreshInput{AutoScalingGroupName: &f.Group})
		if err == nil {
			return nil
		}
		// It refuses versions that are named $Latest or $Default, too.
		if awserr.Code(err) != "IrreversibleInstanceRefresh" && awserr.Code(err) != "ActiveInstanceRefreshNotFound" {
			return awsfault.New("autoscaling:RollbackInstanceRefresh", "rolling back the refresh of group "+f.Group, err)
		}
	}
	_, err := g.API.CancelInstanceRefresh(ctx, &autoscaling.CancelInstanceRefreshInput{AutoScalingGroupName: &f.Group})
	if err != nil && awserr.Code(err) != "ActiveInstanceRefreshNotFound" {
		return awsfault.New("autoscaling:CancelInstanceRefresh", "cancelling the refresh of group "+f.Group, err)
	}
	f.ID = ""
	return nil
}
