package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"

	"bakehouse/internal/awserr"
	"bakehouse/release"
)

// Running lists which builds the hosts say that they have; nil: nobody asks.
type Running func(context.Context) ([]Reference, error)

// PlanGarbage decides which builds of app can go: those that no channel was on
// within the given time, no host has, no unfinished rollout needs, and that
// were not pushed within that time. An error of any of the sources ends it: a
// view with holes is not a view.
func (p *Publisher) PlanGarbage(ctx context.Context, app string, within time.Duration, hosts Running) (GarbagePlan, error) {
	now := p.now()
	refs, err := p.channelsNeed(ctx, app, now.Add(-within))
	if err == nil {
		err = p.rolloutsNeed(ctx, app, now.Add(-within), &refs)
	}
	if err == nil && hosts != nil {
		var have []Reference
		have, err = hosts(ctx)
		refs = append(refs, have...)
	}
	var builds []Stored
	if err == nil {
		builds, err = p.stored(ctx, app)
	}
	if err != nil {
		return GarbagePlan{}, fmt.Errorf("planning the removal of old builds of %s: %w", app, err)
	}
	plan := Retain(builds, refs, within, now)
	plan.App = app
	return plan, nil
}

// channelsNeed reads what all channels of app, those that were removed among
// them, were on since the given time.
func (p *Publisher) channelsNeed(ctx context.Context, app string, since time.Time) ([]Reference, error) {
	live, err := p.Channels(ctx, app)
	if err != nil {
		return nil, err
	}
	var refs []Reference
	for _, name := range live {
		states, err := p.History(ctx, app, name, 0)
		if err != nil {
			return nil, err
		}
		refs = append(refs, channelReferences(states, since)...)
	}
	old, err := p.archived(ctx, app)
	if err != nil {
		return nil, err
	}
	for _, name := range old {
		if !slices.Contains(live, name) {
			gone, err := p.goneChannel(ctx, app, name, since)
			if err != nil {
				return nil, err
			}
			refs = append(refs, gone...)
		}
	}
	return refs, nil
}

// goneChannel reads the history of a channel whose object was removed.
func (p *Publisher) goneChannel(ctx context.Context, app, name string, since time.Time) ([]Reference, error) {
	keys, err := p.list(ctx, release.HistoryPrefix(app, name))
	if err != nil {
		return nil, err
	}
	states, err := p.records(ctx, app, name, keys)
	var refs []Reference
	for _, c := range states {
		if !c.PromotedAt.Before(since) {
			refs = append(refs, Reference{c.Build, "promoted on " + name + " on " + c.PromotedAt.UTC().Format(time.DateOnly)})
		}
	}
	return refs, err
}

// rolloutsNeed adds what unfinished rollouts need whose state was written since.
func (p *Publisher) rolloutsNeed(ctx context.Context, app string, since time.Time, refs *[]Reference) error {
	prefix := app + "/rollouts/"
	return p.objects(ctx, prefix, func(o types.Object) error {
		id, ok := strings.CutSuffix(strings.TrimPrefix(aws.ToString(o.Key), prefix), ".json")
		if !ok || aws.ToTime(o.LastModified).Before(since) {
			return nil
		}
		r, _, err := p.Load(ctx, app, id)
		if err == nil {
			*refs = append(*refs, r.references()...)
		}
		return err
	})
}

// stored lists the builds of app in the bucket.
func (p *Publisher) stored(ctx context.Context, app string) ([]Stored, error) {
	var all []Stored
	at := map[release.ID]int{}
	prefix := release.BuildsPrefix(app)
	err := p.objects(ctx, prefix, func(o types.Object) error {
		key := aws.ToString(o.Key)
		name, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), "/")
		id, err := release.ParseID(name)
		if err != nil {
			return nil // not ours
		}
		i, known := at[id]
		if !known {
			i, at[id] = len(all), len(all)
			all = append(all, Stored{Build: id})
		}
		b := &all[i]
		b.Size += aws.ToInt64(o.Size)
		b.Artifact = b.Artifact || key == release.ArtifactKey(app, id)
		b.Manifest = b.Manifest || key == release.ManifestKey(app, id)
		if t := aws.ToTime(o.LastModified); t.After(b.Pushed) {
			b.Pushed = t
		}
		return nil
	})
	return all, err
}

