package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// dial plays the network of the machine.
func (w *world) dial(context.Context, string, string) (net.Conn, error) {
	if w.dialErr != nil {
		return nil, w.dialErr
	}
	a, b := net.Pipe()
	return a, b.Close()
}

// sick makes a build whose health check fails while it is live.
func (w *world) sick(content string) release.ID {
	id := w.push(content)
	w.health = func(int) (int, error) {
		if strings.TrimSpace(w.read("/srv/web/current/RELEASE")) == string(id) {
			return http.StatusInternalServerError, nil
		}
		return http.StatusOK, nil
	}
	return id
}

func (w *world) restarts() (n int) {
	for _, r := range w.runs {
		if r == "systemctl restart web.service" {
			n++
		}
	}
	return n
}

func TestSickBuildMakesRoomForTheLastGoodOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	good := release.ID(w.journal().Build)
	bad := w.sick("sick build")
	err := w.agent().Deploy(context.Background())
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "500") || !strings.Contains(err.Error(), "rolled back to build "+good.Short()+" in 0.00 s") {
		t.Errorf("the deploy of a sick build: %v", err)
	}
	w.serving(good)
	j := w.journal()
	if j.LastGood != string(good) || j.Build != string(good) || len(j.Refused) != 1 || j.Refused[0].Build != bad || j.Deploy.State != Failed {
		t.Errorf("journal: %+v", j)
	}
	if restarts := w.restarts(); restarts != 3 {
		t.Errorf("the unit was started %d times, want first boot's, the sick build's, the good one's", restarts)
	}
	asked := len(w.opens)
	err = w.agent().Deploy(context.Background())
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "it was refused here at") || !strings.Contains(fault.NextOf(err), "--retry-refused") {
		t.Errorf("the same build again: %v", err)
	}
	if w.restarts() != 3 || len(w.opens) != asked+1 {
		t.Errorf("a refused build was pulled or started: %q", w.opens[asked:])
	}
	w.health = nil
	if err := w.agent().DeployRefused(context.Background()); err != nil {
		t.Errorf("the refused build, asked for: %v", err)
	}
	w.serving(bad)
	if j := w.journal(); len(j.Refused) != 0 || j.LastGood != string(bad) {
		t.Errorf("after it was healthy: %+v", j)
	}
}

func TestKilledOnTheWayBackGoesTheRest(t *testing.T) {
	t.Parallel()
	for _, p := range []Point{BuildRefused, RolledBack} {
		w := newWorld(t)
		w.boot()
		good := release.ID(w.journal().Build)
		w.sick("sick build")
		w.trace = killAt(p)
		if err := w.agent().Deploy(context.Background()); !errors.Is(err, errKilled) {
			t.Fatalf("%s: %v, want it killed", p, err)
		}
		before := w.restarts()
		if err := w.agent().Deploy(context.Background()); fault.KindOf(err) != fault.Check {
			t.Errorf("%s: the next deploy ended with %v", p, err)
		}
		w.serving(good)
		if w.restarts() != before+1 {
			t.Errorf("%s: the good build was not started", p)
		}
	}
}

func TestWithoutAGoodBuildTheSickOneStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad := w.sick("first build, sick")
	err := w.fails(fault.Check, "500")
	if strings.Contains(err.Error(), "rolled back") || len(w.journal().Refused) != 0 {
		t.Errorf("%v, refused %v", err, w.journal().Refused)
	}
	w.serving(bad)
}

func TestHealthIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.Health.Hold = agentconf.Duration(10 * time.Second)
	var began time.Time
	w.health = func(n int) (int, error) {
		switch n {
		case 4: // well for a moment only
			return 0, errors.New("connection refused")
		case 5:
			began = w.Now()
		}
		return http.StatusOK, nil
	}
	w.boot()
	if held := w.Now().Sub(began); held < 10*time.Second || held > 11*time.Second {
		t.Errorf("called healthy %s after the checks began to pass for good, want 10s", held)
	}
}

func TestEveryHealthCheckMustPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.Health = agentconf.Health{TCP: "127.0.0.1:8080", Command: "test -e ready", Timeout: agentconf.Duration(time.Second)}
	w.dialErr = errors.New("refused by the port")
	w.fails(fault.Check, "refused by the port")
	w.dialErr = nil
	w.systemctl = unit("ActiveState=activating\nSubState=auto-restart\n")
	w.fails(fault.Check, "the checks pass, but not by web.service")
	w.systemctl = nil
	w.boot()
	i := slices.IndexFunc(w.runs, func(r string) bool { return strings.HasPrefix(r, "systemd-run ") })
	if i < 0 || !strings.HasSuffix(w.runs[i], "WorkingDirectory=/srv/web/current -- /bin/sh -c test -e ready") || !strings.Contains(w.runs[i], "RuntimeMaxSec=5000ms") {
		t.Errorf("programs run: %q", w.runs)
	}
}

func TestChannelThatMovesDuringFirstBootIsFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var second release.ID
	w.health = func(n int) (int, error) {
		if n == 1 {
			second = w.push("promoted meanwhile")
		}
		return http.StatusOK, nil
	}
	w.boot()
	w.serving(second)
	if j := w.journal(); !j.Complete() || j.Build != string(second) || j.LastGood != string(second) {
		t.Errorf("journal: %+v", j)
	}
	w = newWorld(t)
	w.health = func(n int) (int, error) { w.push(strings.Repeat("again ", n)); return http.StatusOK, nil }
	w.fails(fault.Timeout, "the channel moved 5 times")
}

func TestReleasesAreKeptByCountAndBytes(t *testing.T) {
	t.Parallel()
	named := func(letter string) release.ID { return release.ID(strings.Repeat(letter, 64)) }
	for name, c := range map[string]struct {
		r    retention
		want string
	}{
		"by count":                 {retention{count: 2}, "ab"},
		"by bytes":                 {retention{count: 9, bytes: 250}, "ab"},
		"a spared one stays":       {retention{count: 1, spare: []release.ID{named("d")}}, "ad"},
		"spared ones over the cap": {retention{count: 9, bytes: 150, spare: []release.ID{named("b"), named("c")}}, "abc"},
		"a busy one stays":         {retention{count: 1, busy: func(dir string) (bool, error) { return strings.HasSuffix(dir, "c"), nil }}, "ac"},
		"more room than they fill": {retention{count: 9, bytes: 1000}, "abcd"},
		"by few bytes":             {retention{count: 9, bytes: 100}, "a"},
	} {
		lay := Layout{Root: t.TempDir()}
		for i, letter := range []string{"a", "b", "c", "d"} { // a was used last
			dir, used := lay.Release(named(letter)), time.Unix(int64(1000-i), 0)
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "f"), make([]byte, 100), 0o644), os.Chtimes(dir, used, used)); err != nil {
				t.Fatal(err)
			}
		}
		if c.r.busy == nil {
			c.r.busy = func(string) (bool, error) { return false, nil }
		}
		if err := lay.prune(c.r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		left := ""
		entries, _ := os.ReadDir(lay.Releases())
		for _, e := range entries {
			left += e.Name()[:1]
		}
		if left != c.want {
			t.Errorf("%s: %q is left, want %q", name, left, c.want)
		}
	}
}

func TestAProgramMakesItsReleaseBusy(t *testing.T) {
	t.Parallel()
	dir, err := os.Getwd() // this test works in it
	if err != nil {
		t.Fatal(err)
	}
	if busy, err := (Filesystem{}).Busy(dir); !busy || err != nil {
		t.Errorf("%s: busy %v, %v", dir, busy, err)
	}
	if busy, err := (Filesystem{}).Busy(t.TempDir()); busy || err != nil {
		t.Errorf("an empty folder: busy %v, %v", busy, err)
	}
}
