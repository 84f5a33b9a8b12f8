package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

// OpenRange serves a piece of what the world stores.
func (w *world) OpenRange(ctx context.Context, r Range) (io.ReadCloser, Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opens = append(w.opens, r.Key)
	if w.openErr != nil {
		if err := w.openErr(r.Key); err != nil {
			return nil, Object{}, err
		}
	}
	b, ok := w.store["s3://"+r.Bucket+"/"+r.Key]
	if !ok {
		return nil, Object{}, fmt.Errorf("s3://%s/%s: %w", r.Bucket, r.Key, ErrNoObject)
	}
	return piece(b, r, ctx.Err())
}

// piece answers a range request as S3 does.
func piece(b []byte, r Range, err error) (io.ReadCloser, Object, error) {
	whole := Object{ETag: fmt.Sprintf("%x", sha256.Sum256(b)), Size: int64(len(b))}
	if r.ETag != "" && r.ETag != whole.ETag {
		return nil, Object{}, ErrChanged
	}
	from := min(r.From, whole.Size)
	return io.NopCloser(bytes.NewReader(b[from:min(r.From+r.Size, whole.Size)])), whole, err
}

// pieces is a store of one object whose answers a test can disturb.
type pieces struct {
	Store
	mu    sync.Mutex
	body  []byte
	asked []Range
	most  int // answers that were open at the same time
	open  int
	// answer, when set, stands in for the n-th request (from 1).
	answer func(ctx context.Context, n int, r Range, b []byte) (io.ReadCloser, Object, error)
}

func (p *pieces) OpenRange(ctx context.Context, r Range) (io.ReadCloser, Object, error) {
	p.mu.Lock()
	p.asked = append(p.asked, r)
	n, b := len(p.asked), p.body
	p.open++
	p.most = max(p.most, p.open)
	p.mu.Unlock()
	body, whole, err := piece(b, r, ctx.Err())
	if p.answer != nil {
		body, whole, err = p.answer(ctx, n, r, b)
	}
	if err != nil {
		p.closed()
		return nil, whole, err
	}
	return &counted{body, p}, whole, nil
}

func (p *pieces) closed() { p.mu.Lock(); p.open--; p.mu.Unlock() }

type counted struct {
	io.ReadCloser
	of *pieces
}

func (c *counted) Close() error { c.of.closed(); return c.ReadCloser.Close() }

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return b
}

// reads downloads p's object in parts of 100 bytes, four at a time.
func reads(ctx context.Context, t *testing.T, p *pieces, size int) ([]byte, error) {
	t.Helper()
	d := download{store: p, clock: newWorld(t), part: 100, width: 4, tries: 3, stall: time.Minute, hedge: time.Minute}
	r := d.open(ctx, Range{Bucket: "b", Key: "k", Size: int64(size)})
	got, err := io.ReadAll(r)
	if cerr := r.Close(); cerr != nil {
		t.Errorf("closing: %v", cerr)
	}
	if p.open != 0 {
		t.Errorf("%d answers are open after the end", p.open)
	}
	return got, err
}

func TestPartsComeInOrderAndPinned(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 99, 100, 101, 400, 5037} {
		p := &pieces{body: noise(size)}
		got, err := reads(t.Context(), t, p, size)
		if err != nil || !bytes.Equal(got, p.body) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		if want := (size + 99) / 100; len(p.asked) != want || p.most > 5 {
			t.Errorf("%d bytes took %d requests, %d at a time; want %d, at most 5", size, len(p.asked), p.most, want)
		}
		for _, r := range p.asked[1:] {
			if r.ETag == "" {
				t.Errorf("%d bytes: %+v is not pinned", size, r)
			}
		}
	}
}

func TestBrokenPartGoesOnWhereItBroke(t *testing.T) {
	t.Parallel()
	p := &pieces{body: noise(1000)}
	asks := map[int64]int{} // by part
	p.answer = func(_ context.Context, _ int, r Range, b []byte) (io.ReadCloser, Object, error) {
		body, whole, err := piece(b, r, nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		asks[r.From/100]++
		switch asks[r.From/100] {
		case 1: // breaks half way
			return io.NopCloser(io.MultiReader(io.LimitReader(body, r.Size/2), failing{})), whole, err
		case 2: // ends too early
			return io.NopCloser(io.LimitReader(body, r.Size-1)), whole, err
		}
		return body, whole, err
	}
	got, err := reads(t.Context(), t, p, 1000)
	if err != nil || !bytes.Equal(got, p.body) {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	var asked int64
	for _, r := range p.asked {
		asked += r.Size
	}
	if asked != 1000+500+10 { // whole parts, then halves, then last bytes
		t.Errorf("%d bytes were asked for: parts start over instead of going on", asked)
	}
}

func TestDownloadsThatCannotEndWell(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		size   int
		answer func(ctx context.Context, n int, r Range, b []byte) (io.ReadCloser, Object, error)
		is     error
		words  string
		most   int // requests
	}{
		"another object in the middle": {1000, func(_ context.Context, n int, r Range, b []byte) (io.ReadCloser, Object, error) {
			if n > 3 {
				b = append([]byte{1}, b[1:]...)
			}
			return piece(b, r, nil)
		}, ErrChanged, "changed while it was read", 20},
		"no object": {1000, func(context.Context, int, Range, []byte) (io.ReadCloser, Object, error) {
			return nil, Object{}, ErrNoObject
		}, ErrNoObject, "", 1},
		"always broken": {1000, func(context.Context, int, Range, []byte) (io.ReadCloser, Object, error) {
			return nil, Object{}, errors.New("connection reset")
		}, nil, "connection reset", 3},
		"shorter than the manifest": {1200, nil, nil, "cut off", 1},
		"longer than the manifest":  {800, nil, nil, "too long", 1},
	} {
		p := &pieces{body: noise(1000), answer: tc.answer}
		got, err := reads(t.Context(), t, p, tc.size)
		if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%s: %v, want %q", name, err, tc.words)
		}
		if !bytes.HasPrefix(p.body, got) || len(p.asked) > tc.most {
			t.Errorf("%s: %d requests, want at most %d; %d bytes delivered", name, len(p.asked), tc.most, len(got))
		}
		if strings.Contains(tc.words, "o") && tc.is == nil && tc.most == 1 && fault.KindOf(err) != fault.Check {
			t.Errorf("%s: kind %d", name, fault.KindOf(err))
		}
	}
}

