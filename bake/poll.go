package bake

import (
	"context"
	"errors"
	"time"
)

// pace is how often something is looked at: at once, then after First, with
// each pause half as long again as the one before, up to Max.
type pace struct{ First, Max time.Duration }

// Paces of our own, because the SDK's waiters start slow and back off to two
// minutes: a bake would idle most of its time.
func statePace() pace { return pace{time.Second, 3 * time.Second} }
func imagePace() pace { return pace{time.Second, 5 * time.Second} }

// poll calls look until it says that it is done, or fails, or ctx ends.
func poll(ctx context.Context, clock Clock, p pace, look func(context.Context) (done bool, err error)) error {
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

// errNotYet is what a look for something gives that may still turn up.
var errNotYet = errors.New("not there yet")
