package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// ErrNoObject says that a Store has no object of that key.
var ErrNoObject = errors.New("no such object")

const (
	defaultKeep = 3
	// spareBytes is what an unpacked release leaves free beyond its own size:
	// directories, the journal, logs.
	spareBytes = 16 << 20
	// smallTime is how long a small object may take, its body included: no
	// time-out of the client looks at a connection that falls silent after the
	// header. A part of an artefact has its own watch.
	smallTime = 30 * time.Second
)

// pull brings the channel's build on disk and switches current to it.
func (s *session) pull(ctx context.Context) error {
	app := s.conf.App
	lay := Layout{Root: s.path(app.Root)}
	cloud, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if err := lay.prepare(s.own); err != nil {
		return err
	}
	build, err := s.latest(ctx)
	if err != nil {
		return err
	}
	if err := s.refused(ctx, lay, build); err != nil {
		return err
	}
	if !lay.Has(build) {
		if err := s.retry(ctx, storePatience(), func() error { return s.fetch(ctx, cloud.Store, lay, build) }); err != nil {
			return storeFault(err)
		}
	}
	return s.activate(ctx, lay, build)
}

// latest reads which build the instance has to run.
func (s *session) latest(ctx context.Context) (build release.ID, err error) {
	cloud, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	err = s.retry(ctx, storePatience(), func() (err error) {
		build, err = s.channelBuild(ctx, cloud.Store)
		return err
	})
	if err != nil {
		return "", storeFault(err)
	}
	return build, nil
}

// storePatience is how often S3 is asked, beyond what its client does itself.
func storePatience() patience {
	return patience{For: "S3", Attempts: 5, Base: time.Second, Cap: 20 * time.Second}
}

// activate switches current to build, which is whole on disk, and prunes.
func (s *session) activate(ctx context.Context, lay Layout, build release.ID) error {
	before := lay.Live()
	if err := s.hook(ctx, PreInstall, build); err != nil {
		return err
	}
	if err := lay.switchTo(build, s.deps.Clock.Now()); err != nil {
		return onDisk(err)
	}
	if err := s.reached(Switched); err != nil {
		return err
	}
	s.j.Build = string(build)
	s.detail = "build " + build.Short()
	keep := s.conf.App.Keep
	if keep <= 0 {
		keep = defaultKeep
	}
	if err := lay.prune(retention{count: keep, bytes: s.conf.App.KeepBytes, busy: s.deps.Disk.Busy,
		spare: []release.ID{build, before, release.ID(s.j.LastGood)}}); err != nil {
		// The new build is live by now: it has to be started, and the next deploy
		// prunes again.
		s.deps.Events.Note(err.Error())
	}
	return nil
}

// storeFault gives an error of S3 a kind where it has none. A time-out of one
// request is S3's and no limit of ours, so it says what S3's errors say.
func storeFault(err error) error {
	if kind := fault.KindOf(err); kind != fault.Internal && (kind != fault.Timeout || fault.NextOf(err) != "") {
		return err
	}
	return fault.New(fault.AWS, "check the instance profile's rights on the bucket and the route to S3, then: systemctl restart bakehouse-first-boot", err)
}

// channelBuild reads which build the instance has to run: what its channel
// points at, or the build before where the channel's rollout was stopped.
func (s *session) channelBuild(ctx context.Context, store Store) (release.ID, error) {
	b, err := s.document(ctx, store, release.ChannelKey(s.conf.App.Name, s.channel()))
	c, err := s.channelOf(b, err)
	if err != nil {
		return "", err
	}
	if s.want != "" && (s.want == c.Build || s.want == c.Previous) {
		return s.want, nil
	}
	return s.unlessStopped(ctx, store, c)
}

// channelOf checks the instance's channel as it was read, and remembers it.
func (s *session) channelOf(b []byte, err error) (release.Channel, error) {
	app, name := s.conf.App, s.channel()
	what := fmt.Sprintf("reading channel %s of %s", name, app.Name)
	if errors.Is(err, ErrNoObject) {
		return release.Channel{}, fault.Newf(fault.Check, fmt.Sprintf("deployctl push DIR --app %s --channel %s", app.Name, name), "%s: %w", what, err)
	}
	if err != nil {
		return release.Channel{}, fmt.Errorf("%s: %w", what, err)
	}
	if err := s.trusted(release.ChannelKind, b); err != nil {
		return release.Channel{}, fault.Newf(fault.Check, fmt.Sprintf("deployctl promote BUILD --app %s --channel %s --sign-key FILE", app.Name, name), "%s: %w", what, err)
	}
	c, err := release.ParseChannel(b)
	if err == nil && (c.App != app.Name || c.Name != name) {
		err = fmt.Errorf("it says it is channel %s of %s", c.Name, c.App)
	}
	if err != nil {
		return release.Channel{}, fault.Newf(fault.Check, fmt.Sprintf("deployctl promote BUILD --app %s --channel %s", app.Name, name), "%s: %w", what, err)
	}
	return c, s.remember(c)
}

