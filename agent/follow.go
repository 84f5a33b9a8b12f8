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
	followPoll = 20 * time.Second // between two looks at the channel; half of it is added by instance, so that a fleet does not ask in step
	turnPoll   = 5 * time.Second  // the same for an instance whose wave is open, or next
	farPoll    = time.Minute      // between two looks at the results of other waves
)

// Follow looks at the instance's channel until ctx ends, and deploys what it
// points at: no operator's machine has to stay up. Where the channel names a
// rollout, the instance takes its turn in that one's waves (package waves), goes
// on no further than its rule allows, and goes back when it is stopped. Without
// one, each instance deploys at a time of its own within spread from when it saw
// the build first, and knows nothing of the others. A build that is not healthy
// makes room for the last good one here, and is refused from then on, as with
// Deploy.
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
		if ctx.Err() != nil || a.deps.Clock.Sleep(ctx, f.next+share(f.id, "poll", f.next/2)) != nil {
			return nil
		}
	}
}

// follower is what a Follow remembers between two looks.
type follower struct {
	*Agent
	spread time.Duration
	id     string     // of the instance
	build  release.ID // that is to be deployed without a rollout; empty: none
	due    time.Time
	told   string
	cloud  *Cloud        // kept, with its connections and credentials
	paper  Paper         // the channel as it was read last
	course *course       // of the rollout that the channel names; nil: of none yet
	next   time.Duration // until the next look
}

// glance is what one look at the channel shows.
type glance struct {
	session *session
	cloud   *Cloud
	channel release.Channel
	runs    release.ID // here
}

// tell notes a line, unless it was the last one.
func (f *follower) tell(line string) {
	if line != f.told {
		f.told = line
		f.deps.Events.Note(line)
	}
}

// look asks for the channel's build once, and deploys one whose time has come:
// by the waves of a rollout where the channel names one, else by the spread.
func (f *follower) look(ctx context.Context) error {
	f.next = followPoll
	g, err := f.glance(ctx)
	if err != nil || g == nil {
		return err
	}
	if g.channel.Rollout == "" {
		f.course = nil
		return f.bySpread(ctx, g)
	}
	over, err := f.byWaves(ctx, g)
	if err != nil || !over {
		f.build = ""
		return err
	}
	return f.bySpread(ctx, g) // what was not there in its turn comes after
}

// bySpread deploys the channel's build at a time that is this instance's own.
func (f *follower) bySpread(ctx context.Context, g *glance) error {
	build, now := g.channel.Build, f.deps.Clock.Now()
	switch {
	case !g.session.j.halfDeployed() && (g.runs == build || g.refused(build)):
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

// refused says whether build was not healthy here before.
func (g *glance) refused(build release.ID) bool {
	return slices.ContainsFunc(g.session.j.Refused, func(r Refusal) bool { return r.Build == build })
}

// glance reads the channel, for an answer without a body while nothing is new.
// Before first boot is complete, and once the instance has left, there is nothing
// to follow, and nil.
func (f *follower) glance(ctx context.Context) (*glance, error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if f.id, err = f.instanceID(ctx); err != nil {
		return nil, err
	}
	j, err := f.openJournal(f.id)
	if err != nil || !j.Complete() || j.Leave != nil {
		return nil, err
	}
	s := &session{Agent: f.Agent, j: j, cloud: f.cloud}
	if err := s.identify(ctx); err != nil {
		return nil, err
	}
	cloud, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	f.cloud = cloud
	paper, err := cloud.Papers.Read(ctx, s.conf.App.Bucket, release.ChannelKey(s.conf.App.Name, s.channel()), f.paper, release.MaxDocument)
	c, err := s.channelOf(paper.Body, err)
	if err != nil {
		return nil, err
	}
	f.paper = paper
	return &glance{s, cloud, c, release.ID(j.Build)}, nil
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
