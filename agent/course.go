package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
	"bakehouse/release/waves"
)

// maxReason bounds what another instance's result adds to a reason.
const maxReason = 500

// course is what this instance knows of a rollout by pull.
type course struct {
	waves.Reading
	papers Papers
	bucket string
	host   string // this instance
	wave   int    // that it is in; -1: in none

	state  Paper     // whether it was stopped
	far    time.Time // our clock: no list before that
	over   bool
	said   map[waves.State]waves.Result // by this process
	unsaid *waves.Result                // that could not be written yet
	tried  bool                         // to go back
}

// open reads the rollout that the channel names, once. Everything in it must
// agree with the channel, whose serial no older one can have.
func (f *follower) open(ctx context.Context, g *glance) (*course, error) {
	if f.course != nil && f.course.Plan.ID == g.channel.Rollout && f.course.Plan.Serial == g.channel.Serial {
		return f.course, nil
	}
	c := &course{papers: g.cloud.Papers, bucket: f.conf.App.Bucket, host: f.id, Reading: waves.Reading{Seen: waves.Seen{}}, said: map[waves.State]waves.Result{}}
	if err := c.read(ctx, g); err != nil {
		next := "find out who writes to the bucket, then: deployctl promote BUILD, or another rollout"
		if fault.KindOf(err) != fault.Internal {
			return nil, fmt.Errorf("reading rollout %s: %w", g.channel.Rollout, err)
		}
		return nil, fault.Newf(fault.Check, next, "reading rollout %s: %w", g.channel.Rollout, err)
	}
	f.course = c
	return c, nil
}

func (c *course) read(ctx context.Context, g *glance) error {
	ch := g.channel
	key := waves.Plan{App: ch.App, Channel: ch.Name, ID: ch.Rollout}
	paper, err := c.papers.Read(ctx, c.bucket, key.PlanKey(), Paper{}, release.MaxDocument)
	if err != nil {
		return err
	}
	if err := g.session.trusted(release.PlanKind, paper.Body); err != nil {
		return fmt.Errorf("its plan: %w", err)
	}
	p, err := waves.ParsePlan(paper.Body)
	if err != nil {
		return err
	}
	if p.ID != ch.Rollout || p.App != ch.App || p.Channel != ch.Name || p.Serial != ch.Serial || p.Build != ch.Build || p.Previous != ch.Previous {
		return fmt.Errorf("its plan is another one's: rollout %s of build %s on %s of %s, serial %d; the channel is at build %s, serial %d",
			p.ID, p.Build.Short(), p.Channel, p.App, p.Serial, ch.Build.Short(), ch.Serial)
	}
	roster, err := c.papers.Read(ctx, c.bucket, p.RosterKey(), Paper{}, waves.MaxRoster)
	if err != nil {
		return err
	}
	if c.Roster, err = p.Open(roster.Body); err != nil {
		return err
	}
	c.Plan, c.Since, c.wave = p, paper.Written, c.Roster.WaveOf(c.host)
	return nil
}

// stopped asks whether the rollout was stopped.
func (c *course) stopped(ctx context.Context) (waves.Stop, error) {
	paper, err := c.papers.Read(ctx, c.bucket, waves.StateKey(c.Plan.App, c.Plan.Channel, c.Plan.ID), c.state, release.MaxDocument)
	if err != nil {
		return waves.Stop{}, fmt.Errorf("asking whether rollout %s was stopped: %w", c.Plan.ID, err)
	}
	c.state = paper
	return waves.ParseStop(paper.Body, c.Plan.ID)
}

// list reads the results of wave i and S3's time. A result of our own that is
// gone is said again.
func (c *course) list(ctx context.Context, i int) (time.Time, error) {
	l, err := c.papers.List(ctx, c.bucket, c.Plan.WavePrefix(i))
	if err != nil {
		return time.Time{}, fmt.Errorf("looking at wave %d of rollout %s: %w", i, c.Plan.ID, err)
	}
	for key, at := range l.Written {
		if host, state, ok := waves.ParseResultKey(key); ok {
			c.Seen.Add(host, state, at)
		}
	}
	if i != c.wave {
		return l.Now, nil
	}
	for state, r := range c.said {
		if _, there := l.Written[c.Plan.ResultKey(i, c.host, state)]; !there && state != waves.Claimed {
			c.unsaid = &r
		}
	}
	return l.Now, nil
}

