package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// Promotion asks for a build to be the live one of a channel.
type Promotion struct {
	App     string
	Channel string
	Build   release.ID
	By      string // who asks, user@host
}

// Promoted is what Promote did.
type Promoted struct {
	Channel release.Channel `json:"channel"` // as it is now
	Changed bool            `json:"changed"` // false: the build was live already
}

// LostRace says that the channel changed between our reading and our writing.
// Nothing of ours was written.
type LostRace struct {
	Won release.Channel // what the other one made of it
}

// Error names the winner.
func (e *LostRace) Error() string {
	by := e.Won.PromotedBy
	if by == "" {
		by = "somebody"
	}
	return fmt.Sprintf("%s was faster: build %s since %s (serial %d)", by, e.Won.Build.Short(),
		e.Won.PromotedAt.Format(time.RFC3339), e.Won.Serial)
}

// Promote makes a build the live one of a channel by compare-and-swap. A build
// that is live already stays so, with no write. A build whose manifest or
// artefact is missing, or not what its name says, is refused with fault.Check;
// so is a lost race, as a *LostRace.
func (p *Publisher) Promote(ctx context.Context, want Promotion) (Promoted, error) {
	done, err := p.promote(ctx, want)
	if err != nil {
		return Promoted{}, fmt.Errorf("promoting build %s of %s on %s: %w", want.Build.Short(), want.App, want.Channel, err)
	}
	return done, nil
}

func (p *Publisher) promote(ctx context.Context, want Promotion) (Promoted, error) {
	if err := errors.Join(release.CheckName("app", want.App), release.CheckName("channel", want.Channel)); err != nil {
		return Promoted{}, err
	}
	if err := p.whole(ctx, want.App, want.Build); err != nil {
		return Promoted{}, err
	}
	return p.swap(ctx, want)
}

// whole refuses a build whose manifest or artefact is not there, or not what its
// name says.
func (p *Publisher) whole(ctx context.Context, app string, build release.ID) error {
	m, doc, err := p.manifest(ctx, app, build)
	if err == nil {
		err = p.checkManifest(m, doc)
	}
	if err != nil {
		return err
	}
	there, err := p.hasArtifact(ctx, m)
	if err == nil && !there {
		err = fault.Newf(fault.Check, "push the build again", "there is no artefact at s3://%s/%s", p.Bucket, release.ArtifactKey(m.App, m.ID))
	}
	return err
}

// swap reads the channel and replaces what was read.
func (p *Publisher) swap(ctx context.Context, want Promotion) (Promoted, error) {
	now, doc, err := p.channel(ctx, want.App, want.Channel)
	if err == nil {
		err = p.checkChannel(now, doc)
	}
	if err != nil {
		return Promoted{}, err
	}
	if now.Build == want.Build && p.has(release.ChannelKind, doc.body) {
		return Promoted{Channel: now}, nil
	}
	if err := p.checkClock(now, doc); err != nil {
		return Promoted{}, err
	}
	next, body, err := p.next(now, doc, want)
	if err != nil {
		return Promoted{}, err
	}
	if err := p.archive(ctx, now, next, doc); err != nil {
		return Promoted{}, err
	}
	err = p.write(ctx, release.ChannelKey(want.App, want.Channel), doc.etag, body)
	if err == nil {
		return p.confirm(ctx, now, next)
	}
	if !errors.Is(err, errTaken) {
		return Promoted{}, err
	}
	won, _, err := p.channel(ctx, want.App, want.Channel)
	switch {
	case err != nil:
		return Promoted{}, err
	case won == next: // it was ourselves: the first reply was lost
		return p.confirm(ctx, now, next)
	case won.Build == want.Build: // the other one wants the same
		return Promoted{Channel: won}, nil
	case won.Serial == 0:
		return Promoted{}, fault.New(fault.Check, "find out who deletes channels", errors.New("the channel was deleted meanwhile"))
	}
	return Promoted{}, fault.New(fault.Check, "look at it with deployctl show; promote again if yours has to win", &LostRace{won})
}

// maxSkew is how far an operator's clock may be off; AWS refuses requests that
// are 15 minutes off, but the SDK corrects for that by itself.
const maxSkew = 15 * time.Minute

// checkClock refuses to write a wrong time into a channel: its history, and what
// gc keeps, are read by these times. S3's clock decides who is wrong, so that a
// promotion with a time in the future does not keep others from mending it.
func (p *Publisher) checkClock(c release.Channel, doc document) error {
	now := p.now()
	ahead := !doc.at.IsZero() && now.After(doc.at.Add(maxSkew))
	behind := c.PromotedAt.After(now.Add(maxSkew)) && !c.PromotedAt.After(doc.at.Add(maxSkew))
	if !ahead && !behind {
		return nil
	}
	return fault.Newf(fault.Usage, "correct the clock of this machine", "here it is %s, for S3 it is %s, and channel %s of %s was promoted at %s",
		now.UTC().Format(time.RFC3339), doc.at.UTC().Format(time.RFC3339), c.Name, c.App, c.PromotedAt.Format(time.RFC3339))
}

// channel reads a channel; one that does not exist yet has serial 0 and an
// empty document.
func (p *Publisher) channel(ctx context.Context, app, name string) (release.Channel, document, error) {
	key := release.ChannelKey(app, name)
	doc, found, err := p.read(ctx, key)
	if err != nil {
		return release.Channel{}, document{}, err
	}
	if !found {
		return release.FirstChannel(app, name), document{}, nil
	}
	c, err := release.ParseChannel(doc.body)
	if err == nil && (c.App != app || c.Name != name) {
		err = fmt.Errorf("it says that it is %s of %s", c.Name, c.App)
	}
	if err != nil {
		return release.Channel{}, document{}, p.damaged(key, err)
	}
	return c, doc, nil
}

func (p *Publisher) damaged(key string, err error) error {
	return fault.Newf(fault.Check, "repair or delete the object; find out who else writes to the bucket",
		"reading s3://%s/%s: %w", p.Bucket, key, err)
}
