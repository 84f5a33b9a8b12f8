package agent

import (
	"context"
	"strings"
	"testing"
	"time"
)

// limits notes how long each program may take; 0: as long as it wants.
type limits struct {
	*world
	of map[string]time.Duration
}

func (l limits) Run(ctx context.Context, c Command) error {
	left := time.Duration(0)
	if end, limited := ctx.Deadline(); limited {
		left = time.Until(end)
	}
	l.of[c.Path+" "+strings.Join(c.Args, " ")] = left
	return l.world.Run(ctx, c)
}

// An app that takes its time to stop must not use up the time to deregister.
func TestStoppingTheAppLeavesTimeToDeregister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	a, l := w.agent(), limits{w, map[string]time.Duration{}}
	a.deps.Runner = l
	const stop = "systemctl stop web.service"
	for by, want := range map[time.Duration]time.Duration{2 * time.Minute: 2*time.Minute - leaveReserve, time.Second: leastStop, 0: 0} {
		p := parting{}
		if by > 0 {
			p.by = w.Now().Add(by)
		}
		a.quiesce(context.Background(), p)
		if got, ran := l.of[stop]; !ran || got > want || want > 0 && got == 0 {
			t.Errorf("gone in %s: the app may take %s to stop (%v), want up to %s", by, got, ran, want)
		}
	}
}
