package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// deploys runs a deploy that must end well.
func (w *world) deploys() {
	w.t.Helper()
	if err := w.agent().Deploy(context.Background()); err != nil {
		w.t.Fatalf("deploy: %v", err)
	}
}

// serving wants id live, whole, and nothing half-done beside it.
func (w *world) serving(id release.ID) {
	w.t.Helper()
	if live := (Layout{Root: filepath.Join(w.root, "srv/web")}).Live(); live != id || w.read("/srv/web/current/RELEASE") != string(id)+"\n" {
		w.t.Errorf("live release is %s, want %s", live.Short(), id.Short())
	}
	if temps := w.endState().Temps; len(temps) > 0 {
		w.t.Errorf("unfinished files are left: %q", temps)
	}
}

func TestDeployPullsAndStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	chefRuns, firstPull := w.chefRuns, w.journal().record(Pull).Detail
	id := w.push("second build")
	w.deploys()
	w.serving(id)
	if w.chefRuns != chefRuns {
		t.Error("a deploy ran the Chef client")
	}
	j := w.journal()
	if j.Deploy == nil || j.Deploy.State != Done || j.Deploy.Ended.IsZero() || j.record(Pull).Detail != firstPull {
		t.Errorf("journal: deploy %+v, pull %+v", j.Deploy, j.record(Pull))
	}
}

func TestDeployKilledAnywhereIsDoneByTheNext(t *testing.T) {
	t.Parallel()
	for _, p := range []Point{Unpacked, ReleaseInPlace, Switched, UnitStarted} {
		w := newWorld(t)
		w.boot()
		id := w.push("second build")
		w.trace = killAt(p)
		if err := w.agent().Deploy(context.Background()); !errors.Is(err, errKilled) {
			t.Fatalf("%s: deploy ended with %v, want it killed", p, err)
		}
		if live := w.read("/srv/web/current/RELEASE"); live == "" {
			t.Errorf("%s: nothing is live after the kill", p)
		}
		w.deploys()
		w.serving(id)
	}
}

// A reboot, or a follower, ends what a killed deploy began.
func TestADeployThatWasKilledIsGoneOnWith(t *testing.T) {
	t.Parallel()
	for _, p := range []Point{Unpacked, Switched, UnitStarted, BuildRefused, RolledBack} {
		for name, next := range map[string]func(*world){
			"boot":   func(w *world) { _ = w.agent().FirstBoot(context.Background()) },
			"follow": func(w *world) { w.follows(0, 5*time.Minute) },
		} {
			w := newWorld(t)
			w.boot()
			want := release.ID(w.journal().Build)
			if p == BuildRefused || p == RolledBack {
				w.sick("sick build")
			} else {
				want = w.push("second build")
			}
			w.trace = killAt(p)
			if err := w.agent().Deploy(context.Background()); !errors.Is(err, errKilled) {
				t.Fatalf("%s: deploy ended with %v, want it killed", p, err)
			}
			w.trace = nil
			starts := w.restarts()
			next(w)
			w.serving(want)
			if j := w.journal(); j.halfDeployed() || j.LastGood != string(want) || w.restarts() == starts {
				t.Errorf("killed at %q, then %s: deploy %+v, last good %s, %d starts", p, name, j.Deploy, release.ID(j.LastGood).Short(), w.restarts()-starts)
			}
		}
	}
}

func TestBuildOnDiskIsNotDownloadedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.push("first build")
	w.boot()
	w.push("second build")
	w.deploys()
	w.opens = nil
	w.promote("production", first)
	w.deploys()
	w.serving(first)
	if len(w.opens) != 1 || w.opens[0] != release.ChannelKey("web", "production") {
		t.Errorf("going back to a build on disk read %q, want the channel alone", w.opens)
	}
}

func TestOldReleasesArePruned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.Keep = 2
	w.boot()
	var last release.ID
	for _, content := range []string{"b", "c", "d"} {
		w.now = w.now.Add(3600e9)
		last = w.push(content)
		w.deploys()
	}
	w.serving(last)
	entries, err := os.ReadDir(filepath.Join(w.root, "srv/web/releases"))
	if err != nil || len(entries) != 2 {
		t.Errorf("%d releases on disk (%v), want 2", len(entries), err)
	}
}

