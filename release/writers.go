package release

import (
	"io/fs"
	"os"
	"path"
	"runtime"
	"sync"
	"time"
)

// Small files are written by a few goroutines side by side: most of their time
// goes into making them, not into their bytes. They come in batches, so that handing
// them over costs little, and in enough of them for a turn on a busy processor. Larger files are written as they are read.
const (
	batchBytes = 256 << 10
	batchFiles = 64
	smallFile  = batchBytes / 2
	maxWriters = 4
	batches    = 16
)

// small is a file to be written.
type small struct {
	entry   int // its number in the archive, for the first of several errors
	name    string
	mode    fs.FileMode
	content []byte // of the batch's buffer
}

// batch is files that one goroutine writes.
type batch struct {
	buf   []byte // empty, but with room
	files []small
}

// room returns space for n bytes, or nil when b cannot take another such file.
func (b *batch) room(n int) []byte {
	if len(b.files) == batchFiles || n > cap(b.buf)-len(b.buf) {
		return nil
	}
	end := len(b.buf) + n
	space := b.buf[len(b.buf):end:end]
	b.buf = b.buf[:end]
	return space
}

// writers write batches. Only the first error in the order of the archive
// counts, so that the same archive fails in the same way every time. (Of two
// files with one name, either may find the other there.)
type writers struct {
	full  chan *batch
	free  chan *batch
	cur   *batch // being filled; nil: none
	group sync.WaitGroup

	mu     sync.Mutex
	failed *small // the first that could not be written
	err    error  // why
}

// startWriters starts goroutines that write below root until finish.
func startWriters(root *os.Root, at time.Time) *writers {
	n := min(runtime.GOMAXPROCS(0), maxWriters)
	w := &writers{full: make(chan *batch, batches), free: make(chan *batch, batches)}
	for range batches {
		w.free <- &batch{buf: make([]byte, 0, batchBytes), files: make([]small, 0, batchFiles)}
	}
	for range n {
		w.group.Go(func() { w.run(newMaker(root, at)) })
	}
	return w
}

// room returns where the content of a file of n bytes goes before it is added,
// or nil when there is no sense in going on: a file could not be written.
func (w *writers) room(n int) []byte {
	if w.cur != nil {
		if space := w.cur.room(n); space != nil {
			return space
		}
		w.full <- w.cur // has a place for each batch
	}
	w.cur = <-w.free
	if w.broken(0) {
		return nil
	}
	return w.cur.room(n)
}

// add takes a file whose content lies where room said.
func (w *writers) add(s small) { w.cur.files = append(w.cur.files, s) }

// finish waits until all is written and returns the first file that could not
// be, and why.
func (w *writers) finish() (name string, err error) {
	if w.cur != nil {
		w.full <- w.cur
		w.cur = nil
	}
	close(w.full)
	w.group.Wait()
	if w.err != nil {
		return w.failed.name, w.err
	}
	return "", nil
}

func (w *writers) run(m *maker) {
	defer m.close()
	for b := range w.full {
		for i := range b.files {
			if s := &b.files[i]; !w.broken(s.entry) {
				w.note(s, m.put(s))
			}
		}
		b.buf, b.files = b.buf[:0], b.files[:0]
		w.free <- b
	}
}

// broken says whether a file before the given entry could not be written; 0
// stands for the end of the archive.
func (w *writers) broken(entry int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed != nil && (entry == 0 || w.failed.entry < entry)
}

func (w *writers) note(s *small, err error) {
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil || s.entry < w.failed.entry {
		first := *s
		w.failed, w.err = &first, err
	}
}

// maker makes files below root. It keeps the directory of the last one open:
// os.Root would walk down to it with every call.
type maker struct {
	root  *os.Root
	time  time.Time
	at    string
	dir   *os.Root             // at, opened; nil: none
	exact map[fs.FileMode]bool // whether new files get this mode without a chmod
}

func newMaker(root *os.Root, at time.Time) *maker {
	return &maker{root: root, time: at, exact: map[fs.FileMode]bool{}}
}

// put writes a small file.
func (m *maker) put(s *small) error {
	f, err := m.create(s.name, s.mode)
	if err != nil {
		return err
	}
	_, err = f.Write(s.content)
	if cerr := m.done(f, s.mode); err == nil {
		err = cerr
	}
	if err != nil {
		return &writeError{s.name, bare(err)}
	}
	return nil
}

// create opens a new file for writing; done ends that.
func (m *maker) create(name string, mode fs.FileMode) (*os.File, error) {
	dir, err := m.parent(name)
	if err != nil {
		return nil, &writeError{name, bare(err)}
	}
	f, err := dir.OpenFile(path.Base(name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, &writeError{name, bare(err)}
	}
	if _, known := m.exact[mode]; !known {
		// The umask and the directories' default ACLs are the same for all of them.
		info, err := f.Stat()
		m.exact[mode] = err == nil && info.Mode() == mode
	}
	return f, nil
}

// done sets what a written file is to have and closes it.
func (m *maker) done(f *os.File, mode fs.FileMode) error {
	var err error
	if !m.exact[mode] {
		err = f.Chmod(mode)
	}
	if terr := setTime(m.dirOf(), f, m.time); err == nil {
		err = terr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// parent opens the directory that holds name.
func (m *maker) parent(name string) (*os.Root, error) {
	dir := path.Dir(name)
	if dir == m.at {
		return m.dirOf(), nil
	}
	m.close()
	if dir == "." {
		return m.root, nil
	}
	opened, err := m.root.OpenRoot(dir)
	if err == nil {
		m.at, m.dir = dir, opened
	}
	return opened, err
}

// dirOf is the directory of the file that was created last.
func (m *maker) dirOf() *os.Root {
	if m.dir == nil {
		return m.root
	}
	return m.dir
}

// close lets go of the directory that was written to last.
func (m *maker) close() {
	if m.dir != nil {
		_ = m.dir.Close() // it was only looked through
		m.at, m.dir = "", nil
	}
}
