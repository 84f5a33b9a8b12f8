package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

const testNode = "web-" + testInstance

// spot announces an interruption from the n-th look on.
func spot(w *world, action string, from int) func(int) (Notice, error) {
	return func(n int) (Notice, error) {
		if n < from {
			return Notice{}, nil
		}
		return Notice{SpotAction: action, SpotAt: w.Now().Add(2 * time.Minute), Rebalance: w.Now()}, nil
	}
}

// isGone fails the test unless node, client and key are gone, and only they.
func (w *world) isGone() {
	w.t.Helper()
	if _, node := w.chef.nodes[testNode]; node || w.chef.clients[testNode] != "" {
		w.t.Errorf("node there: %v, client there: %v; want both gone", node, w.chef.clients[testNode] != "")
	}
	if w.chef.clients["chef-validator"] == "" {
		w.t.Error("somebody else's client is gone")
	}
	if w.read("/etc/chef/client.pem") != "" {
		w.t.Error("the client key is still there")
	}
	if j := w.journal(); !j.left() || j.Leave.Detail == "" {
		w.t.Errorf("the journal says %+v, want that it left and why", j.Leave)
	}
}

func TestAnnouncedEndTakesNodeAndClientAway(t *testing.T) {
	t.Parallel()
	for name, notice := range map[string]func(*world) func(int) (Notice, error){
		"spot interruption": func(w *world) func(int) (Notice, error) { return spot(w, "terminate", 3) },
		"terminating group": func(*world) func(int) (Notice, error) {
			return func(int) (Notice, error) { return Notice{Target: "Terminated"}, nil }
		},
		"terminating warm pool": func(*world) func(int) (Notice, error) {
			return func(int) (Notice, error) { return Notice{Target: "Warmed:Terminated"}, nil }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.conf.Leave.Drain = "/usr/local/bin/drain"
			w.boot()
			w.systemctl = unit("TriggeredBy=web.socket web.timer\n")
			before := len(w.runs)
			w.notice = notice(w)
			if err := w.agent().Watch(context.Background()); err != nil {
				t.Fatalf("watching: %v", err)
			}
			w.isGone()
			want := []string{"systemctl stop bakehouse-first-boot.service", "drain", "systemctl show --property=TriggeredBy web.service", "systemctl stop web.socket web.service",
				"systemctl stop chef-client.timer chef-client.service cinc-client.timer cinc-client.service"}
			if got := w.runs[before:]; !slices.Equal(got, want) {
				t.Errorf("programs run:\n%q\nwant\n%q", got, want)
			}
		})
	}
}

func TestStopAndHibernateKeepTheNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	ctx, cancel := context.WithCancel(context.Background())
	w.notice = func(n int) (Notice, error) {
		switch {
		case n < 4:
			return Notice{SpotAction: "hibernate", SpotAt: w.Now().Add(time.Minute)}, nil
		case n == 4: // it woke up again
			return Notice{}, nil
		}
		cancel()
		return Notice{}, nil
	}
	before := len(w.runs)
	if err := w.agent().Watch(ctx); err != nil {
		t.Fatal(err)
	}
	runs := slices.DeleteFunc(w.runs[before:], func(r string) bool { return strings.Contains(r, " show ") || !strings.HasSuffix(r, " web.service") })
	if !slices.Equal(runs, []string{"systemctl stop web.service", "systemctl start web.service"}) {
		t.Errorf("the app was handled by %q, want it stopped once and started again", runs)
	}
	if len(w.chef.nodes) != 1 || !w.endState().KeyOK {
		t.Error("the node of an instance that comes back was touched")
	}
}

