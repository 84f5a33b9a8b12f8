package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
)

// sleeping looks at the status whenever the agent sleeps.
type sleeping struct {
	*world
	look func(Status)
}

func (s sleeping) Sleep(ctx context.Context, d time.Duration) error {
	s.look(s.status())
	return s.world.Sleep(ctx, d)
}

// whys runs a first boot and gathers what its status says while it waits.
func (w *world) whys() string {
	w.t.Helper()
	var all []string
	a := w.agent()
	a.deps.Clock = sleeping{w, func(st Status) {
		if st.State != AtWork && st.State != Complete {
			w.t.Errorf("while it waits the status is %q", st.State)
		}
		var text bytes.Buffer
		if err := st.Text(&text); err != nil || len(st.Waits) > 0 && !strings.Contains(text.String(), "\nwhy:  "+st.Why+"\n") {
			w.t.Errorf("the status does not say why it waits:\n%s", text.String())
		}
		all = append(all, st.Why)
	}}
	_ = a.FirstBoot(context.Background())
	if left := w.status().Waits; len(left) > 0 {
		w.t.Errorf("nobody is at work, and the status says %v", left)
	}
	return strings.Join(all, "\n")
}

func TestTheStatusSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		set  func(*world)
		want string
	}{
		"clock":    {func(w *world) { w.unset = 3 }, "waiting for the clock to be set since 03:04:05Z, at most until 03:04:35Z"},
		"chef":     {func(w *world) { w.chef.refuse = errors.New("503 busy") }, "waiting for http://chef.test since 03:04:05Z, attempt 2 at 03:04:"},
		"error":    {func(w *world) { w.chef.refuse = errors.New("503 busy") }, "at most until 03:14:05Z; registering: 503 busy"},
		"retries":  {func(w *world) { w.chef.refuse = errors.New("503 busy") }, ", attempt 3 at "},
		"converge": {func(w *world) { w.chefRun = exits(1, 0) }, "waiting for another run of chef-client since"},
		"channel":  {func(w *world) { w.openErr = func(string) error { return errors.New("timed out") } }, "waiting for S3 since"},
		"health":   {func(w *world) { w.health = func(n int) (int, error) { return 200 + 300/n, nil } }, "waiting for web.service to be healthy since"},
		"hook": {func(w *world) { w.conf.Group.LaunchHook, w.groups.err = "ready", errors.New("throttled") },
			"waiting for group web-asg to take CONTINUE for hook ready since"},
	} {
		w := newWorld(t)
		tc.set(w)
		if got := w.whys(); !strings.Contains(got, tc.want) {
			t.Errorf("%s: it says\n%s\nwant %q", name, got, tc.want)
		}
	}
}

func TestTheStatusSaysThatARunWaitsForTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	unlock, err := w.agent().lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	second := w.agent()
	second.deps.Clock = sleeping{w, func(st Status) {
		if len(st.Waits) != 1 || !strings.HasPrefix(st.Why, "waiting for the boot-agent that is at work since") {
			t.Errorf("status says %q, %+v", st.Why, st.Waits)
		}
		cancel()
	}}
	if _, err := second.lock(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the second lock: %v", err)
	}
	unlock()
}

func TestTheStatusSaysWhyNobodyIsAtWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if st := w.status(); !strings.Contains(st.Why, "no boot-agent has run") || st.Next == "" {
		t.Errorf("before: %q, next %q", st.Why, st.Next)
	}
	w.trace = killAt(KeyRecorded)
	_ = w.agent().FirstBoot(context.Background())
	if st := w.status(); st.State != Interrupted || !strings.Contains(st.Why, "not finished") || !strings.Contains(st.Next, "bakehouse-first-boot") {
		t.Errorf("killed: %q, next %q", st.Why, st.Next)
	}
	w = inGroup(t, "Warmed:Stopped")
	w.boot()
	if st := w.status(); st.State != Waiting || !strings.Contains(st.Why, "group web-asg") {
		t.Errorf("in the warm pool: %q", st.Why)
	}
}

// TestNotesOfKilledRunsAreNotShown leaves a note without a lock, as SIGKILL
// does, and one that is no JSON.
func TestNotesOfKilledRunsAreNotShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(agentconf.StateDir+"/wait-killed.json", `{"for":"nothing"}`, 0o644)
	w.write(agentconf.StateDir+"/wait-spoilt.json", `{`, 0o644)
	f, err := os.Open(filepath.Join(w.root, agentconf.StateDir, "wait-spoilt.json"))
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st := w.status(); len(st.Waits) > 0 {
		t.Errorf("shown: %v", st.Waits)
	}
	w.boot()
	if w.read(agentconf.StateDir+"/wait-killed.json") != "" {
		t.Error("the note of a killed run was kept")
	}
}

func TestWaitsAreInTheJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	over := w.agent().waits(Wait{For: "rain", Attempt: 2, Next: w.now.Add(time.Second), Error: "dry"})
	b, err := json.Marshal(w.status())
	over()
	if err != nil || !strings.Contains(string(b), `"waits":[{"for":"rain","since":"2026-01-02T03:04:05Z","next":"2026-01-02T03:04:06Z","attempt":2,"error":"dry"}]`) {
		t.Errorf("status is %s, %v", b, err)
	}
}
