package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Options says what to build and where to keep it.
type Options struct {
	Cache    string           // directory that holds rootfs/ and repo/; required
	Log      io.Writer        // progress lines; nil drops them
	Suite    string           // Debian suite; "" takes bookworm when the mirror has it, else the machine's own
	Packages []string         // names the guests can install, see ParsePackages; empty gives an empty repository
	AptDir   string           // where the machine's apt sources are; "" is /etc/apt
	Now      func() time.Time // decides the ISO week; nil is time.Now
}

// Base is a built root file system and its repository. It stays in the cache as
// long as it is not closed: a newer build removes only what nobody holds.
type Base struct {
	Dir     string // unpacked root file system, to be used read-only
	RepoDir string // flat apt repository, see RepoHandler
	Key     string // content hash and ISO week
	Cached  bool   // nothing had to be built

	hold *os.File
}

// Close gives up the hold on the cached directories. It is idempotent.
func (b *Base) Close() error {
	if b.hold == nil {
		return nil
	}
	err := letGo(b.hold)
	b.hold = nil
	return err
}

// Ensure returns the base root file system and repository for opts, building
// them when the cache lacks them (about a minute). Two callers at once build
// once: the second waits. When a build for a new week fails, the same content
// of an earlier week is good enough and is returned, with a line in the log.
func Ensure(ctx context.Context, opts Options) (Base, error) {
	b, err := newBuilder(opts)
	if err != nil {
		return Base{}, fmt.Errorf("preparing the root file system: %w", err)
	}
	if base, ok := b.cache.open(b.key); ok {
		b.log("cached: %s", base.Dir)
		return base, nil
	}
	base, err := b.locked(ctx)
	if err != nil {
		return Base{}, fmt.Errorf("building the root file system: %w", err)
	}
	return base, nil
}

// builder is one Ensure call with its inputs resolved.
type builder struct {
	opts    Options
	cache   cache
	sources []source
	key     string // content hash, "-", ISO week
	content string // content hash alone

	debootstrap func(context.Context, debootstrapDirs) error // runs mmdebstrap; tests put another
}

func newBuilder(opts Options) (*builder, error) {
	if opts.Cache == "" {
		return nil, errors.New("no cache directory given")
	}
	cache, err := filepath.Abs(opts.Cache)
	if err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = io.Discard
	}
	if opts.AptDir == "" {
		opts.AptDir = "/etc/apt"
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	all, err := readSources(opts.AptDir)
	if err != nil {
		return nil, err
	}
	suite, err := chooseSuite(all, opts.Suite, hostCodename("/etc/os-release"))
	if err != nil {
		return nil, err
	}
	opts.Suite = suite
	b := &builder{opts: opts, cache: newCache(cache), sources: forSuite(all, suite)}
	b.debootstrap = b.runMmdebstrap
	b.content = contentKey(suite, opts.Packages)
	b.key = b.content + "-" + isoWeek(opts.Now())
	return b, nil
}

// locked builds under the cache's lock, unless somebody else just has.
func (b *builder) locked(ctx context.Context) (Base, error) {
	unlock, err := b.cache.lock(ctx, func() { b.log("waiting for another build in %s", b.cache.dir) })
	if err != nil {
		return Base{}, err
	}
	defer unlock()
	if base, ok := b.cache.open(b.key); ok {
		return base, nil
	}
	b.cache.sweepTemp()
	if err := b.build(ctx); err != nil {
		if base, ok := b.cache.openOlder(b.content); ok && ctx.Err() == nil {
			b.log("cannot refresh (%v); using %s", err, base.Key)
			return base, nil
		}
		return Base{}, err
	}
	base, ok := b.cache.open(b.key)
	if !ok {
		return Base{}, fmt.Errorf("the finished build %s is not in %s", b.key, b.cache.dir)
	}
	base.Cached = false
	b.cache.removeOthers(b.key, b.log)
	return base, nil
}

// build makes both trees in temporary directories and publishes them, the
// repository first: a root file system in the cache means that both are whole.
func (b *builder) build(ctx context.Context) error {
	start := time.Now()
	work, err := b.cache.temp(b.key)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	root, debs := filepath.Join(work, "root"), filepath.Join(work, "repo")
	b.log("building %s (Debian packages from the machine's mirror, about a minute)", b.key)
	if err := b.debootstrap(ctx, debootstrapDirs{work: work, root: root, debs: debs}); err != nil {
		return err
	}
	if err := configure(root, b.opts.Suite); err != nil {
		return err
	}
	count, err := indexRepo(ctx, debs, b.opts.Suite)
	if err != nil {
		return err
	}
	rootSize, repoSize := treeSize(root), treeSize(debs)
	if err := b.cache.publish(b.key, root, debs); err != nil {
		return err
	}
	b.log("built in %.0f s: root file system %d MiB, repository %d packages, %d MiB",
		time.Since(start).Seconds(), rootSize>>20, count, repoSize>>20)
	return nil
}

func (b *builder) log(format string, args ...any) {
	fmt.Fprintf(b.opts.Log, "rootfs: "+format+"\n", args...)
}
