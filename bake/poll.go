package bake

import (
	"context"
	"time"

	"bakehouse/internal/await"
)

// pace is how often something is looked at.
type pace struct{ First, Max time.Duration }

// Paces of our own, because the SDK's waiters start slow and back off to two
// minutes: a bake would idle most of its time.
func statePace() pace { return pace{First: time.Second, Max: 3 * time.Second} }

// imagePace is for pollLong.
func imagePace() pace { return pace{First: 2 * time.Second, Max: 10 * time.Second} }

// EC2 learns of new things late: for some seconds an id that it has just given
// out may be "not found". newLooks at newPace are 6.5 seconds.
const (
	newLooks = 5
	newTime  = time.Minute // after which EC2 knows what it made
)

func newPace() pace { return pace{First: time.Second, Max: 2 * time.Second} }

// settled says that EC2 knows the resource for sure, if it is there at all.
func (s *Session) settled(r Resource) bool { return s.Clock.Now().Sub(r.At) > newTime }

// poll calls look until it says that it is done, or fails, or ctx ends.
func poll(ctx context.Context, clock Clock, p pace, look func(context.Context) (done bool, err error)) error {
	return await.Poll(ctx, clock, await.Pace(p), look)
}

// pollLong is poll for what takes minutes, and was asked for this moment.
func pollLong(ctx context.Context, clock Clock, p pace, look func(context.Context) (done bool, err error)) error {
	return await.PollLong(ctx, clock, await.Pace(p), look)
}

// pollLater is poll for what cannot be so yet: a change that was asked for this
// moment. The first look comes after the first pause.
func pollLater(ctx context.Context, clock Clock, p pace, look func(context.Context) (done bool, err error)) error {
	if err := clock.Sleep(ctx, p.First); err != nil {
		return err
	}
	return poll(ctx, clock, p, look)
}