func TestRebalanceIsNotedUnlessConfigured(t *testing.T) {
	t.Parallel()
	for policy, leaves := range map[string]bool{"": false, agentconf.OnRebalanceNote: false, agentconf.OnRebalanceLeave: true} {
		w := newWorld(t)
		w.conf.Leave.OnRebalance = policy
		w.boot()
		ctx, cancel := context.WithCancel(context.Background())
		w.notice = func(n int) (Notice, error) {
			if n > 5 {
				cancel()
			}
			return Notice{Rebalance: w.Now(), Target: "InService"}, nil
		}
		if err := w.agent().Watch(ctx); err != nil {
			t.Errorf("%q: %v", policy, err)
		}
		if left := w.journal().left(); left != leaves {
			t.Errorf("%q: left is %v, want %v", policy, left, leaves)
		}
		if n := strings.Count(strings.Join(w.notes, "\n"), "recommends rebalancing"); !leaves && n != 1 {
			t.Errorf("%q: the recommendation was noted %d times, want once", policy, n)
		}
		cancel()
	}
}

func TestLeaveKilledAnywhereEndsTheSame(t *testing.T) {
	t.Parallel()
	for _, p := range append(LeavingPoints(), "after the client, before the key") {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.boot()
			w.notice = spot(w, "terminate", 1)
			w.trace = killAt(p)
			err := w.agent().Watch(context.Background())
			if slices.Contains(LeavingPoints(), p) && !errors.Is(err, errKilled) {
				t.Fatalf("the first run ended with %v, want it killed", err)
			}
			if err := w.agent().Watch(context.Background()); err != nil {
				t.Fatalf("the second run: %v", err)
			}
			w.isGone()
		})
	}
}

func TestLeaveMeetsAServerThatIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	w.notice = spot(w, "terminate", 1)
	w.chef.refuse = errors.New("connection refused")
	err := w.agent().Watch(context.Background())
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Fatalf("error is %v, want that of the server", err)
	}
	if j := w.journal(); j.left() || j.Leave.State != Failed {
		t.Errorf("leave is %+v, want it failed", j.Leave)
	}
	w.chef.refuse = nil
	if err := w.agent().Watch(context.Background()); err != nil {
		t.Fatalf("when the server is back: %v", err)
	}
	w.isGone()
}

func TestLeavingBeforeRegisteringTouchesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.notice = spot(w, "terminate", 1)
	if err := w.agent().Watch(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(w.chef.clients) != 1 || len(w.chef.nodes) != 0 {
		t.Error("an instance that is nobody touched the server")
	}
}

func TestAnInstanceThatLeftRegistersAgainWhenStarted(t *testing.T) {
	t.Parallel()
	for _, at := range append(LeavingPoints(), "never") {
		w := newWorld(t)
		w.boot()
		w.notice = spot(w, "terminate", 1)
		w.trace = killAt(at)
		_ = w.agent().Watch(context.Background())
		w.trace = nil
		w.boot()
		want := reference(t)
		if s := w.endState(); !s.KeyOK || s.Nodes != 1 || s.Clients != want.Clients || s.Current != want.Current {
			t.Errorf("leave killed at %q, then started: %+v", at, s)
		}
		if j := w.journal(); j.Leave != nil || !j.Complete() {
			t.Errorf("leave killed at %q, then started: journal %+v", at, j)
		}
	}
}

// A spot notice leaves two minutes, which a deploy can use up.
func TestADeployAtWorkIsEndedByALeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	unlock, err := w.agent().lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var killed []string
	w.chefRun = func(int, io.Writer) error { // kill, the only program besides systemd's
		killed = append(killed, w.runs[len(w.runs)-1])
		unlock()
		return nil
	}
	began := w.Now()
	w.notice = spot(w, "terminate", 1)
	if err := w.agent().Watch(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.isGone()
	if want := []string{fmt.Sprintf("kill -TERM %d", os.Getpid())}; !slices.Equal(killed, want) || w.Now().Sub(began) > lockWait/2 {
		t.Errorf("it ran %q within %s, want %q", killed, w.Now().Sub(began), want)
	}
	// A number that is another program's by now.
	w.write(agentconf.StateDir+"/lock", "1", 0o600)
	f, err := os.Open(filepath.Join(w.root, agentconf.StateDir, "lock"))
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if w.agent().endHolder(context.Background()); len(killed) != 1 {
		t.Errorf("it ran %q", killed)
	}
}