func TestLatePartIsHedged(t *testing.T) {
	t.Parallel()
	p := &pieces{body: noise(2000)}
	hung := make(chan struct{})
	p.answer = func(ctx context.Context, n int, r Range, b []byte) (io.ReadCloser, Object, error) {
		body, whole, err := piece(b, r, nil)
		if n != 6 {
			return body, whole, err
		}
		<-ctx.Done() // until the other copy has won
		close(hung)
		return nil, Object{}, ctx.Err()
	}
	d := download{store: p, clock: newWorld(t), part: 100, width: 4, tries: 3, stall: time.Minute, hedge: time.Millisecond}
	r := d.open(t.Context(), Range{Bucket: "b", Key: "k", Size: 2000})
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, p.body) || r.Close() != nil {
		t.Fatalf("got %d bytes, %v", len(got), err)
	}
	<-hung
	if len(p.asked) < 21 {
		t.Errorf("%d requests: nothing was hedged", len(p.asked))
	}
}

func TestConnectionThatBringsNothingIsGivenUp(t *testing.T) {
	t.Parallel()
	p := &pieces{body: noise(50)}
	p.answer = func(ctx context.Context, n int, r Range, b []byte) (io.ReadCloser, Object, error) {
		if n > 1 {
			return piece(b, r, nil)
		}
		<-ctx.Done()
		return nil, Object{}, ctx.Err()
	}
	d := download{store: p, clock: newWorld(t), part: 100, width: 4, tries: 3, stall: time.Millisecond, hedge: time.Minute}
	r := d.open(t.Context(), Range{Size: 50})
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, p.body) || r.Close() != nil {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestDownloadEndsWithItsContextAndItsReader(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := &pieces{body: noise(1000)}
	p.answer = func(ctx context.Context, n int, r Range, b []byte) (io.ReadCloser, Object, error) {
		if n == 5 {
			cancel()
		}
		return piece(b, r, ctx.Err())
	}
	if _, err := reads(ctx, t, p, 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled download ended with %v", err)
	}
	p = &pieces{body: noise(1000)}
	d := download{store: p, clock: newWorld(t), part: 10, width: 4, tries: 3, stall: time.Minute, hedge: time.Minute}
	r := d.open(t.Context(), Range{Size: 1000})
	if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil || p.open != 0 || len(p.asked) > 10 {
		t.Errorf("closed early: %v, %d answers open, %d requests", err, p.open, len(p.asked))
	}
}

func TestBuffersFollowTheMachine(t *testing.T) {
	t.Parallel()
	for m, want := range map[memory]int64{
		{}:                                  96 << 20,
		{limit: 128 << 20}:                  16 << 20,
		{limit: 512 << 20}:                  64 << 20,
		{limit: 1 << 30}:                    96 << 20,
		{limit: 64 << 30, free: 32 << 30}:   96 << 20,
		{limit: 512 << 20, free: 400 << 20}: 64 << 20,
		{limit: 1 << 30, free: 128 << 20}:   32 << 20,
		{limit: 64 << 30, free: 20 << 20}:   16 << 20,
		{limit: 0, free: 256 << 20}:         64 << 20,
	} {
		d := newDownload(nil, nil, m)
		if got := d.part * int64(d.width+1); got > want || got <= want/2 {
			t.Errorf("with %d MiB of memory, %d of them free, the buffers take %d MiB, want %d", m.limit>>20, m.free>>20, got>>20, want>>20)
		}
	}
}

func TestFreeMemoryIsReadFromTheKernel(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint64{
		"MemTotal:         498688 kB\nMemFree:           50000 kB\nMemAvailable:     102400 kB\n": 100 << 20,
		"MemTotal: 498688 kB\n":                   0, // before Linux 3.14
		"MemAvailable: 99999999999999999999 kB\n": 0,
		"MemAvailable: many kB\n":                 0,
		"MemAvailable: 5\n":                       0,
		"":                                        0,
	} {
		if got := available(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if m := memoryNow(); m.limit == 0 || m.free == 0 {
		t.Errorf("of this machine: %+v, want both known", m)
	}
}
