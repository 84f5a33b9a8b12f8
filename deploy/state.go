package deploy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// maxState bounds the state of a rollout: some 20,000 hosts.
const maxState = 16 << 20

// NewRolloutID makes the id of a rollout: 12 hex digits.
func NewRolloutID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// Store keeps the state of one rollout in the bucket. Each write replaces
// exactly what the write before left, so that an operator who lost the lease
// does not write over his successor.
type Store struct {
	p    *Publisher
	etag string
}

// NewStore stores a new rollout.
func (p *Publisher) NewStore() *Store { return &Store{p: p} }

// Save stores r.
func (s *Store) Save(ctx context.Context, r *Rollout) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("rendering the rollout's state: %w", err)
	}
	etag, err := s.p.replace(ctx, stateKey(r.App, r.ID), s.etag, body)
	if errors.Is(err, errTaken) {
		return fault.New(fault.Check, "deployctl rollout --resume "+r.ID, fmt.Errorf("storing the rollout's state: somebody else went on with it: %w", err))
	}
	if err == nil {
		s.etag = etag
	}
	return err
}

// Load reads the state of rollout id, for going on with it.
func (p *Publisher) Load(ctx context.Context, app, id string) (*Rollout, *Store, error) {
	if err := release.CheckRollout(id); err != nil {
		return nil, nil, err
	}
	key := stateKey(app, id)
	doc, _, found, err := p.get(ctx, key, maxState)
	if err != nil {
		return nil, nil, err
	}
	if !found {
		return nil, nil, fault.Newf(fault.Check, "check id, app and bucket", "there is no rollout %s of %s: no object at s3://%s/%s", id, app, p.Bucket, key)
	}
	r := &Rollout{}
	err = json.Unmarshal(doc.body, r)
	if err == nil && r.Format != rolloutFormat {
		err = fmt.Errorf("format is %d, this version reads %d", r.Format, rolloutFormat)
	}
	if err == nil && (r.ID != id || r.App != app) {
		err = fmt.Errorf("it says that it is rollout %s of %s", r.ID, r.App)
	}
	if err == nil {
		err = r.Strategy.Check()
	}
	if err != nil {
		return nil, nil, p.damaged(key, err)
	}
	return r, &Store{p, doc.etag}, nil
}

// Back swaps a rollout's channel from its build to the one before. False: the
// channel is at a third build, which is not touched. Back where it is already
// is true.
func (p *Publisher) Back(ctx context.Context, r *Rollout, by string) (bool, error) {
	now, doc, err := p.channel(ctx, r.App, r.Channel)
	if err == nil {
		err = p.checkChannel(now, doc)
	}
	if err != nil || now.Build == r.Previous {
		return err == nil, err
	}
	if now.Build != r.Build {
		return false, nil
	}
	next, body, err := p.next(now, doc, Promotion{App: r.App, Channel: r.Channel, Build: r.Previous, By: by})
	if err != nil {
		return false, err
	}
	if err := p.archive(ctx, now, next, doc); err != nil {
		return false, err
	}
	_, err = p.replace(ctx, release.ChannelKey(r.App, r.Channel), doc.etag, body)
	if errors.Is(err, errTaken) { // lost a race: look who won
		won, _, rerr := p.channel(ctx, r.App, r.Channel)
		return rerr == nil && won.Build == next.Build, rerr
	}
	return err == nil, err
}

// Prepare fills in what a rollback goes back to, before anything is changed:
// the build that the channel has now or, when it has r's already, the one before.
func (p *Publisher) Prepare(ctx context.Context, r *Rollout) error {
	now, _, err := p.channel(ctx, r.App, r.Channel)
	if err != nil {
		return err
	}
	if r.Build == "" {
		r.Build = now.Build
	}
	switch {
	case r.Build == "":
		return fault.Newf(fault.Check, "name a build to roll out", "rolling out %s of %s: nothing was promoted on it yet", r.Channel, r.App)
	case now.Build == r.Build:
		r.Previous = now.Previous
	default:
		r.Previous = now.Build
	}
	return nil
}

// Point makes r's build the live one of its channel, unless it is. A channel
// that somebody promoted to a third build since Prepare is fault.Check.
func (p *Publisher) Point(ctx context.Context, r *Rollout, by string) error {
	now, _, err := p.channel(ctx, r.App, r.Channel)
	if err != nil {
		return err
	}
	if now.Build != r.Build && now.Build != r.Previous {
		return fault.Newf(fault.Check, "deployctl show says who; roll that build out", "rolling out %s of %s: it was promoted to build %s by %s meanwhile",
			r.Channel, r.App, now.Build.Short(), now.PromotedBy)
	}
	_, err = p.Promote(ctx, Promotion{App: r.App, Channel: r.Channel, Build: r.Build, By: by})
	return err
}
