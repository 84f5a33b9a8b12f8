package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/fault"
	"bakehouse/release"
	"bakehouse/release/waves"
)

// PlanPull is the plan of r for its hosts' agents, but for the serial of the
// channel that will name it. It looks at nothing but its arguments.
func PlanPull(r *Rollout, now time.Time) (waves.Plan, waves.Roster) {
	s := r.Strategy
	p := waves.Plan{ID: r.ID, App: r.App, Channel: r.Channel, Build: r.Build, Previous: r.Previous, By: r.By, At: now.UTC().Truncate(time.Second),
		AtOnce: s.Parallel, MaxUnhealthy: s.MaxUnhealthy.AtMost(r.Hosts()), GoBack: !s.NoRollback && r.Previous != "",
		Pause: s.Pause, HostTime: s.HostTimeout, ClaimWithin: s.ClaimWithin, Limit: s.Deadline}
	var roster waves.Roster
	for _, w := range r.Waves {
		one := waves.Wave{Name: w.Name, Strict: w.Name == "canary"}
		for _, h := range w.Hosts {
			one.Hosts = append(one.Hosts, h.Instance)
		}
		roster.Waves = append(roster.Waves, one)
	}
	if p.Limit == 0 {
		p.Limit = waves.Worst(p, roster)
	}
	return p, roster
}

// Launch writes r's plan and has the channel name it, by one swap: before that
// nothing has begun, after it the agents need nobody. It may be called again for
// the same rollout. A channel that somebody promoted to a third build since
// Prepare is fault.Check.
func (p *Publisher) Launch(ctx context.Context, r *Rollout, by string) error {
	now, doc, err := p.channel(ctx, r.App, r.Channel)
	if err != nil || now.Rollout == r.ID {
		return err
	}
	if now.Build != r.Build && now.Build != r.Previous {
		return fault.Newf(fault.Check, "deployctl show says who; roll that build out", "rolling out %s of %s: it was promoted to build %s by %s meanwhile",
			r.Channel, r.App, now.Build.Short(), now.PromotedBy)
	}
	if err := errors.Join(p.checkChannel(now, doc), p.whole(ctx, r.App, r.Build)); err != nil {
		return err
	}
	if err := p.checkClock(now, doc); err != nil {
		return err
	}
	next := now.Next(r.Build, p.now(), by)
	next.Rollout, next.Previous = r.ID, r.Previous // of a build that is live already, it is not itself
	body, err := next.Marshal()
	if err == nil {
		body, err = p.signed(release.ChannelKind, body)
	}
	if err != nil {
		return err
	}
	if err := p.writePlan(ctx, r, next.Serial); err != nil {
		return err
	}
	if err := p.archive(ctx, now, next, doc); err != nil {
		return err
	}
	_, err = p.replace(ctx, release.ChannelKey(r.App, r.Channel), doc.etag, body)
	if errors.Is(err, errTaken) {
		won, _, rerr := p.channel(ctx, r.App, r.Channel)
		if rerr != nil {
			return rerr
		}
		return fault.New(fault.Check, "look at it with deployctl show; roll out again if yours has to win", &LostRace{won})
	}
	return err
}

// writePlan writes what the channel is about to name; each object once.
func (p *Publisher) writePlan(ctx context.Context, r *Rollout, serial int64) error {
	plan, roster := PlanPull(r, p.now())
	plan.Serial = serial
	list, err := plan.Seal(roster)
	if err == nil {
		err = plan.Check()
	}
	if err != nil {
		return fault.Newf(fault.Usage, "", "planning rollout %s: %w", r.ID, err)
	}
	doc, err := plan.Marshal()
	if err == nil {
		doc, err = p.signed(release.PlanKind, doc)
	}
	if err != nil {
		return err
	}
	state, err := json.MarshalIndent(waves.NewStop(plan), "", "  ")
	if err != nil {
		return fmt.Errorf("rendering state of rollout %s: %w", r.ID, err)
	}
	for _, o := range []struct {
		key  string
		body []byte
	}{{plan.RosterKey(), list}, {waves.StateKey(r.App, r.Channel, r.ID), state}, {plan.PlanKey(), doc}} {
		if _, err := p.replace(ctx, o.key, "", o.body); errors.Is(err, errTaken) {
			return fault.Newf(fault.Check, "start a new rollout", "planning rollout %s: an operator died while planning it: there is s3://%s/%s", r.ID, p.Bucket, o.key)
		} else if err != nil {
			return err
		}
	}
	return nil
}

// UnderWay refuses to roll a channel on which agents still carry out another
// rollout, or one that somebody stopped and nobody has put back.
func (p *Publisher) UnderWay(ctx context.Context, app, channel, id string) error {
	now, _, err := p.channel(ctx, app, channel)
	if err != nil || now.Rollout == "" || now.Rollout == id {
		return err
	}
	r, _, err := p.Load(ctx, app, now.Rollout)
	if fault.KindOf(err) == fault.Check { // its state is gone: nobody could go on with it
		return nil
	}
	if err != nil || r.Phase != Rolling && r.Phase != RollingBack {
		return err
	}
	if over, err := p.through(ctx, r); err != nil || over {
		return err
	}
	next := "deployctl rollout --app " + app + " --resume " + now.Rollout + " watches it; with --abort it goes back"
	return fault.Newf(fault.Check, next, "rolling out %s of %s: agents carry out rollout %s of %s since %s", channel, app, r.ID, r.By, r.Started.Format(time.RFC3339))
}