func TestNobodyDeploysToAnInstanceThatHasLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	old := release.ID(w.journal().Build)
	w.notice = spot(w, "terminate", 1)
	if err := w.agent().Watch(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.push("second build")
	starts := w.restarts()
	if err := w.agent().Deploy(context.Background()); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "the instance has left: spot interruption") {
		t.Errorf("deploy: %v", err)
	}
	w.follows(0, 5*time.Minute)
	w.serving(old)
	if w.restarts() != starts {
		t.Error("the app was started again")
	}
}

func TestGoingDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		jobs       string
		notice     Notice
		atPoweroff bool
		leaves     bool
	}{
		{"reboot", "12 reboot.target start waiting", Notice{}, true, false},
		{"power-off", "12 poweroff.target start waiting", Notice{}, false, false},
		{"power-off that means the end", "12 poweroff.target start waiting", Notice{}, true, true},
		{"notice younger than the last look", "", Notice{Target: "Terminated"}, false, true},
		{"service restart", "", Notice{Target: "InService"}, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.conf.Leave.AtPoweroff = c.atPoweroff
			w.boot()
			w.systemctl = func(args []string, out io.Writer) error {
				if args[0] == "list-jobs" {
					_, _ = io.WriteString(out, c.jobs)
				}
				return nil
			}
			ctx, cancel := context.WithCancel(context.Background())
			w.looks = 0
			w.notice = func(n int) (Notice, error) {
				if n == 1 {
					cancel()
					return Notice{}, nil
				}
				return c.notice, nil
			}
			if err := w.agent().Watch(ctx); err != nil {
				t.Fatal(err)
			}
			if left := w.journal().left(); left != c.leaves {
				t.Errorf("left is %v, want %v", left, c.leaves)
			}
		})
	}
}

func TestDrainGetsTheTimeThatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.agent()
	a.conf.Leave.Drain = "/usr/local/bin/drain"
	a.quiesce(context.Background(), parting{by: w.now.Add(leaveReserve)})
	if slices.Contains(w.runs, "drain") {
		t.Error("the drain command was begun although only the time to deregister is left")
	}
}

func TestBlindWatchGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	w.notice = func(n int) (Notice, error) {
		if n < 10 {
			return Notice{}, errors.New("connection refused")
		}
		return Notice{Target: "Terminated"}, nil
	}
	if err := w.agent().Watch(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.isGone()
	if n := strings.Count(strings.Join(w.notes, "\n"), "cannot read the notices"); n != 1 {
		t.Errorf("the outage was noted %d times, want once", n)
	}
}

func TestNoticesAreReadAsEC2WritesThem(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"/latest/meta-data/spot/instance-action":               `{"action": "terminate", "time": "2026-01-02T03:06:05Z"}`,
		"/latest/meta-data/events/recommendations/rebalance":   `{"noticeTime": "2026-01-02T03:04:00Z"}`,
		"/latest/meta-data/autoscaling/target-lifecycle-state": "InService",
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, ok := pages[r.URL.Path]
		switch {
		case r.Method == http.MethodPut:
			rw.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = io.WriteString(rw, "token")
		case !ok:
			rw.WriteHeader(http.StatusNotFound)
		default:
			_, _ = io.WriteString(rw, body)
		}
	}))
	defer server.Close()
	m := NewIMDS(server.URL)
	got, err := m.Notice(context.Background())
	want := Notice{SpotAction: "terminate", SpotAt: time.Date(2026, 1, 2, 3, 6, 5, 0, time.UTC), Rebalance: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Target: "InService"}
	if err != nil || got != want {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
	clear(pages)
	if got, err := m.Notice(context.Background()); err != nil || got != (Notice{}) {
		t.Errorf("nothing is announced: %+v, %v", got, err)
	}
}

func TestWhatANoticeMeans(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]fate{"": stays, "InService": stays, "Detached": stays, "Standby": stays, "Warmed:Stopped": stays, "Warmed:Running": stays, "Terminated": ends, "Warmed:Terminated": ends} {
		if got, _, why := foretell(Notice{Target: target}, agentconf.Leave{}); got != want || (why == "") != (want == stays) {
			t.Errorf("target %q: %v (%s), want %v", target, got, why, want)
		}
	}
}