// judge looks at the results as far as they matter now, and decides.
func (c *course) judge(ctx context.Context) (waves.Verdict, error) {
	return c.Judge(func(i int) (time.Time, error) { return c.list(ctx, i) })
}

// say writes a result of this instance. One that is there was said before.
func (c *course) say(ctx context.Context, r waves.Result) error {
	r.Format, r.Rollout, r.Instance = 1, c.Plan.ID, c.host
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("rendering result: %w", err)
	}
	err = c.papers.Write(ctx, c.bucket, c.Plan.ResultKey(c.wave, c.host, r.State), "", append(body, '\n'))
	if err != nil && !errors.Is(err, ErrTaken) {
		if r.State != waves.Claimed { // whose turn it still is, claims again
			c.unsaid = &r
		}
		return fmt.Errorf("telling rollout %s that this instance is %s: %w", c.Plan.ID, r.State, err)
	}
	c.said[r.State], c.unsaid = r, nil
	return nil
}

// stop writes that the rollout is stopped, unless somebody has.
func (c *course) stop(ctx context.Context, v waves.Verdict, at time.Time) error {
	s := waves.NewStop(c.Plan)
	s.Stopped, s.By, s.At, s.Reason = true, c.host, at.UTC().Truncate(time.Second), v.Stop
	if len(v.Fell) > 0 && v.Of(v.Fell[0]).Silent == "" {
		s.Reason += c.reasonOf(ctx, v.Fell[0])
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("rendering stop: %w", err)
	}
	err = c.papers.Write(ctx, c.bucket, waves.StateKey(c.Plan.App, c.Plan.Channel, c.Plan.ID), c.state.ETag, append(body, '\n'))
	if err != nil && !errors.Is(err, ErrTaken) {
		return fmt.Errorf("stopping rollout %s: %w", c.Plan.ID, err)
	}
	return nil
}

// reasonOf is why an instance failed, in its own words; they are only shown.
func (c *course) reasonOf(ctx context.Context, host string) string {
	paper, err := c.papers.Read(ctx, c.bucket, c.Plan.ResultKey(c.Roster.WaveOf(host), host, waves.Failed), Paper{}, release.MaxDocument)
	var r waves.Result
	if err != nil || json.Unmarshal(paper.Body, &r) != nil || r.Reason == "" {
		return ""
	}
	text := strings.Join(strings.FieldsFunc(r.Reason, func(r rune) bool { return r < ' ' }), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return ": " + text
}

// unlessStopped is the build that c has an instance run: its own, or the one
// before where its rollout was stopped and goes back. Whether it was is not
// signed; both builds are.
func (s *session) unlessStopped(ctx context.Context, store Store, c release.Channel) (release.ID, error) {
	if c.Rollout == "" || c.Previous == "" {
		return c.Build, nil
	}
	b, err := s.document(ctx, store, waves.StateKey(c.App, c.Name, c.Rollout))
	if errors.Is(err, ErrNoObject) {
		s.deps.Events.Note("rollout " + c.Rollout + " has lost its state: going by the channel")
		return c.Build, nil
	}
	var stop waves.Stop
	if err == nil {
		stop, err = waves.ParseStop(b, c.Rollout)
	}
	if err != nil {
		return "", fmt.Errorf("asking whether rollout %s was stopped: %w", c.Rollout, err)
	}
	if stop.Stopped && stop.GoBack {
		s.deps.Events.Note(fmt.Sprintf("rollout %s was stopped (%s): build %s it is", c.Rollout, stop.Reason, c.Previous.Short()))
		return c.Previous, nil
	}
	return c.Build, nil
}
