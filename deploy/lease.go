package deploy

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// LeaseTime is how long a lease outlives its last renewal; it is renewed three
// times within it.
const LeaseTime = 30 * time.Second

// Holder is who rolls a channel. It is the document of a lease.
type Holder struct {
	Rollout  string    `json:"rollout"`
	By       string    `json:"by"`      // user@host
	Process  string    `json:"process"` // random, of one process alone
	Since    time.Time `json:"since"`
	Renewed  time.Time `json:"renewed"` // by the holder's clock
	Released bool      `json:"released"`
}

// LeaseHeld says that another rollout has the channel.
type LeaseHeld struct {
	Holder Holder
	Age    time.Duration // since the holder was last seen
}

// Error names the holder.
func (e *LeaseHeld) Error() string {
	return fmt.Sprintf("rollout %s of %s has it since %s, last seen %s ago", e.Holder.Rollout, e.Holder.By,
		e.Holder.Since.Format(time.RFC3339), e.Age.Round(time.Second))
}

// errLeaseLost ends the work of a holder whose lease somebody took over.
var errLeaseLost = errors.New("the lease of the channel was lost: this machine was asleep or cut off for too long")

// Lease is the right to roll one channel. Only one process has it.
type Lease struct {
	p       *Publisher
	key     string
	mu      sync.Mutex
	holder  Holder
	etag    string
	stopped chan struct{}
	once    sync.Once
}

// leaseKey is where the lease of a channel lies; not among the channels.
func leaseKey(app, channel string) string { return app + "/leases/" + channel + ".json" }

// stateKey is where the state of a rollout lies.
func stateKey(app, id string) string { return app + "/rollouts/" + id + ".json" }

// Acquire takes the lease of a channel for rollout id. One that is held and not
// run out is a *LeaseHeld (fault.Check).
func (p *Publisher) Acquire(ctx context.Context, app, channel, id, by string) (*Lease, error) {
	key := leaseKey(app, channel)
	held, etag, age, err := p.lease(ctx, key)
	if err != nil {
		return nil, err
	}
	if etag != "" && !held.Released && age < LeaseTime {
		return nil, fault.New(fault.Check, "wait for its end, or for "+LeaseTime.String()+" after its operator died; then deployctl rollout --app "+app+" --resume "+held.Rollout+" goes on",
			fmt.Errorf("locking channel %s of %s: %w", channel, app, &LeaseHeld{held, age}))
	}
	l := &Lease{p: p, key: key, etag: etag, stopped: make(chan struct{}),
		holder: Holder{Rollout: id, By: by, Process: rand.Text(), Since: p.now().UTC().Truncate(time.Second)}}
	if err := l.renew(ctx); errors.Is(err, errTaken) {
		return nil, fault.New(fault.Check, "look again in a moment", fmt.Errorf("locking channel %s of %s: another rollout took it this moment", channel, app))
	} else if err != nil {
		return nil, err
	}
	return l, nil
}

// lease reads a lease and its age. S3's clock alone is asked where it tells the
// time, so that operators' clocks need not agree.
func (p *Publisher) lease(ctx context.Context, key string) (Holder, string, time.Duration, error) {
	doc, out, found, err := p.get(ctx, key, release.MaxDocument)
	if err != nil || !found {
		return Holder{}, "", 0, err
	}
	var h Holder
	if err := json.Unmarshal(doc.body, &h); err != nil {
		return Holder{}, "", 0, p.damaged(key, err)
	}
	age := p.now().Sub(h.Renewed)
	if now, ok := awsmiddleware.GetServerTime(out.ResultMetadata); ok && out.LastModified != nil {
		age = now.Sub(*out.LastModified)
	}
	return h, doc.etag, age, nil
}

// renew writes the lease again. One of ours that took effect without an answer
// is in the way only once.
func (l *Lease) renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder.Renewed = l.p.now().UTC()
	body, err := json.MarshalIndent(l.holder, "", "  ")
	if err != nil {
		return fmt.Errorf("rendering lease: %w", err)
	}
	etag, err := l.p.replace(ctx, l.key, l.etag, body)
	if errors.Is(err, errTaken) {
		there, now, _, rerr := l.p.lease(ctx, l.key)
		if rerr == nil && now != "" && l.wrote(there) {
			etag, err = l.p.replace(ctx, l.key, now, body)
		}
	}
	if err == nil {
		l.etag = etag
	}
	return err
}

// wrote says that a lease is of our writing.
func (l *Lease) wrote(h Holder) bool { return h.Process == l.holder.Process && !h.Released }

// Hold renews the lease until the lease is released, and ends the returned
// context when it is lost.
func (l *Lease) Hold(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		good := time.Now()
		tick := time.NewTicker(LeaseTime / 3)
		defer tick.Stop()
		for {
			select {
			case <-l.stopped:
				cancel(nil)
				return
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// One call that hangs leaves time for another; none outlives the lease.
			once, stop := context.WithTimeout(ctx, min(LeaseTime/3, LeaseTime-time.Since(good)))
			err := l.renew(once)
			stop()
			switch {
			case err == nil:
				good = time.Now()
			case errors.Is(err, errTaken), time.Since(good) >= LeaseTime:
				cancel(fault.New(fault.Check, "deployctl rollout --resume "+l.holder.Rollout, errLeaseLost))
				return
			}
		}
	}()
	return ctx
}

// Release gives the lease back. It may be called more than once.
func (l *Lease) Release(ctx context.Context) error {
	var err error
	l.once.Do(func() {
		close(l.stopped)
		l.mu.Lock()
		l.holder.Released = true
		l.mu.Unlock()
		err = l.renew(ctx)
	})
	if errors.Is(err, errTaken) {
		return nil // lost before; it is not ours to release
	}
	return err
}

// get is read with the reply, and a size of the caller's.
func (p *Publisher) get(ctx context.Context, key string, limit int64) (document, *s3.GetObjectOutput, bool, error) {
	doc, out, found, err := p.readReply(ctx, key, limit)
	if err == nil && found && int64(len(doc.body)) > limit {
		err = p.damaged(key, fmt.Errorf("longer than %d bytes", limit))
	}
	return doc, out, found, err
}

// replace writes a document if the one there still has etag (empty: is none)
// and returns the new ETag. Our own write whose reply was lost is no conflict.
func (p *Publisher) replace(ctx context.Context, key, etag string, body []byte) (string, error) {
	out, err := p.put(ctx, key, etag, body)
	if err == nil {
		return aws.ToString(out.ETag), nil
	}
	if errors.Is(err, errTaken) {
		if doc, _, found, rerr := p.get(ctx, key, maxState); rerr == nil && found && string(doc.body) == string(body) {
			return doc.etag, nil
		}
	}
	return "", err
}
