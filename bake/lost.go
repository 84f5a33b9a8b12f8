package bake

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
)

// createTime bounds one create call.
const createTime = 45 * time.Second

// whole gives a create call the time to hear its reply although the bake is
// being interrupted: a call cut off in the middle may or may not have made
// something, and finding out takes longer than the reply.
func whole(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), createTime)
}

// once keeps the SDK from repeating a create call whose reply was lost: the
// bake looks first whether the call took effect.
func once(o *ec2.Options) { o.RetryMaxAttempts = 1 }

// lost says that a failed call may have taken effect all the same.
func lost(err error) bool { return awserr.IsLost(err) || ended(err) }

// creation is a create call that must take effect exactly once.
type creation struct {
	action string                                       // IAM action
	doing  string                                       // for messages
	create func(context.Context) (id string, err error) // one attempt
	find   func(context.Context) (id string, err error) // "" when it is not there
	refuse func() error                                 // called when AWS refused: nothing was made
}

// run creates the thing, or finds the one that a call with a lost reply made.
// It tries four times: throttled calls again after a pause, lost ones after
// looking.
func (c creation) run(ctx context.Context, clock Clock) (string, error) {
	for pause := time.Second; ; pause *= 2 {
		id, err := c.attempt(ctx)
		if err == nil {
			return id, nil
		}
		isLost := lost(err)
		if isLost {
			if id, ferr := lookFor(ctx, clock, c.find); ferr == nil {
				return id, nil
			}
		} else if !awserr.IsThrottle(err) {
			return "", awsfault.New(c.action, c.doing, errors.Join(err, c.refuse()))
		}
		if pause > 4*time.Second || ctx.Err() != nil {
			return "", awsfault.New(c.action, c.doing, err)
		}
		if serr := clock.Sleep(ctx, pause); serr != nil {
			return "", awsfault.New(c.action, c.doing, err)
		}
	}
}

func (c creation) attempt(ctx context.Context) (string, error) {
	ctx, cancel := whole(ctx)
	defer cancel()
	return c.create(ctx)
}

// lookFor looks a few times for what a lost call may have made: EC2 shows new
// things only after a moment.
func lookFor(ctx context.Context, clock Clock, find func(context.Context) (string, error)) (id string, err error) {
	looks := 0
	err = poll(ctx, clock, pace{time.Second, 2 * time.Second}, func(ctx context.Context) (bool, error) {
		looks++
		var err error
		if id, err = find(ctx); err != nil && ended(err) {
			return false, err
		}
		if id == "" && looks == 5 {
			return false, cmp.Or(err, errNotYet) // a look that failed proves nothing
		}
		return id != "", nil
	})
	return id, err
}
