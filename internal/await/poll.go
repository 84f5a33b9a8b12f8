// Package await holds the two ways in which calls to EC2 are waited for:
// looking again until something is so, and making a thing exactly once
// although a reply may be lost.
package await

import (
	"cmp"
	"context"
	"errors"
	"time"

	"bakehouse/internal/awserr"
)

// Clock is the time as waiting sees it.
type Clock interface {
	Now() time.Time
	// Sleep waits for d, or until ctx ends, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// Pace is how often something is looked at: at once, then after First, with
// each pause half as long again as the one before, up to Max.
type Pace struct {
	First, Max time.Duration
	Soon       time.Duration // before the first look of PollLong; 0: First
}

// Poll calls look until it says that it is done, or fails, or ctx ends.
func Poll(ctx context.Context, clock Clock, p Pace, look func(context.Context) (done bool, err error)) error {
	for pause := p.First; ; pause = min(pause*3/2, p.Max) {
		done, err := look(ctx)
		if done || err != nil {
			return err
		}
		if err := clock.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// share is the part of the time waited that the next pause of PollLong takes.
const share = 8

// PollLong is Poll for what was asked for this moment and may take minutes: the
// first look comes after p.Soon, and each further pause is an eighth of the
// time that has passed, not less than p.First and not more than p.Max. So the
// calls grow with the logarithm of the wait, and nothing is seen later than an
// eighth of it.
func PollLong(ctx context.Context, clock Clock, p Pace, look func(context.Context) (done bool, err error)) error {
	start := clock.Now()
	for pause := cmp.Or(p.Soon, p.First); ; pause = min(max(clock.Now().Sub(start)/share, p.First), p.Max) {
		if err := clock.Sleep(ctx, pause); err != nil {
			return err
		}
		done, err := look(ctx)
		if done || err != nil {
			return err
		}
	}
}

// ErrNotYet is what a look for something gives that may still turn up.
var ErrNotYet = errors.New("not there yet")

// Unanswered is how long AWS may leave every look at what takes minutes without
// an answer: it goes on making the image, or refreshing the group, meanwhile.
const Unanswered = 5 * time.Minute

// Patience is how long a wait goes on although its looks get no answer: a call
// that was throttled, or whose reply was lost, tells nothing of what is waited
// for, and giving up would throw away what has come about so far. The SDK's own
// attempts are over by then. The zero value has no patience.
type Patience struct {
	For  time.Duration // since the last answer
	last time.Time     // of an answer, or the first look without one
}

// Outlasts says whether the wait goes on after a look that ended in err at now,
// and notes when there was an answer. Only errors of an AWS call are to be
// given to it, not what a look found.
func (p *Patience) Outlasts(now time.Time, err error) bool {
	if !awserr.IsPassing(err) {
		p.last = now
		return false
	}
	if p.last.IsZero() {
		p.last = now
	}
	return now.Sub(p.last) < p.For
}
