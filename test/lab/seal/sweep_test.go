//go:build linux

package seal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestStartTimeNamesOneProcess(t *testing.T) {
	t.Parallel()
	ticks, err := StartTime(os.Getpid())
	if err != nil || ticks == 0 {
		t.Fatalf("StartTime(self) = %d, %v", ticks, err)
	}
	if !Alive(os.Getpid(), ticks) {
		t.Error("this process is not reported alive")
	}
	if Alive(os.Getpid(), ticks+1) {
		t.Error("a process with another start time is taken for this one")
	}
}

func TestParseStartTime(t *testing.T) {
	t.Parallel()
	const tail = " 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 4711 1 1"
	for name, c := range map[string]struct {
		stat string
		want uint64
		gone bool
	}{
		"plain":          {"7 (sleep) S" + tail, 4711, false},
		"awkward name":   {"7 (a) R (b) S" + tail, 4711, false},
		"waits for reap": {"7 (sleep) Z" + tail, 0, true},
	} {
		got, err := parseStartTime([]byte(c.stat))
		if got != c.want || errors.Is(err, fs.ErrNotExist) != c.gone {
			t.Errorf("%s: got %d, %v", name, got, err)
		}
	}
	if _, err := parseStartTime([]byte("7 (sleep) S 1")); err == nil {
		t.Error("a cut-off line was accepted")
	}
}

func TestCgroup2Mounts(t *testing.T) {
	t.Parallel()
	const info = `30 20 0:26 / /sys/fs/cgroup/unified rw,relatime shared:5 - cgroup2 cgroup2 rw
31 20 0:27 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
32 20 0:28 / /run rw - tmpfs cgroup2 rw
`
	if got := cgroup2Mounts([]byte(info)); !slices.Equal(got, []string{"/sys/fs/cgroup/unified"}) {
		t.Errorf("cgroup2 mounts = %q", got)
	}
}

func TestRemoveTreeTakesDeepestFirst(t *testing.T) {
	t.Parallel()
	top := filepath.Join(t.TempDir(), "lab")
	deep := filepath.Join(top, "i-1", "init.scope")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	removed, err := removeTree(filepath.Join(top, "i-1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(top, "i-1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the group is still there: %v (removed %q)", err, removed)
	}
}
