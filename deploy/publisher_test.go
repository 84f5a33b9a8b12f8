package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/internal/s3cond"
	"bakehouse/release"
)

// serve starts a fake S3 and returns a publisher for its bucket.
func serve(t *testing.T) (*fakeS3, *Publisher) {
	t.Helper()
	f := newFakeS3()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, publisher(t, client(server.URL), "builds")
}

func TestPublishingOnTheFake(t *testing.T) {
	t.Parallel()
	semantics(t, func(t *testing.T) (S3, string) {
		server := httptest.NewServer(newFakeS3())
		t.Cleanup(server.Close)
		return client(server.URL), "builds"
	})
}

func TestPushOfAKnownBuildUploadsNothing(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	m := mustPush(t, p, tree(t, "v1"))
	f.calls = nil
	mustPush(t, p, tree(t, "v1"))
	want := []string{"HEAD " + release.ArtifactKey("web", m.ID), "PUT " + release.ManifestKey("web", m.ID), "GET " + release.ManifestKey("web", m.ID)}
	if !slices.Equal(f.calls, want) {
		t.Errorf("calls were\n%s\nwant\n%s", strings.Join(f.calls, "\n"), strings.Join(want, "\n"))
	}
}

func TestLostRepliesAreNotLostRaces(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	m := mustPush(t, p, tree(t, "v1")) // to learn the id
	clear(f.objects)
	f.lost = release.ArtifactKey("web", m.ID)
	if again := mustPush(t, p, tree(t, "v1")); again != m || f.lost != "" {
		t.Errorf("push whose upload's reply was lost gave %+v", again)
	}
	f.lost = release.ChannelKey("web", "production")
	done, err := p.Promote(context.Background(), Promotion{"web", "production", m.ID, "ann@host"})
	if err != nil || !done.Changed || done.Channel.Serial != 1 || f.lost != "" {
		t.Errorf("promote whose reply was lost: %+v (%v), want done", done, err)
	}
}

func TestConflictsAreTriedAgainBoundedly(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	left := 3
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if left == 0 || r.Method != "PUT" {
			return false
		}
		left--
		refuse(w, 409, "ConditionalRequestConflict", "again, please")
		return true
	}
	mustPush(t, p, tree(t, "v1"))
	left = -1 // for ever
	_, err := p.Push(context.Background(), Source{App: "web", Dir: tree(t, "v2")})
	if err == nil || fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "ConditionalRequestConflict: again, please") {
		t.Errorf("endless conflicts: %v", err)
	}
	if left != -1-s3cond.Tries {
		t.Errorf("tried %d times, want %d", -1-left, s3cond.Tries)
	}
}

func TestDenialsNameTheRight(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	denied := ""
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != denied {
			return false
		}
		refuse(w, 403, "AccessDenied", "no")
		return true
	}
	for method, right := range map[string]string{"HEAD": "s3:GetObject", "PUT": "s3:PutObject"} {
		denied = method
		_, err := p.Push(context.Background(), Source{App: "web", Dir: tree(t, "v1")})
		if fault.KindOf(err) != fault.AWS || !strings.HasPrefix(fault.NextOf(err), "allow "+right+" on s3://builds/web/builds/") {
			t.Errorf("denied %s: %v, next %q, want the right %s", method, err, fault.NextOf(err), right)
		}
	}
	if len(f.objects) != 0 {
		t.Errorf("refusals left %d objects", len(f.objects))
	}
}

func TestDamagedDocumentsAreNamed(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	m := mustPush(t, p, tree(t, "v1"))
	channel, manifest := release.ChannelKey("web", "production"), release.ManifestKey("web", m.ID)
	foreign, err := release.FirstChannel("api", "production").Next(m.ID, start(), "").Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ key, body, want string }{
		{channel, "{", "reading s3://builds/" + channel + ": parsing channel: the JSON ends too early"},
		{channel, string(foreign), "it says that it is production of api"},
		{manifest, `{"format":9}`, "reading s3://builds/" + manifest + ": parsing manifest: format is 9"},
	} {
		old := f.objects[c.key]
		f.objects[c.key] = object{body: []byte(c.body)}
		_, err := p.Promote(context.Background(), Promotion{"web", "production", m.ID, ""})
		if err == nil || fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.body, err, c.want)
		}
		if f.objects[c.key] = old; old.body == nil {
			delete(f.objects, c.key)
		}
	}
}

func TestNamesAreCheckedBeforeAnyCall(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	ctx := context.Background()
	_, push := p.Push(ctx, Source{App: "../x", Dir: tree(t, "v1")})
	_, app := p.Promote(ctx, Promotion{"../x", "production", "", ""})
	_, channel := p.Promote(ctx, Promotion{"web", "../x", "", ""})
	for _, err := range []error{push, app, channel} {
		if err == nil || fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), `"../x" is not allowed`) {
			t.Errorf("error %v, want a usage fault", err)
		}
	}
	if len(f.calls) != 0 {
		t.Errorf("calls were made: %q", f.calls)
	}
}

