package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"bakehouse/internal/fault"
)

// part is one range under way.
type part struct {
	Range
	began time.Time
	stop  context.CancelFunc
	won   atomic.Bool
	done  chan copied // has room for the ends of both copies
}

// copied is a whole part, or why a copy of it failed.
type copied struct {
	buf  []byte
	took time.Duration
	err  error
}

// errBeaten ends the copy of a part that was whole after the other one.
var errBeaten = errors.New("the other copy was whole first")

// transfer is one run of copyTo. All but workers' goroutines run in one.
type transfer struct {
	download
	what    Range
	tag     chan string // the ETag, as soon as an answer tells it
	free    chan []byte // buffers
	made    int         // how many there are
	usual   time.Duration
	workers sync.WaitGroup
}

// buffer returns a buffer of n bytes, or nil when the budget is used up.
func (t *transfer) buffer(n int64) []byte {
	select {
	case b := <-t.free:
		return b[:n]
	default:
	}
	if t.made > t.width {
		return nil
	}
	t.made++
	return make([]byte, min(t.part, t.what.Size))[:n]
}

// start asks for a part.
func (t *transfer) start(ctx context.Context, from, size int64) *part {
	p := &part{Range: t.what, began: time.Now(), done: make(chan copied, 2)}
	p.From, p.Size = from, size
	ctx, p.stop = context.WithCancel(ctx)
	t.ask(ctx, p, t.buffer(size))
	return p
}

// ask starts one copy of p into buf.
func (t *transfer) ask(ctx context.Context, p *part, buf []byte) {
	r, began := p.Range, time.Now()
	t.workers.Go(func() {
		err := t.fill(ctx, r, buf)
		if err == nil && p.won.CompareAndSwap(false, true) {
			p.done <- copied{buf: buf, took: time.Since(began)}
			return
		}
		if err == nil {
			err = errBeaten // it may be heard before the winner, and must not pass for it
		}
		t.free <- buf[:cap(buf)]
		p.done <- copied{err: err}
	})
}

// pin waits until the first answer has told the object's ETag.
func (t *transfer) pin(ctx context.Context, first *part) error {
	select {
	case t.what.ETag = <-t.tag:
		return nil
	case c := <-first.done:
		if c.err != nil {
			return c.err
		}
		first.done <- c // for await; the tag was told before
		t.what.ETag = <-t.tag
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// await returns p when it is whole.
func (t *transfer) await(ctx context.Context, p *part) copied {
	defer p.stop()
	var late <-chan time.Time
	if t.usual > 0 {
		timer := time.NewTimer(time.Until(p.began.Add(max(t.hedge, 3*t.usual))))
		defer timer.Stop()
		late = timer.C
	}
	for copies := 1; ; {
		select {
		case c := <-p.done:
			copies--
			if c.err != nil && copies > 0 {
				continue // the other copy may make it
			}
			if c.err == nil {
				t.usual = max((3*t.usual+c.took)/4, 1)
			}
			return c
		case <-late:
			late = nil
			if buf := t.buffer(p.Size); buf != nil {
				p.ETag = t.what.ETag
				t.ask(ctx, p, buf)
				copies++
			}
		case <-ctx.Done():
			return copied{err: context.Cause(ctx)}
		}
	}
}

// fill reads r into buf, asking again for what is missing.
func (t *transfer) fill(ctx context.Context, r Range, buf []byte) error {
	for try, wait := 1, 100*time.Millisecond; ; try, wait = try+1, 2*wait {
		n, err := t.attempt(ctx, &r, buf)
		if err == nil {
			return nil
		}
		buf = buf[n:]
		r.From, r.Size = r.From+int64(n), r.Size-int64(n)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if try >= t.tries || isFinal(err) || errors.Is(err, ErrNoObject) || errors.Is(err, ErrChanged) {
			return err
		}
		if err := t.clock.Sleep(ctx, rand.N(min(wait, 5*time.Second))); err != nil {
			return err
		}
	}
}

// attempt asks once, and returns how many bytes came. It pins r to the ETag of
// the answer.
func (t *transfer) attempt(ctx context.Context, r *Range, buf []byte) (n int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(t.stall, func() { cancel(fmt.Errorf("nothing came for %s", t.stall)) })
	defer watch.Stop()
	body, whole, err := t.store.OpenRange(ctx, *r)
	if err != nil {
		return 0, stalled(ctx, err)
	}
	defer body.Close()
	if whole.Size != t.what.Size {
		what := "cut off"
		if whole.Size > t.what.Size {
			what = "too long"
		}
		return 0, fault.Newf(fault.Check, "push the build again: deployctl push", "the artefact is %s: s3://%s/%s has %d bytes, the manifest says %d",
			what, r.Bucket, r.Key, whole.Size, t.what.Size)
	}
	if r.ETag == "" {
		if whole.ETag == "" {
			return 0, finalError{fmt.Errorf("reading s3://%s/%s: the answer has no ETag to pin the other parts to", r.Bucket, r.Key)}
		}
		r.ETag = whole.ETag
		t.tag <- whole.ETag // of the first part alone, so there is room
	}
	for n < len(buf) {
		got, err := body.Read(buf[n:])
		n += got
		watch.Reset(t.stall)
		if err != nil && n < len(buf) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, fmt.Errorf("reading s3://%s/%s: %w", r.Bucket, r.Key, stalled(ctx, err))
		}
	}
	return n, nil
}

// stalled puts the watch's reason in the place of "context canceled".
func stalled(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
