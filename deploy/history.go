package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// readers is how many small objects are read at a time.
const readers = 8

// archive keeps the channel that is about to be replaced: a record is written
// before the swap, so no state of a channel is ever lost, and whoever loses the
// race has recorded the same as the winner.
func (p *Publisher) archive(ctx context.Context, now, next release.Channel, doc document) error {
	if now.Serial == 0 || next.Serial == now.Serial {
		return nil
	}
	err := p.write(ctx, release.HistoryKey(now.App, now.Name, now.Serial), "", doc.body)
	if errors.Is(err, errTaken) { // an attempt before this one got so far
		return nil
	}
	return err
}

// History returns the states of a channel, newest first, the live one among
// them, at most limit of them (0: all). A channel that nobody promoted yet has
// none, which is fault.Check.
func (p *Publisher) History(ctx context.Context, app, channel string, limit int) ([]release.Channel, error) {
	now, _, err := p.channel(ctx, app, channel)
	if err != nil {
		return nil, err
	}
	if now.Serial == 0 {
		return nil, fault.Newf(fault.Check, "promote a build on it, or check app, channel and bucket",
			"reading the history of %s of %s: nothing was promoted yet: no object at s3://%s/%s", channel, app, p.Bucket, release.ChannelKey(app, channel))
	}
	keys, err := p.list(ctx, release.HistoryPrefix(app, channel))
	if err != nil {
		return nil, err
	}
	slices.Reverse(keys)
	if limit > 0 {
		keys = keys[:min(limit-1, len(keys))]
	}
	past, err := p.records(ctx, app, channel, keys)
	return append([]release.Channel{now}, past...), err
}

// records reads archived channels, in the order of keys.
func (p *Publisher) records(ctx context.Context, app, channel string, keys []string) ([]release.Channel, error) {
	past := make([]release.Channel, len(keys))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers)
	for i, key := range keys {
		g.Go(func() error {
			doc, found, err := p.read(ctx, key)
			if err != nil {
				return err
			}
			if !found {
				return fault.Newf(fault.Check, "try again", "reading s3://%s/%s: it was removed meanwhile", p.Bucket, key)
			}
			c, err := release.ParseChannel(doc.body)
			if err == nil && (c.App != app || c.Name != channel || release.HistoryKey(app, channel, c.Serial) != key) {
				err = fmt.Errorf("it says that it is serial %d of %s of %s", c.Serial, c.Name, c.App)
			}
			if err != nil {
				return p.damaged(key, err)
			}
			past[i] = c
			return nil
		})
	}
	return past, g.Wait()
}

// archived lists the channels of app that have a history, gone ones among them.
func (p *Publisher) archived(ctx context.Context, app string) ([]string, error) {
	prefix := release.HistoryPrefix(app, "")
	dirs, err := p.list(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, dir := range dirs {
		if name := strings.TrimSuffix(strings.TrimPrefix(dir, prefix), "/"); release.CheckName("channel", name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// confirm looks whether the build is still there after the swap: deployctl gc
// may have removed it between our look and our write. The channel goes back
// then; gc in turn looks at the channels after it took a manifest away, so one
// of the two always sees the other.
func (p *Publisher) confirm(ctx context.Context, before, now release.Channel) (Promoted, error) {
	if p.still(ctx, now) {
		return Promoted{Channel: now, Changed: true}, nil
	}
	gone := fault.Newf(fault.Check, "push the build again", "the build was removed meanwhile (deployctl gc)")
	if before.Serial == 0 {
		return Promoted{Channel: now, Changed: true}, gone
	}
	_, live, err := p.channel(ctx, now.App, now.Name)
	if err != nil {
		return Promoted{Channel: now, Changed: true}, errors.Join(gone, err)
	}
	back, body, err := p.next(now, live, Promotion{App: now.App, Channel: now.Name, Build: before.Build, By: now.PromotedBy})
	if err == nil {
		err = p.archive(ctx, now, back, live)
	}
	if err == nil {
		_, err = p.replace(ctx, release.ChannelKey(now.App, now.Name), live.etag, body)
	}
	if err != nil {
		return Promoted{Channel: now, Changed: true}, errors.Join(gone, err)
	}
	return Promoted{}, gone
}

// still says whether the build of c can be pulled. Where that cannot be told
// now, it can: it was so a moment ago.
func (p *Publisher) still(ctx context.Context, c release.Channel) bool {
	m, err := p.Manifest(ctx, c.App, c.Build)
	if err != nil {
		return fault.KindOf(err) != fault.Check
	}
	there, err := p.hasArtifact(ctx, m)
	return there || err != nil
}
