package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// minPrefix is how many digits of an id are enough to look for it.
const minPrefix = 6

// Live is a channel and the build that it points at.
type Live struct {
	Channel  release.Channel  `json:"channel"`
	Manifest release.Manifest `json:"manifest"`
}

// Manifest reads the manifest of a build; a missing one is fault.Check.
func (p *Publisher) Manifest(ctx context.Context, app string, id release.ID) (release.Manifest, error) {
	m, _, err := p.manifest(ctx, app, id)
	return m, err
}

// manifest is Manifest with the object as it was read.
func (p *Publisher) manifest(ctx context.Context, app string, id release.ID) (release.Manifest, document, error) {
	key := release.ManifestKey(app, id)
	doc, found, err := p.read(ctx, key)
	if err != nil {
		return release.Manifest{}, document{}, err
	}
	if !found {
		return release.Manifest{}, document{}, fault.Newf(fault.Check, "push it first, or check app and bucket", "there is no build %s: no manifest at s3://%s/%s",
			id.Short(), p.Bucket, key)
	}
	m, err := release.ParseManifest(doc.body)
	if err == nil && (m.App != app || m.ID != id) {
		err = fmt.Errorf("it describes build %s of %s", m.ID.Short(), m.App)
	}
	if err != nil {
		return release.Manifest{}, document{}, p.damaged(key, err)
	}
	return m, doc, nil
}

// Show says what is live on a channel; a channel without a build is fault.Check.
func (p *Publisher) Show(ctx context.Context, app, channel string) (Live, error) {
	c, _, err := p.channel(ctx, app, channel)
	if err != nil {
		return Live{}, err
	}
	if c.Serial == 0 {
		return Live{}, fault.Newf(fault.Check, "promote a build on it, or check app, channel and bucket",
			"showing %s of %s: nothing was promoted yet: no object at s3://%s/%s", channel, app, p.Bucket, release.ChannelKey(app, channel))
	}
	m, err := p.Manifest(ctx, app, c.Build)
	if err != nil {
		return Live{}, fmt.Errorf("showing %s of %s: %w", channel, app, err)
	}
	return Live{c, m}, nil
}

// Channels returns the names of app's channels, sorted.
func (p *Publisher) Channels(ctx context.Context, app string) ([]string, error) {
	prefix := release.ChannelsPrefix(app)
	page, err := p.list(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, key := range page {
		if name, ok := strings.CutSuffix(strings.TrimPrefix(key, prefix), ".json"); ok && release.CheckName("channel", name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// Resolve returns the build that text names: a whole id, or at least 6 of its
// first digits. None or several such builds are fault.Check.
func (p *Publisher) Resolve(ctx context.Context, app, text string) (release.ID, error) {
	if id, err := release.ParseID(text); err == nil {
		return id, nil
	}
	if len(text) < minPrefix || strings.Trim(text, "0123456789abcdef") != "" {
		return "", fault.Newf(fault.Usage, "copy it from the output of push or show",
			"reading build %q: want a build id, or its first %d or more digits", text, minPrefix)
	}
	prefix := release.BuildsPrefix(app)
	list, err := p.list(ctx, prefix+text)
	if err != nil {
		return "", err
	}
	var found []release.ID
	for _, key := range list {
		if id, err := release.ParseID(strings.TrimSuffix(strings.TrimPrefix(key, prefix), "/")); err == nil {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", fault.Newf(fault.Check, "push it first, or check app and bucket", "looking for build %s of %s: there is none in bucket %s", text, app, p.Bucket)
	}
	return "", fault.Newf(fault.Usage, "give more digits", "looking for build %s of %s: there are %d, for example %s and %s",
		text, app, len(found), found[0].Short(), found[1].Short())
}

// list returns the keys and "directories" below prefix, in S3's order, which is
// that of their bytes.
func (p *Publisher) list(ctx context.Context, prefix string) ([]string, error) {
	in := &s3.ListObjectsV2Input{Bucket: &p.Bucket, Prefix: &prefix, Delimiter: aws.String("/")}
	var keys []string
	for {
		out, err := p.S3.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, p.failed("listing", prefix, "s3:ListBucket", err)
		}
		for _, o := range out.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
		for _, c := range out.CommonPrefixes {
			keys = append(keys, aws.ToString(c.Prefix))
		}
		if out.NextContinuationToken == nil {
			slices.Sort(keys) // a page holds keys first, then directories
			return keys, nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}
