package release

import "io"

// Blocks that are decoded ahead of the writer: enough (8 MiB) to work through a
// whole turn on a processor that other programs want, too.
const (
	aheadBlocks = 32
	aheadSize   = 256 << 10
)

// ahead reads from r in a goroutine of its own, so that hashing and decoding
// use one processor while the tree is written with another.
type ahead struct {
	full chan block
	free chan []byte
	stop chan struct{}
	done chan struct{}
	cur  block
	rest []byte
}

type block struct {
	buf []byte
	n   int
	err error
}

func readAhead(r io.Reader) *ahead {
	a := &ahead{full: make(chan block, aheadBlocks), free: make(chan []byte, aheadBlocks), stop: make(chan struct{}), done: make(chan struct{})}
	for range aheadBlocks {
		a.free <- make([]byte, aheadSize)
	}
	go a.run(r)
	return a
}

func (a *ahead) run(r io.Reader) {
	defer close(a.done)
	for {
		select {
		case <-a.stop:
			return
		case buf := <-a.free:
			n, err := 0, error(nil)
			for n < len(buf) && err == nil { // io.ReadFull would hide a short r
				var m int
				m, err = r.Read(buf[n:])
				n += m
			}
			a.full <- block{buf, n, err} // as many places as there are blocks
			if err != nil {
				return
			}
		}
	}
}

// Read implements io.Reader.
func (a *ahead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		if a.cur.buf != nil {
			a.free <- a.cur.buf
		}
		a.cur = <-a.full
		a.rest = a.cur.buf[:a.cur.n]
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// close ends the goroutine; when it returns, nobody reads r any more.
func (a *ahead) close() {
	close(a.stop)
	<-a.done
}