// through says whether the agents are through with r, though nobody noted it.
func (p *Publisher) through(ctx context.Context, r *Rollout) (bool, error) {
	o, err := p.open(ctx, r)
	if err != nil {
		return false, err
	}
	stop, _, err := p.stopState(ctx, r)
	if err != nil || stop.Stopped {
		return false, err
	}
	v, err := p.judge(ctx, o)
	return v.Over, err
}

// open reads plan and roster.
func (p *Publisher) open(ctx context.Context, r *Rollout) (*waves.Reading, error) {
	key := waves.Plan{App: r.App, Channel: r.Channel, ID: r.ID}.PlanKey()
	doc, out, found, err := p.get(ctx, key, release.MaxDocument)
	if err == nil && !found {
		err = p.damaged(key, errors.New("there is no such object"))
	}
	if err != nil {
		return nil, err
	}
	o := &waves.Reading{Seen: waves.Seen{}}
	if o.Plan, err = waves.ParsePlan(doc.body); err != nil {
		return nil, p.damaged(key, err)
	}
	if o.Since = aws.ToTime(out.LastModified); o.Since.IsZero() {
		o.Since = o.Plan.At
	}
	list, _, found, err := p.get(ctx, o.Plan.RosterKey(), waves.MaxRoster)
	if err == nil && !found {
		err = p.damaged(o.Plan.RosterKey(), errors.New("there is no such object"))
	}
	if err != nil {
		return nil, err
	}
	if o.Roster, err = o.Plan.Open(list.body); err != nil {
		return nil, p.damaged(o.Plan.RosterKey(), err)
	}
	return o, nil
}

// state reads whether r was stopped.
func (p *Publisher) stopState(ctx context.Context, r *Rollout) (waves.Stop, string, error) {
	key := waves.StateKey(r.App, r.Channel, r.ID)
	doc, _, found, err := p.get(ctx, key, release.MaxDocument)
	if err == nil && !found {
		err = p.damaged(key, errors.New("there is no such object"))
	}
	if err != nil {
		return waves.Stop{}, "", err
	}
	s, err := waves.ParseStop(doc.body, r.ID)
	if err != nil {
		err = p.damaged(key, err)
	}
	return s, doc.etag, err
}

// stop has r stopped, unless it is; what it was stopped for is returned.
func (p *Publisher) stop(ctx context.Context, r *Rollout, why, by string) (waves.Stop, error) {
	for {
		s, etag, err := p.stopState(ctx, r)
		if err != nil || s.Stopped {
			return s, err
		}
		s.Stopped, s.Reason, s.By, s.At = true, why, by, p.now().UTC().Truncate(time.Second)
		body, err := json.MarshalIndent(s, "", "  ")
		if err != nil {
			return s, fmt.Errorf("rendering stop of rollout %s: %w", r.ID, err)
		}
		if _, err = p.replace(ctx, waves.StateKey(r.App, r.Channel, r.ID), etag, body); !errors.Is(err, errTaken) {
			return s, err
		}
	}
}

// results reads the results of wave i into o, and returns S3's time.
func (p *Publisher) results(ctx context.Context, o *waves.Reading, i int) (now time.Time, err error) {
	prefix := o.Plan.WavePrefix(i)
	in := &s3.ListObjectsV2Input{Bucket: &p.Bucket, Prefix: &prefix}
	for {
		out, err := p.S3.ListObjectsV2(ctx, in)
		if err != nil {
			return now, p.failed("listing", prefix, "s3:ListBucket", err)
		}
		for _, c := range out.Contents {
			if host, state, ok := waves.ParseResultKey(aws.ToString(c.Key)); ok {
				o.Seen.Add(host, state, aws.ToTime(c.LastModified))
			}
		}
		if now.IsZero() { // the first page's: what a later one shows may be younger, never older
			var told bool
			if now, told = awsmiddleware.GetServerTime(out.ResultMetadata); !told {
				now = p.now()
			}
		}
		if in.ContinuationToken = out.NextContinuationToken; in.ContinuationToken == nil {
			return now, nil
		}
	}
}

// judge decides as the agents do, from what they have written.
func (p *Publisher) judge(ctx context.Context, o *waves.Reading) (waves.Verdict, error) {
	return o.Judge(func(i int) (time.Time, error) { return p.results(ctx, o, i) })
}

// result reads what a host said; one that cannot be read said nothing.
func (p *Publisher) result(ctx context.Context, o *waves.Reading, wave int, host string, s waves.State) waves.Result {
	var res waves.Result
	doc, found, err := p.read(ctx, o.Plan.ResultKey(wave, host, s))
	if err != nil || !found || json.Unmarshal(doc.body, &res) != nil {
		return waves.Result{State: s}
	}
	return res
}
