package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// owners notes to whom what was given, and may refuse it.
type owners struct {
	Filesystem
	given map[string]string
	err   error
	busy  error
}

func (o *owners) Chown(dir, user string) error {
	if o.err == nil {
		o.given[filepath.Base(dir)] = user
	}
	return o.err
}

func (o *owners) Busy(dir string) (bool, error) {
	if o.busy != nil {
		return false, o.busy
	}
	return o.Filesystem.Busy(dir)
}

// The role that makes the app's user may come later than the first pull.
func TestSharedBelongsToTheAppAlthoughItsUserCameLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.Owner = "web"
	o := &owners{given: map[string]string{}, err: errors.New("unknown user web")}
	a := w.agent()
	a.deps.Disk = o
	if err := a.FirstBoot(context.Background()); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "unknown user web") {
		t.Fatalf("without the user: %v", err)
	}
	if _, err := os.Stat(filepath.Join(w.root, "srv/web/shared")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("shared is there without its owner: %v", err)
	}
	o.err = nil
	if err := a.FirstBoot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if o.given[tmpMark+"shared"] != "web" {
		t.Errorf("given away: %v, want shared among it", o.given)
	}
	if _, err := os.Stat(filepath.Join(w.root, "srv/web/shared")); err != nil {
		t.Error(err)
	}
	w.serving(release.ID(w.journal().Build))
}

// Whoever owns a directory could replace what is in it by a link to somewhere
// else while root is still at work there.
func TestADirectoryIsGivenAwayAfterWhatIsInIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "a/b"), 0o755), os.WriteFile(filepath.Join(dir, "a/b/f"), nil, 0o644),
		os.Symlink("b", filepath.Join(dir, "a/link")), os.WriteFile(filepath.Join(dir, "z"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	var order []string
	if err := eachInside(dir, func(path string) error {
		rel, err := filepath.Rel(dir, path)
		order = append(order, rel)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a/b/f", "a/link", "z", "a/b", "a", "."}; !slices.Equal(order, want) {
		t.Errorf("in the order %q, want %q", order, want)
	}
	if err := eachInside(filepath.Join(dir, "none"), func(string) error { return nil }); err == nil {
		t.Error("a directory that is not there was walked through")
	}
}

func TestAReleaseThatCannotBePrunedHoldsNoDeployUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.Keep = 1
	w.boot()
	w.now = w.now.Add(time.Hour)
	w.push("second build")
	w.deploys()
	w.now = w.now.Add(time.Hour)
	third := w.push("third build")
	a := w.agent()
	a.deps.Disk = &owners{busy: errors.New("no /proc")}
	if err := a.Deploy(context.Background()); err != nil {
		t.Fatalf("deploy: %v", err)
	}
	w.serving(third)
	if w.journal().LastGood != string(third) || !strings.Contains(strings.Join(w.notes, "\n"), "no /proc") {
		t.Errorf("last good is %s; notes %q", w.journal().LastGood, w.notes)
	}
}

// A build that fills the disk must not keep the good one from coming back.
func TestARollbackNeedsNoJournal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	good := release.ID(w.journal().Build)
	w.sick("a build that fills the disk")
	state := filepath.Join(w.root, "var/lib/bakehouse")
	w.systemctl = func(args []string, _ io.Writer) error {
		if args[0] == "restart" { // from now on the journal cannot be written: a directory is in its way
			return errors.Join(os.RemoveAll(filepath.Join(state, "journal.json")), os.MkdirAll(filepath.Join(state, "journal.json/full"), 0o755))
		}
		return nil
	}
	if err := w.agent().Deploy(context.Background()); err == nil || !strings.Contains(err.Error(), "rolled back to build "+good.Short()) || !strings.Contains(err.Error(), "writing the journal") {
		t.Errorf("deploy: %v", err)
	}
	if live := (Layout{Root: filepath.Join(w.root, "srv/web")}).Live(); live != good {
		t.Errorf("live is %s, want %s", live.Short(), good.Short())
	}
}

// A release belongs to its app's user, who may put anything in its place.
func TestAPipeInTheReleasesPlaceHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	lay, build := Layout{Root: filepath.Join(w.root, "srv/web")}, release.ID(w.journal().Build)
	file := filepath.Join(lay.Release(build), release.FileName)
	for name, put := range map[string]func() error{
		"a pipe":      func() error { return syscall.Mkfifo(file, 0o644) },
		"a link":      func() error { return os.Symlink("/proc/kmsg", file) },
		"a directory": func() error { return os.Mkdir(file, 0o755) },
	} {
		if err := errors.Join(os.RemoveAll(file), put()); err != nil {
			t.Fatal(err)
		}
		has := make(chan bool, 1)
		go func() { has <- lay.Has(build) }()
		select {
		case whole := <-has:
			if whole {
				t.Errorf("%s passes for a whole release", name)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%s holds the agent up", name)
		}
	}
}

// small is a disk with so much room.
type small struct {
	Filesystem
	bytes, inodes uint64
	counts        bool
}

func (s small) Free(string) (bytes, inodes uint64, limited bool, err error) {
	return s.bytes, s.inodes, s.counts, nil
}

func TestABuildIsWeighedBeforeItsFirstByte(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	for i, tc := range []struct {
		disk small
		want string
	}{
		{small{bytes: spareBytes + 18, inodes: 100, counts: true}, "16.0 MiB free"},
		{small{bytes: 1 << 30, inodes: 1, counts: true}, "it has 1 files, and"},
		{small{bytes: 1 << 30, inodes: 1, counts: false}, ""}, // btrfs makes inodes as they are asked for
		{small{bytes: spareBytes + 19, inodes: 2, counts: true}, ""},
	} {
		id := w.push(fmt.Sprintf("a build of 19 byte%d", i))
		a := w.agent()
		a.deps.Disk = tc.disk
		err := a.Deploy(context.Background())
		if (tc.want == "") != (err == nil) || err != nil && (fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), tc.want) || fault.NextOf(err) == "") {
			t.Errorf("%+v: %v, want %q", tc.disk, err, tc.want)
		}
		if read := slices.Contains(w.opens, release.ArtifactKey("web", id)); read && tc.want != "" {
			t.Errorf("%+v: the build was read", tc.disk)
		}
		if tc.want == "" {
			w.serving(id)
		}
	}
}