func TestPushEndsWithItsContext(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	ctx, cancel := context.WithCancel(context.Background())
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PUT" {
			cancel()
		}
		return false
	}
	if _, err := p.Push(ctx, Source{App: "web", Dir: tree(t, "v1")}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while uploading: %v", err)
	}
	f.mu.Lock() // the server may still be at the cancelled request
	defer f.mu.Unlock()
	for key := range f.objects {
		if strings.HasSuffix(key, "manifest.json") {
			t.Errorf("a cancelled push left %s", key)
		}
	}
}

// TestAbandonedMultipartUploadsAreAborted: parts that nobody completes are
// paid for and invisible.
func TestAbandonedMultipartUploadsAreAborted(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 2*partSize)
	if _, err := rand.NewChaCha8([32]byte{}).Read(noise); err != nil {
		t.Fatal(err)
	}
	dir := tree(t, string(noise))
	for _, how := range []string{"cancelled", "refused"} {
		f, p := serve(t)
		ctx, cancel := context.WithCancel(context.Background())
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("partNumber") != "2" {
				return false
			}
			if how == "refused" {
				refuse(w, 403, "AccessDenied", "no")
				return true
			}
			cancel()
			return false
		}
		if _, err := p.Push(ctx, Source{App: "web", Dir: dir}); err == nil {
			t.Errorf("%s: push succeeded", how)
		}
		cancel()
		f.mu.Lock()
		if len(f.parts) != 0 || len(f.objects) != 0 || len(f.calls) < 4 {
			t.Errorf("%s: %d uploads and %d objects remain after\n%s", how, len(f.parts), len(f.objects), strings.Join(f.calls, "\n"))
		}
		f.mu.Unlock()
	}
}

func TestABrokenNetworkIsOneClearLine(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newFakeS3())
	server.Close()
	_, err := publisher(t, client(server.URL), "builds").Show(context.Background(), "web", "production")
	want := "reading s3://builds/web/channels/production.json: dial tcp " + strings.TrimPrefix(server.URL, "http://") + ": connect: connection refused"
	if err == nil || err.Error() != want || fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "AWS_ENDPOINT_URL") {
		t.Errorf("error %v (next %q), want %s", err, fault.NextOf(err), want)
	}
}

// TestPushOfAnArchiveIsThePushOfItsTree makes the same build of a directory, a
// tar of it and its only file.
func TestPushOfAnArchiveIsThePushOfItsTree(t *testing.T) {
	t.Parallel()
	_, p := serve(t)
	dir := tree(t, "v1")
	m := mustPush(t, p, dir)
	archive := filepath.Join(t.TempDir(), "app.tar.gz")
	if out, err := exec.Command("tar", "-czf", archive, "-C", dir, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, source := range []string{archive, filepath.Join(dir, "web")} {
		done, err := p.Push(context.Background(), Source{App: "web", Dir: source})
		if err != nil || !done.Reused || done.Manifest.ID != m.ID {
			t.Errorf("%s: build %s, %v; want that of the directory, %s", source, done.Manifest.ID.Short(), err, m.ID.Short())
		}
	}
	if err := os.WriteFile(archive, []byte("no gzip"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Push(context.Background(), Source{App: "web", Dir: archive}); fault.KindOf(err) != fault.Usage {
		t.Errorf("a damaged archive: %v", err)
	}
	if left, _ := os.ReadDir(p.TempDir); len(left) != 0 {
		t.Errorf("temporary files remain: %v", left)
	}
}

func TestUnversionedBucketsAreTold(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	for said, want := range map[string]bool{"": true, "<Status>Suspended</Status>": true, "<Status>Enabled</Status>": false} {
		f.versioning = said
		if got, err := p.Unversioned(context.Background()); err != nil || got != want {
			t.Errorf("with %q: unversioned %v, %v", said, got, err)
		}
	}
	f.before = func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, 403, "AccessDenied", "no")
		return true
	}
	if got, err := p.Unversioned(context.Background()); got || err != nil {
		t.Errorf("without the right to ask: %v, %v", got, err)
	}
}

func TestAWrongClockIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	_, p := serve(t)
	one, two := mustPush(t, p, tree(t, "v1")).ID, mustPush(t, p, tree(t, "v2")).ID
	at := time.Now()
	p.Now = func() time.Time { return at }
	put := func(id release.ID) error {
		_, err := p.Promote(context.Background(), Promotion{"web", "production", id, "ann@host"})
		return err
	}
	if err := put(one); err != nil {
		t.Fatal(err)
	}
	for what, wrong := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		at = time.Now().Add(wrong)
		if err := put(two); fault.KindOf(err) != fault.Usage || !strings.Contains(fault.NextOf(err), "clock") {
			t.Errorf("a clock an hour %s: %v", what, err)
		}
	}
	at = time.Now().Add(time.Minute)
	if err := put(two); err != nil {
		t.Errorf("a clock a minute ahead: %v", err)
	}
}

// TestWhatMayNotBeReadIsTheUsersToMend: root reads everything, so the error is
// made up.
func TestWhatMayNotBeReadIsTheUsersToMend(t *testing.T) {
	t.Parallel()
	err := advise(fmt.Errorf("packing app: %w", &fs.PathError{Op: "open", Path: "secret", Err: syscall.EACCES}))
	if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "secret: permission denied") || fault.NextOf(err) != "let this user read it, or leave it out by .deployignore" {
		t.Errorf("%v (%v), next %q", err, fault.KindOf(err), fault.NextOf(err))
	}
}
