package guest

import (
	"io"
	"sync"
)

// consoleSize is how much console output EC2 keeps.
const consoleSize = 64 << 10

// ring keeps the newest bytes written to it and passes all of them on.
type ring struct {
	mu   sync.Mutex
	buf  []byte
	size int
	tee  io.Writer
}

func newRing(size int, tee io.Writer) *ring {
	if tee == nil {
		tee = io.Discard
	}
	return &ring{size: size, tee: tee}
}

// Write never fails: a console does not stop because nobody reads it.
func (r *ring) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf = append(r.buf, p...)
	// Trim at twice the size, so that most writes only append.
	if len(r.buf) > 2*r.size {
		r.buf = append(r.buf[:0], r.buf[len(r.buf)-r.size:]...)
	}
	r.tee.Write(p)
	return len(p), nil
}

// bytes returns a copy of the newest bytes.
func (r *ring) bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	start := max(0, len(r.buf)-r.size)
	return append([]byte(nil), r.buf[start:]...)
}
