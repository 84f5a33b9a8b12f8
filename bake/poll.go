package bake

import (
	"context"
	"time"

	"bakehouse/internal/await"
)

// pace is how often something is looked at.
type pace = await.Pace

// Paces of our own, because the SDK's waiters start slow and back off to two
// minutes: a bake would idle most of its time.
func statePace() pace { return pace{First: time.Second, Max: 3 * time.Second, Soon: time.Second} }

// guestPace is for asking the guest itself over a connection that is open. SSH
// has no limit on how often; Run Command has, and answers late itself.
func (s *Session) guestPace() pace {
	if s.bySSM() {
		return statePace()
	}
	return pace{First: 250 * time.Millisecond, Max: time.Second}
}

// imagePace is for pollLong, with its first look after a time.
func imagePace(soon time.Duration) pace {
	return pace{Soon: soon, First: 2 * time.Second, Max: 10 * time.Second}
}

// What EC2 takes at least to end an instance or to make an image of it: two
// seconds, unless it is a very quick one. Before that no look is worth a call.
const (
	soonest = 500 * time.Millisecond
	latest  = 2 * time.Second
)

// soon is when to look for the first time at what EC2 was asked to do with the
// session's instance. A place where an instance boots in a moment shuts it down
// in less; where that is not known, or took as long as it does on EC2 itself, it
// is latest.
func (s *Session) soon() time.Duration {
	if s.booted == 0 {
		return latest
	}
	return min(max(s.booted/2, soonest), latest)
}

// due is what is left of soon since EC2 took the order to end the instance.
func (s *Session) due() time.Duration {
	return max(0, s.soon()-s.Clock.Now().Sub(s.ending))
}

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
	return await.Poll(ctx, clock, p, look)
}

// pollLong is poll for what takes minutes, and was asked for this moment.
func pollLong(ctx context.Context, clock Clock, p pace, look func(context.Context) (done bool, err error)) error {
	return await.PollLong(ctx, clock, p, look)
}

// pollLater is poll for what cannot be so yet: a change that was asked for this
// moment. The first look comes after p.Soon.
func pollLater(ctx context.Context, clock Clock, p pace, look func(context.Context) (done bool, err error)) error {
	if err := clock.Sleep(ctx, p.Soon); err != nil {
		return err
	}
	return poll(ctx, clock, p, look)
}
