package agent

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

const (
	followPoll   = 20 * time.Second // between two looks at the channel
	followJitter = 10 * time.Second // added by instance, so that a fleet does not ask in step
)

// Follow looks at the instance's channel until ctx ends, and deploys what it
// points at, each instance at a time of its own within spread from when it saw
// the build first: no operator's machine has to stay up. A build that is not
// healthy makes room for the last good one here, and is refused from then on, as
// with Deploy; instances know nothing of each other, so the others go on until
// somebody puts the channel back, which those whose time has not come obey.
func (a *Agent) Follow(ctx context.Context, spread time.Duration) error {
	if a.conf.App == nil {
		return fault.Newf(fault.Usage, "set apps in bakehouse.yaml and bake the image again", "following a channel: the image has no app configured")
	}
	if spread < 0 {
		return fault.Newf(fault.Usage, "give a time such as 10m", "following a channel: a spread of %s", spread)
	}
	f := follower{Agent: a, spread: spread}
	for {
		if err := f.look(ctx); err != nil && ctx.Err() == nil {
			f.tell(err.Error()) // S3 away, or a build that was refused: the next look is another try
		}
		if ctx.Err() != nil || a.deps.Clock.Sleep(ctx, followPoll+share(f.id, "poll", followJitter)) != nil {
			return nil
		}
	}
}

// follower is what a Follow remembers between two looks.
type follower struct {
	*Agent
	spread time.Duration
	id     string     // of the instance
	build  release.ID // that is to be deployed; empty: none
	due    time.Time
	told   string
}

// tell notes a line, unless it was the last one.
func (f *follower) tell(line string) {
	if line != f.told {
		f.told = line
		f.deps.Events.Note(line)
	}
}

// look asks for the channel's build once, and deploys one that is due.
func (f *follower) look(ctx context.Context) error {
	build, err := f.wanted(ctx)
	now := f.deps.Clock.Now()
	switch {
	case err != nil:
		return err
	case build == "":
		f.build = ""
		return nil
	case build != f.build:
		f.build, f.due = build, now.Add(share(f.id, string(build), f.spread))
		f.tell(fmt.Sprintf("build %s is live: it is this instance's turn in %s", build.Short(), f.due.Sub(now).Round(time.Second)))
	}
	if now.Before(f.due) {
		return nil
	}
	f.build = ""
	return f.Deploy(ctx)
}

// wanted is the build that the instance should run and does not, or "". One that
// it refused is none, and neither is any before first boot is complete.
func (f *follower) wanted(ctx context.Context) (release.ID, error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if f.id, err = f.instanceID(ctx); err != nil {
		return "", err
	}
	j, err := f.openJournal(f.id)
	if err != nil || !j.Complete() {
		return "", err
	}
	s := &session{Agent: f.Agent, j: j}
	if err := s.identify(ctx); err != nil {
		return "", err
	}
	cloud, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	build, err := s.channelBuild(ctx, cloud.Store)
	if err != nil || j.Build == string(build) || slices.ContainsFunc(j.Refused, func(r Refusal) bool { return r.Build == build }) {
		return "", err
	}
	return build, nil
}

// share is where in a span of time an instance stands: always the same for the
// same purpose, and spread evenly over instances.
func share(instanceID, purpose string, span time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = h.Write([]byte(instanceID + " " + purpose)) // never fails
	x := h.Sum64()
	x ^= x >> 33 // FNV's high bits hardly differ between ids that differ at their end
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return time.Duration(float64(x) / (1 << 64) * float64(span))
}
