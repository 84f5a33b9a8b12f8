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
func imagePace() pace { return pace{First: time.Second, Max: 5 * time.Second} }

// poll calls look until it says that it is done, or fails, or ctx ends.
func poll(ctx context.Context, clock Clock, p pace, look func(context.Context) (done bool, err error)) error {
	return await.Poll(ctx, clock, await.Pace(p), look)
}