// objects calls f for every object below prefix.
func (p *Publisher) objects(ctx context.Context, prefix string, f func(types.Object) error) error {
	pages := s3.NewListObjectsV2Paginator(p.S3, &s3.ListObjectsV2Input{Bucket: &p.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return p.failed("listing", prefix, "s3:ListBucket", err)
		}
		for _, o := range out.Contents {
			if err := f(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// Collected is what Collect did.
type Collected struct {
	Removed []release.ID `json:"removed"`
	Spared  []release.ID `json:"spared"` // promoted while it was under way: they stay
}

// Collect removes what plan says: first the manifests, which no promotion gets
// past, then, after another look at the channels, the artefacts. A build that
// was promoted in between gets its manifest back; a promotion that read the
// manifest before and swaps after our look finds it gone (see confirm). What
// fails is tried by the next run; the others go on.
func (p *Publisher) Collect(ctx context.Context, plan GarbagePlan) (Collected, error) {
	kept := make([]document, len(plan.Remove)) // manifests, for giving back
	err := p.together(ctx, len(plan.Remove), func(ctx context.Context, i int) error {
		key := release.ManifestKey(plan.App, plan.Remove[i].Build)
		doc, found, err := p.read(ctx, key)
		if err != nil || !found {
			return err
		}
		kept[i] = doc
		return p.remove(ctx, key)
	})
	live, lerr := p.liveNow(ctx, plan.App)
	if lerr != nil {
		return Collected{}, errors.Join(err, fmt.Errorf("looking at the channels again: %w", lerr), p.giveBack(ctx, plan, kept, nil))
	}
	done := Collected{Removed: []release.ID{}, Spared: []release.ID{}}
	if err != nil {
		return done, errors.Join(err, p.giveBack(ctx, plan, kept, live))
	}
	err = p.giveBack(ctx, plan, kept, live)
	var gone []Verdict
	for _, v := range plan.Remove {
		if live[v.Build] {
			done.Spared = append(done.Spared, v.Build)
		} else {
			gone = append(gone, v)
			done.Removed = append(done.Removed, v.Build)
		}
	}
	rerr := p.together(ctx, len(gone), func(ctx context.Context, i int) error {
		return p.remove(ctx, release.ArtifactKey(plan.App, gone[i].Build))
	})
	return done, errors.Join(err, rerr)
}

// giveBack writes the manifests of builds that are live; with live nil, of all.
func (p *Publisher) giveBack(ctx context.Context, plan GarbagePlan, kept []document, live map[release.ID]bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
	defer cancel()
	return p.together(ctx, len(plan.Remove), func(ctx context.Context, i int) error {
		id := plan.Remove[i].Build
		if kept[i].body == nil || live != nil && !live[id] {
			return nil
		}
		err := p.write(ctx, release.ManifestKey(plan.App, id), "", kept[i].body)
		if errors.Is(err, errTaken) { // a push was faster
			return nil
		}
		return err
	})
}

// liveNow is what the channels are on, and would go back to.
func (p *Publisher) liveNow(ctx context.Context, app string) (map[release.ID]bool, error) {
	names, err := p.Channels(ctx, app)
	if err != nil {
		return nil, err
	}
	live := map[release.ID]bool{}
	for _, name := range names {
		c, _, err := p.channel(ctx, app, name)
		if err != nil {
			return nil, err
		}
		live[c.Build], live[c.Previous] = true, true
	}
	return live, nil
}

// remove deletes an object; one that is gone is fine.
func (p *Publisher) remove(ctx context.Context, key string) error {
	_, err := p.S3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.Bucket, Key: &key})
	if err != nil && !awserr.IsNotFound(err) {
		return p.failed("deleting", key, "s3:DeleteObject", err)
	}
	return nil
}

// together calls f with 0 to n-1, some at a time, all of them whatever fails.
func (p *Publisher) together(ctx context.Context, n int, f func(context.Context, int) error) error {
	errs := make([]error, n)
	var g errgroup.Group
	g.SetLimit(readers)
	for i := range n {
		g.Go(func() error {
			errs[i] = f(ctx, i)
			return nil
		})
	}
	_ = g.Wait() // errs has them
	all := multierror.Append(nil, errs...)
	all.ErrorFormat = func(errs []error) string {
		if len(errs) == 1 {
			return errs[0].Error()
		}
		return fmt.Sprintf("%v; and %d more like it", errs[0], len(errs)-1)
	}
	return all.ErrorOrNil()
}