// manifest reads what build is.
func (s *session) manifest(ctx context.Context, store Store, build release.ID) (release.Manifest, error) {
	app := s.conf.App.Name
	what := fmt.Sprintf("reading the manifest of build %s of %s", build.Short(), app)
	next := fmt.Sprintf("push the build again: deployctl push DIR --app %s --channel %s", app, s.channel())
	b, err := s.document(ctx, store, release.ManifestKey(app, build))
	if errors.Is(err, ErrNoObject) {
		return release.Manifest{}, fault.Newf(fault.Check, next, "%s: %w", what, err)
	}
	if err != nil {
		return release.Manifest{}, fmt.Errorf("%s: %w", what, err)
	}
	if err := s.trusted(release.ManifestKind, b); err != nil {
		return release.Manifest{}, fault.Newf(fault.Check, next+" --sign-key FILE", "%s: %w", what, err)
	}
	m, err := release.ParseManifest(b)
	if err == nil && (m.App != app || m.ID != build) {
		err = fmt.Errorf("it says it is build %s of %s", m.ID.Short(), m.App)
	}
	if err != nil {
		return release.Manifest{}, fault.Newf(fault.Check, next, "%s: %w", what, err)
	}
	return m, nil
}

// document reads a small object whole.
func (s *session) document(ctx context.Context, store Store, key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	r, err := store.Open(ctx, s.conf.App.Bucket, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, release.MaxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("reading s3://%s/%s: %w", s.conf.App.Bucket, key, err)
	}
	return b, nil
}

// fetch downloads and unpacks build in one pass, beside the releases, and
// moves it there once its digest is right and its bytes are stored.
func (s *session) fetch(ctx context.Context, store Store, lay Layout, build release.ID) error {
	m, err := s.manifest(ctx, store, build)
	if err != nil {
		return err
	}
	if err := s.checkSpace(lay.Releases(), m); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(lay.Releases(), tmpMark+build.Short()+"-")
	if err != nil {
		return fmt.Errorf("unpacking build %s: %w", build.Short(), onDisk(err))
	}
	if err := s.fetchInto(ctx, store, tmp, m); err != nil {
		var aborted abortError
		if errors.As(err, &aborted) {
			return err // a killed run leaves its mess; the next one clears it
		}
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if err := lay.place(tmp, build); err != nil {
		return onDisk(err)
	}
	return s.reached(ReleaseInPlace)
}

// fetchInto fills the directory tmp with build m, owner and RELEASE included,
// and returns once all of it is stored.
func (s *session) fetchInto(ctx context.Context, store Store, tmp string, m release.Manifest) error {
	r := newDownload(store, s.deps.Clock, memoryNow()).open(ctx, Range{Bucket: s.conf.App.Bucket, Key: release.ArtifactKey(m.App, m.ID), Size: m.Size})
	defer r.Close()
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return fmt.Errorf("unpacking build %s: %w", m.ID.Short(), err)
	}
	defer root.Close()
	if err := release.Unpack(ctx, r, m, root); err != nil {
		if errors.Is(err, ErrNoObject) {
			return fault.New(fault.Check, "push the build again: deployctl push", err)
		}
		return onDisk(err)
	}
	if err := writeSynced(filepath.Join(tmp, release.FileName), []byte(string(m.ID)+"\n"), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", release.FileName, onDisk(err))
	}
	if err := os.Chmod(tmp, 0o755); err != nil { // MkdirTemp made it 0700
		return fmt.Errorf("opening the release to its readers: %w", err)
	}
	if err := s.own(tmp); err != nil {
		return err
	}
	// Unpack has stored the data; what came after it are entries of tmp and
	// inodes, which the file system's journal keeps in order with the rename.
	if err := syncDir(tmp); err != nil {
		return fmt.Errorf("storing build %s: %w", m.ID.Short(), onDisk(err))
	}
	return s.reached(Unpacked)
}

// own gives dir to the app's user, where it has one.
func (s *session) own(dir string) error {
	if s.conf.App.Owner == "" {
		return nil
	}
	if err := s.deps.Disk.Chown(dir, s.conf.App.Owner); err != nil {
		return fault.New(fault.Check, "make user "+s.conf.App.Owner+" in role "+s.conf.Role+", or correct the app's owner in bakehouse.yaml",
			fmt.Errorf("giving %s to user %s: %w", dir, s.conf.App.Owner, err))
	}
	return nil
}

// checkSpace refuses a build that does not fit before its first byte is read.
func (s *session) checkSpace(dir string, m release.Manifest) error {
	bytes, inodes, limited, err := s.deps.Disk.Free(dir)
	if err != nil {
		return fmt.Errorf("checking the space below %s: %w", dir, err)
	}
	if need := uint64(m.UnpackedSize) + spareBytes; bytes < need {
		return fault.Newf(fault.Check, noSpaceNext, "unpacking build %s: it needs %s, and %s has %s free", m.ID.Short(), mib(need), dir, mib(bytes))
	}
	if need := uint64(m.Files) + 1; limited && inodes < need {
		return fault.Newf(fault.Check, "remove files on the instance, or bake with a larger bake.root_volume_gb",
			"unpacking build %s: it has %d files, and %s has %d inodes free", m.ID.Short(), m.Files, dir, inodes)
	}
	return nil
}

func mib(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
