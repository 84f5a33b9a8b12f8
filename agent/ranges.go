package agent

import (
	"context"
	"errors"
	"io"
	"time"
)

// ErrChanged says that an object is no longer the one whose first bytes were
// read.
var ErrChanged = errors.New("the object changed while it was read")

// Range names a piece of an object.
type Range struct {
	Bucket, Key string
	ETag        string // "" for any; else the object must still have it, or the error is ErrChanged
	From, Size  int64  // bytes
}

// Object is what an answer says of the whole object.
type Object struct {
	ETag string
	Size int64
}

// download says how an object is read in order while its parts arrive side by
// side. The first answer tells the ETag that everything else is pinned to. A
// part whose connection breaks goes on where it broke; the part that the reader
// waits for is asked for once more when it takes much longer than its
// predecessors did, and the copy that is whole first is used.
type download struct {
	store Store
	clock Clock
	part  int64         // bytes of one part
	width int           // parts under way or waiting for their turn; one more buffer is for a hedge
	tries int           // how often one part is asked for before the download fails
	stall time.Duration // a connection that brings nothing for so long is given up
	hedge time.Duration // least time before a late part is asked for once more
}

// newDownload adapts the buffers to the machine's memory. Many connections
// matter more than large parts, since S3 limits the speed of each connection.
func newDownload(store Store, clock Clock, m memory) download {
	total := m.budget()
	d := download{store: store, clock: clock, part: 8 << 20, width: 11, tries: 5, stall: 20 * time.Second, hedge: 500 * time.Millisecond}
	for uint64(d.part)*uint64(d.width+1) > total {
		d.part /= 2
	}
	return d
}

// open returns the what.Size bytes of the object what. Closing the reader ends
// all that is under way before it returns.
func (d download) open(ctx context.Context, what Range) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	s := &stream{PipeReader: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = w.CloseWithError(d.copyTo(ctx, what, w)) // never fails
	}()
	return s
}

// stream is a download under way.
type stream struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   chan struct{}
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.cancel()
	err := s.PipeReader.Close()
	<-s.done
	return err
}

// copyTo writes the object to out, and returns when nothing is under way any
// more.
func (d download) copyTo(ctx context.Context, what Range, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	t := &transfer{download: d, what: what, tag: make(chan string, 2), free: make(chan []byte, d.width+1)}
	defer t.workers.Wait()
	defer cancel()
	var queue []*part
	for next := int64(0); next < what.Size || len(queue) > 0; {
		for next < what.Size && len(queue) < d.width && (next == 0 || t.what.ETag != "") {
			size := min(d.part, what.Size-next)
			queue = append(queue, t.start(ctx, next, size))
			next += size
		}
		if t.what.ETag == "" {
			if err := t.pin(ctx, queue[0]); err != nil {
				return err
			}
			continue
		}
		c := t.await(ctx, queue[0])
		if c.err != nil {
			return c.err
		}
		if _, err := out.Write(c.buf); err != nil {
			return err
		}
		t.free <- c.buf[:cap(c.buf)]
		queue = queue[1:]
	}
	return nil
}
