package rootfs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestParsePackages(t *testing.T) {
	t.Parallel()
	got := ParsePackages("# head\nnginx-light\n\n  jq  # small\n")
	if diff := cmp.Diff([]string{"nginx-light", "jq"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKeyFollowsTheInputs(t *testing.T) {
	t.Parallel()
	base := contentKey("bookworm", []string{"a", "b"})
	if got := contentKey("bookworm", []string{"b", "a", "b"}); got != base {
		t.Error("the order of the packages changes the key")
	}
	if contentKey("trixie", []string{"a", "b"}) == base || contentKey("bookworm", []string{"a"}) == base {
		t.Error("suite or packages do not change the key")
	}
	monday := time.Date(2027, 1, 4, 0, 0, 0, 0, time.UTC)
	if got := isoWeek(monday) + " " + isoWeek(monday.Add(-time.Second)); got != "2027w01 2026w53" {
		t.Errorf("weeks %s", got)
	}
}

// finished puts a finished build of key into the cache.
func finished(t *testing.T, c cache, key string) {
	t.Helper()
	work, err := c.temp(key)
	if err != nil {
		t.Fatal(err)
	}
	root, repo := filepath.Join(work, "root"), filepath.Join(work, "repo")
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.publish(key, root, repo); err != nil {
		t.Fatal(err)
	}
}

func TestCacheKeepsWhatIsHeld(t *testing.T) {
	t.Parallel()
	c := newCache(t.TempDir())
	for _, key := range []string{"aa-2026w01", "aa-2026w02", "bb-2026w02"} {
		finished(t, c, key)
	}
	held, ok := c.open("aa-2026w01")
	if !ok {
		t.Fatal("a finished build does not open")
	}
	var log []string
	note := func(format string, args ...any) { log = append(log, args[0].(string)) }
	c.removeOthers("bb-2026w02", note)
	if diff := cmp.Diff([]string{"aa-2026w02"}, log); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(held.RepoDir); err != nil {
		t.Errorf("a held build was removed: %v", err)
	}
	if err := errors.Join(held.Close(), held.Close()); err != nil {
		t.Error(err)
	}
	c.removeOthers("bb-2026w02", note)
	if diff := cmp.Diff([]string{"bb-2026w02"}, c.keys()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

func TestCacheOpensOnlyWholeBuilds(t *testing.T) {
	t.Parallel()
	c := newCache(t.TempDir())
	if _, ok := c.open("aa-1"); ok {
		t.Error("a build that is not there opens")
	}
	finished(t, c, "aa-1")
	if err := os.RemoveAll(c.repo("aa-1")); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.open("aa-1"); ok {
		t.Error("a build without its repository opens")
	}
	if _, ok := c.open(".tmp-aa-1"); ok {
		t.Error("a half-done build opens")
	}
}

func TestCacheLockWaitsAndHonoursContext(t *testing.T) {
	t.Parallel()
	c := newCache(t.TempDir())
	unlock, err := c.lock(t.Context(), func() { t.Error("waited for a free lock") })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := c.lock(ctx, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("locking a held lock: %v", err)
	}
	unlock()
	again, err := c.lock(t.Context(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestCacheLocksEndWithTheirOwner: a copy of the file, as a process has it that
// is just being started, does not hold a lock that was given up.
func TestCacheLocksEndWithTheirOwner(t *testing.T) {
	t.Parallel()
	c := newCache(t.TempDir())
	finished(t, c, "aa-2026w01")
	held, ok := c.open("aa-2026w01")
	if !ok {
		t.Fatal("a finished build does not open")
	}
	copied, err := unix.Dup(int(held.hold.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	if !c.remove("aa-2026w01") {
		t.Error("a build that nobody holds was not removed")
	}
}

// weekBuilder is a builder that thinks it is the given day.
func weekBuilder(t *testing.T, cacheDir, now string) *builder {
	t.Helper()
	day, err := time.Parse(time.DateOnly, now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBuilder(Options{Cache: cacheDir, AptDir: aptDir(t, map[string]string{"sources.list": "deb http://mirror.test/debian bookworm main\n"}),
		Now: func() time.Time { return day }, Log: &bytes.Buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEnsureFallsBackToAnOlderWeek(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := weekBuilder(t, dir, "2026-01-05")
	finished(t, old.cache, old.key)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	next := weekBuilder(t, dir, "2026-01-12")
	next.debootstrap = func(context.Context, debootstrapDirs) error { return errors.New("no network") }
	base, err := next.locked(t.Context())
	if err != nil || base.Key != old.key {
		t.Fatalf("got %q, %v, want the build of %s", base.Key, err, old.key)
	}
	if log := next.opts.Log.(*bytes.Buffer).String(); !strings.Contains(log, "cannot refresh (no network)") {
		t.Errorf("the log does not say so: %s", log)
	}
	if _, err := next.locked(ctx); err == nil {
		t.Error("a cancelled build fell back")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "rootfs", ".tmp-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestEnsureSaysWhyItCannotStart(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string]Options{
		"no cache directory": {},
		"offer none of":      {Cache: t.TempDir(), AptDir: t.TempDir()},
	} {
		if _, err := Ensure(t.Context(), opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestConfigureLeavesNothingBorn(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, name := range []string{"etc/ssh/ssh_host_rsa_key", "etc/machine-id", "var/lib/dbus/machine-id",
		"etc/resolv.conf", "etc/apt/sources.list.d/x.sources", "etc/systemd/system/getty.target.wants/x"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := configure(root, "bookworm"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc/ssh/ssh_host_rsa_key", "var/lib/dbus/machine-id", "etc/apt/sources.list.d/x.sources"} {
		if _, err := os.Lstat(filepath.Join(root, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	if id, err := os.ReadFile(filepath.Join(root, "etc/machine-id")); err != nil || len(id) != 0 {
		t.Errorf("machine-id %q, %v", id, err)
	}
	stamp, _ := os.ReadFile(filepath.Join(root, "etc/bakehouse-lab-base"))
	if !strings.Contains(string(stamp), "Debian, standing in for an") || !strings.Contains(string(stamp), "suite bookworm") {
		t.Errorf("the image does not say what it is: %s", stamp)
	}
	if target, _ := os.Readlink(filepath.Join(root, "etc/systemd/system/console-getty.service")); target != "/dev/null" {
		t.Errorf("console-getty is not masked: %q", target)
	}
}

func TestTailLogPassesProgressOn(t *testing.T) {
	t.Parallel()
	var got []string
	l := &tailLog{log: func(_ string, args ...any) { got = append(got, args[0].(string)) }}
	for _, chunk := range []string{"I: down", "loading\nnoise 1\n\nnoise 2\n", "noise 3\nE: bad", " thing\n"} {
		l.Write([]byte(chunk))
	}
	if diff := cmp.Diff([]string{"downloading"}, got); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if want := "noise 1; noise 2; noise 3; E: bad thing"; l.String() != want {
		t.Errorf("tail %q, want %q", l, want)
	}
}