func TestBadBuildsAreRefusedAndTheOldOneStays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(w *world, id release.ID)
		kind  fault.Kind
		words []string
	}{
		"bytes that do not match the digest": {func(w *world, id release.ID) {
			b := w.store["s3://builds/"+release.ArtifactKey("web", id)]
			b[len(b)/2] ^= 1
		}, fault.Check, []string{"digest"}},
		"a build cut off": {func(w *world, id release.ID) {
			key := "s3://builds/" + release.ArtifactKey("web", id)
			w.store[key] = w.store[key][:len(w.store[key])/2]
		}, fault.Check, []string{"cut off"}},
		"no artefact": {func(w *world, id release.ID) {
			delete(w.store, "s3://builds/"+release.ArtifactKey("web", id))
		}, fault.Check, []string{"no such object", "build.tar.zst"}},
		"no manifest": {func(w *world, id release.ID) {
			delete(w.store, "s3://builds/"+release.ManifestKey("web", id))
		}, fault.Check, []string{"no such object", "manifest.json"}},
		"no channel": {func(w *world, _ release.ID) {
			delete(w.store, "s3://builds/"+release.ChannelKey("web", "production"))
		}, fault.Check, []string{"channel production of web", "no such object"}},
		"a channel that is no JSON": {func(w *world, _ release.ID) {
			w.store["s3://builds/"+release.ChannelKey("web", "production")] = w.sign(release.ChannelKind, []byte("<html>"))
		}, fault.Check, []string{"channel production of web"}},
		"the channel of another app": {func(w *world, id release.ID) {
			b, _ := release.FirstChannel("api", "production").Next(id, w.now, "").Marshal()
			w.store["s3://builds/"+release.ChannelKey("web", "production")] = w.sign(release.ChannelKind, b)
		}, fault.Check, []string{"of api"}},
		"a manifest of another build": {func(w *world, id release.ID) {
			for key, b := range w.store {
				if strings.HasSuffix(key, "manifest.json") && !strings.Contains(key, string(id)) {
					w.store["s3://builds/"+release.ManifestKey("web", id)] = b
				}
			}
		}, fault.Check, []string{"it says it is build"}},
		"a build larger than the disk": {func(w *world, id release.ID) {
			m, _ := release.ParseManifest(w.store["s3://builds/"+release.ManifestKey("web", id)])
			m.UnpackedSize = 1 << 60
			w.putManifest(m)
		}, fault.Check, []string{"MiB free", "releases"}},
		"a user that does not exist": {func(w *world, _ release.ID) {
			w.conf.App.Owner = "nobody-of-that-name"
		}, fault.Check, []string{"nobody-of-that-name"}},
		"S3 out of reach": {func(w *world, _ release.ID) {
			w.openErr = func(string) error { return errors.New("connection reset") }
		}, fault.AWS, []string{"connection reset"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			old := w.push("first build")
			w.boot()
			restarts := len(w.runs)
			tc.spoil(w, w.push("second build, a little longer than the first"))
			err := w.agent().Deploy(context.Background())
			if fault.KindOf(err) != tc.kind || fault.NextOf(err) == "" {
				t.Errorf("error is %v (kind %d, next %q), want kind %d and a next step", err, fault.KindOf(err), fault.NextOf(err), tc.kind)
			}
			for _, word := range tc.words {
				if err != nil && !strings.Contains(err.Error(), word) {
					t.Errorf("error does not say %q: %v", word, err)
				}
			}
			w.serving(old)
			if len(w.runs) != restarts {
				t.Errorf("the app was touched: %q", w.runs[restarts:])
			}
			if d := w.journal().Deploy; d == nil || d.State != Failed || d.Error == "" {
				t.Errorf("the journal's deploy is %+v, want it failed", d)
			}
		})
	}
}

func TestBrokenDownloadIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	breaks := 2
	a := w.agent()
	a.deps.Cloud = func(context.Context, string) (Cloud, error) {
		return Cloud{Secrets: w, Store: breaking{w, &breaks}}, nil
	}
	if err := a.FirstBoot(context.Background()); err != nil {
		t.Fatalf("first boot: %v", err)
	}
	w.serving(release.ID(w.journal().Build))
}

// breaking is a store whose artefacts break off in the middle, a few times.
type breaking struct {
	*world
	left *int
}

func (b breaking) OpenRange(ctx context.Context, r Range) (io.ReadCloser, Object, error) {
	body, whole, err := b.world.OpenRange(ctx, r)
	if *b.left == 0 || err != nil {
		return body, whole, err
	}
	*b.left--
	all, _ := io.ReadAll(body)
	return io.NopCloser(io.MultiReader(bytes.NewReader(all[:len(all)/2]), failing{})), whole, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

func TestHalfAReleaseInTheWayIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.push("first build")
	w.write("/srv/web/releases/"+string(id)+"/web", "half", 0o755)
	w.write("/srv/web/releases/.tmp-leftover/web", "half", 0o755)
	w.boot()
	w.serving(id)
	if w.read("/srv/web/current/web") != "first build" {
		t.Error("a directory without RELEASE passed for a whole release")
	}
}

func TestCurrentThatIsADirectoryIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("/srv/web/current/precious", "data", 0o644)
	err := w.agent().FirstBoot(context.Background())
	if err == nil || !strings.Contains(err.Error(), "is not a link") || w.read("/srv/web/current/precious") != "data" {
		t.Errorf("error is %v, precious is %q", err, w.read("/srv/web/current/precious"))
	}
}
