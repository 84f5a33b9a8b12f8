package await

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

// Whole gives a create call the time to hear its reply although its caller is
// being interrupted: a call cut off in the middle may or may not have made
// something, and finding out takes longer than the reply.
func Whole(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), createTime)
}

// Once keeps the SDK from repeating a create call whose reply was lost: the
// caller looks first whether the call took effect.
func Once(o *ec2.Options) { o.RetryMaxAttempts = 1 }

// Creation is a create call that must take effect exactly once.
type Creation struct {
	Action string                                       // IAM action
	Doing  string                                       // for messages
	Create func(context.Context) (id string, err error) // one attempt, by Once
	Find   func(context.Context) (id string, err error) // "" when it is not there
	Refuse func() error                                 // called when AWS refused the only call: nothing was made
	// Young says that the call names something made a moment ago, which EC2
	// may not know yet: "not found" is then no refusal.
	Young bool
}

// Run creates the thing, or finds the one that a call with a lost reply made.
// It tries four times: throttled calls, and Young ones, again after a pause,
// lost ones after looking. A name that is taken once a reply was lost is ours,
// which EC2 shows late. Errors are fault.AWS.
func (c Creation) Run(ctx context.Context, clock Clock) (string, error) {
	lost := false // a call whose reply never came may have taken effect
	for pause := time.Second; ; pause *= 2 {
		id, err := c.attempt(ctx)
		if err == nil {
			return id, nil
		}
		unheard := awserr.IsLost(err) || ended(err)
		switch lost = lost || unheard; {
		case unheard, lost && awserr.IsExists(err):
			if id, ferr := LookFor(ctx, clock, c.Find); ferr == nil {
				return id, nil
			}
		case awserr.IsThrottle(err), c.Young && awserr.IsNotFound(err):
		default:
			return "", c.refused(err, lost)
		}
		if pause > 4*time.Second || ctx.Err() != nil {
			if awserr.IsNotFound(err) {
				return "", c.refused(err, lost)
			}
			return "", awsfault.New(c.Action, c.Doing, err)
		}
		if serr := clock.Sleep(ctx, pause); serr != nil {
			return "", awsfault.New(c.Action, c.Doing, err)
		}
	}
}

// refused is the error of a call that AWS refused. Nothing was made, unless by
// a call before it.
func (c Creation) refused(err error, lost bool) error {
	if !lost {
		err = errors.Join(err, c.Refuse())
	}
	return awsfault.New(c.Action, c.Doing, err)
}

func (c Creation) attempt(ctx context.Context) (string, error) {
	ctx, cancel := Whole(ctx)
	defer cancel()
	return c.Create(ctx)
}

// LookFor looks a few times for what a lost call may have made: EC2 shows new
// things only after a moment.
func LookFor(ctx context.Context, clock Clock, find func(context.Context) (string, error)) (id string, err error) {
	looks := 0
	err = Poll(ctx, clock, Pace{First: time.Second, Max: 2 * time.Second}, func(ctx context.Context) (bool, error) {
		looks++
		var err error
		if id, err = find(ctx); err != nil && ended(err) {
			return false, err
		}
		if id == "" && looks == 5 {
			return false, cmp.Or(err, ErrNotYet) // a look that failed proves nothing
		}
		return id != "", nil
	})
	return id, err
}

// ended says that a call failed only because its context ended.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
