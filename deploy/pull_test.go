package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
	"bakehouse/release/waves"
)

// pasture is hosts that carry rollouts out by themselves, over a fake S3 whose
// clock goes on while the operator sleeps.
type pasture struct {
	t      *testing.T
	s3     *fakeS3
	p      *Publisher
	now    time.Time
	v1, v2 release.ID
	hosts  []Host
	bad    map[string]string // hosts that fail, and why
	dead   map[string]bool   // say nothing more; with a claim if they took their turn
	stays  map[string]bool   // cannot go back
	wakes  int
	at     func(wake int) // before the hosts look
}

func newPasture(t *testing.T, n int) *pasture {
	t.Helper()
	h := &pasture{t: t, s3: newFakeS3(), now: start(), bad: map[string]string{}, dead: map[string]bool{}, stays: map[string]bool{}}
	h.s3.clock = func() time.Time { return h.now }
	h.s3.page = 3
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.p = publisher(t, client(server.URL), "builds")
	h.p.Now = func() time.Time { return h.now }
	h.v1, h.v2 = mustPush(t, h.p, tree(t, "v1")).ID, mustPush(t, h.p, tree(t, "v2")).ID
	h.promote(h.v1)
	for i := range n {
		h.hosts = append(h.hosts, Host{Instance: fmt.Sprint("i-", i), Addr: "10.0.0.1", Zone: "a"})
	}
	return h
}

// ServeHTTP adds what the fake does not tell: the time.
func (h *pasture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	h.s3.mu.Lock()
	w.Header().Set("Date", h.now.Format(http.TimeFormat))
	if o, there := h.s3.objects[key]; there && r.Method == http.MethodGet {
		w.Header().Set("Last-Modified", o.written.Format(http.TimeFormat))
	}
	h.s3.mu.Unlock()
	h.s3.ServeHTTP(w, r)
}

func (h *pasture) promote(build release.ID) {
	h.t.Helper()
	if _, err := h.p.Promote(context.Background(), Promotion{"web", "production", build, "bob@host"}); err != nil {
		h.t.Fatal(err)
	}
}

// Now and Sleep are the operator's clock; while it sleeps, the hosts work.
func (h *pasture) Now() time.Time { return h.now }

func (h *pasture) Sleep(ctx context.Context, d time.Duration) error {
	h.s3.mu.Lock()
	h.now = h.now.Add(d)
	h.s3.mu.Unlock()
	if h.wakes++; h.at != nil {
		h.at(h.wakes)
	}
	h.work()
	return ctx.Err()
}

// work lets every host look once.
func (h *pasture) work() {
	h.t.Helper()
	c, _, err := h.p.channel(context.Background(), "web", "production")
	if err != nil {
		h.t.Fatal(err)
	}
	if c.Rollout == "" {
		return
	}
	for _, host := range h.hosts {
		h.look(&Rollout{ID: c.Rollout, App: "web", Channel: "production"}, host.Instance)
	}
}

// look is one look of one host: it takes its turn, or goes back.
func (h *pasture) look(r *Rollout, host string) {
	ctx := context.Background()
	o, err := h.p.open(ctx, r)
	if err != nil {
		h.t.Fatal(err)
	}
	stop, _, err := h.p.stopState(ctx, r)
	if err != nil {
		h.t.Fatal(err)
	}
	v, err := h.p.judge(ctx, o)
	if err != nil {
		h.t.Fatal(err)
	}
	if stop.Stopped {
		if _, err := h.p.results(ctx, o, o.Roster.WaveOf(host)); err != nil {
			h.t.Fatal(err)
		}
	}
	_, claimed := o.Seen[host][waves.Claimed]
	_, back := o.Seen[host][waves.Back]
	switch {
	case stop.Stopped && stop.GoBack && claimed && !back && h.stays[host]:
		h.say(o, host, waves.Stuck, "the old build is gone")
	case stop.Stopped && stop.GoBack && claimed && !back && !h.dead[host]:
		h.say(o, host, waves.Back, "")
	case stop.Stopped || v.Of(host).Stand != waves.Turn:
	case h.dead[host]:
		h.say(o, host, waves.Claimed, "")
	case h.bad[host] != "":
		h.say(o, host, waves.Claimed, "")
		h.say(o, host, waves.Failed, h.bad[host])
	default:
		h.say(o, host, waves.Claimed, "")
		h.say(o, host, waves.Done, "")
	}
}

func (h *pasture) say(o *waves.Reading, host string, s waves.State, reason string) {
	body, err := json.Marshal(waves.Result{Format: 1, Rollout: o.Plan.ID, Instance: host, State: s, Reason: reason, Took: time.Second})
	if err == nil {
		err = h.p.write(context.Background(), o.Plan.ResultKey(o.Roster.WaveOf(host), host, s), "", body)
	}
	if err != nil && !strings.Contains(err.Error(), "not what the condition expects") {
		h.t.Error(err)
	}
}

// roll plans a rollout of v2.
func (h *pasture) roll(s Strategy) *Rollout {
	h.t.Helper()
	s.ClaimWithin = 3 * time.Minute
	if s.Canary.N == 0 {
		s.Canary = Amount{N: 1}
	}
	r := planned(h.hosts, s)
	r.Strategy.Parallel, r.Strategy.HostTimeout, r.Pull = 2, time.Minute, true
	r.Build, r.By, r.Started = h.v2, "ann@host", h.now
	if err := h.p.Prepare(context.Background(), r); err != nil {
		h.t.Fatal(err)
	}
	return r
}

// executor watches; what it stores is h.saved.
func (h *pasture) executor(r *Rollout) *Executor {
	store := h.p.NewStore()
	if err := store.Save(context.Background(), r); err != nil {
		h.t.Fatal(err)
	}
	return &Executor{Clock: h, Board: silent{}, Save: store.Save, Pull: Puller{h.p, "ann@host"},
		Back: func(ctx context.Context, r *Rollout) (bool, error) { return h.p.Back(ctx, r, "ann@host") }}
}

// run launches r and watches it to its end.
func (h *pasture) run(r *Rollout) error {
	h.t.Helper()
	x := h.executor(r)
	if err := h.p.Launch(context.Background(), r, "ann@host"); err != nil {
		h.t.Fatal(err)
	}
	return x.Run(context.Background(), r)
}

// live is the channel.
func (h *pasture) live() release.Channel {
	h.t.Helper()
	c, _, err := h.p.channel(context.Background(), "web", "production")
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func TestARolloutThatAgentsCarryOut(t *testing.T) {
	t.Parallel()
	h := newPasture(t, 7)
	signer, err := release.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	h.p.Signer = signer
	for _, dir := range []string{"v1", "v2"} {
		mustPush(t, h.p, tree(t, dir)) // signs what is there
	}
	h.promote(h.v1)
	r := h.roll(Strategy{Pause: 10 * time.Second})
	if err := h.run(r); err != nil || r.Phase != Done || r.Counts()[Deployed] != 7 {
		t.Fatalf("%v, %s, %v", err, r.Phase, r.Counts())
	}
	if c := h.live(); c.Build != h.v2 || c.Rollout != r.ID || c.Previous != h.v1 {
		t.Errorf("channel is %+v", c)
	}
	plan := waves.Plan{App: "web", Channel: "production", ID: r.ID}
	if _, err := (release.Keyring{signer.Public()}).Verify(release.PlanKind, h.s3.objects[plan.PlanKey()].body); err != nil {
		t.Errorf("the plan: %v", err)
	}
	before := len(h.s3.objects)
	if err := h.p.Launch(context.Background(), r, "ann@host"); err != nil || len(h.s3.objects) != before {
		t.Errorf("launched again: %v, %d objects more", err, len(h.s3.objects)-before)
	}
	var page, junit bytes.Buffer
	if err := r.JUnit(&junit); err != nil || !strings.Contains(junit.String(), `tests="7" failures="0" skipped="0"`) || r.HTML(&page) != nil {
		t.Errorf("reports: %v\n%s", err, junit.String())
	}
}

func TestARolloutByPullGoesBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		arrange func(h *pasture)
		s       Strategy
		want    string // in the error
		phase   Phase
		counts  map[HostState]int
		kind    fault.Kind
	}{
		"the canary fails": {func(h *pasture) { h.bad["i-0"] = "GET /: 503\n\x1b[31m" }, Strategy{}, "the canary failed: i-0: GET /: 503 [31m; rolled back to build ",
			RolledBack, map[HostState]int{Restored: 1, Pending: 4}, fault.Check},
		"two fail, one is borne with": {func(h *pasture) { h.bad["i-2"], h.bad["i-3"] = "no", "no" }, Strategy{MaxUnhealthy: Amount{N: 1}},
			"2 of 5 hosts failed, 1 are borne with: first i-2: no; rolled back", RolledBack, map[HostState]int{Restored: 4, Pending: 1}, fault.Check},
		"one is borne with": {func(h *pasture) { h.bad["i-2"] = "no" }, Strategy{MaxUnhealthy: Amount{N: 20, Percent: true}}, "", Done,
			map[HostState]int{Deployed: 4, Failed: 1}, fault.Internal},
		"one dies with its claim": {func(h *pasture) { h.dead["i-1"] = true }, Strategy{}, "first i-1: it took its turn and gave no result within 1m30s; rolled back to build",
			RolledBack, map[HostState]int{Restored: 2, Stuck: 1, Pending: 2}, fault.Leftover},
		"one cannot go back": {func(h *pasture) { h.bad["i-2"], h.stays["i-1"] = "no", true }, Strategy{}, "i-1 (10.0.0.1): the old build is gone",
			RolledBack, map[HostState]int{Restored: 2, Stuck: 1, Pending: 2}, fault.Leftover},
		"without going back": {func(h *pasture) { h.bad["i-0"] = "no" }, Strategy{NoRollback: true}, "the canary failed: i-0: no",
			Stopped, map[HostState]int{Failed: 1, Pending: 4}, fault.Check},
		"not over in time": {func(h *pasture) { h.dead["i-4"] = true }, Strategy{Deadline: 40 * time.Second}, "it is not over within 40s",
			RolledBack, map[HostState]int{Restored: 4, Stuck: 1}, fault.Leftover},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newPasture(t, 5)
			c.arrange(h)
			r := h.roll(c.s)
			err := h.run(r)
			if r.Phase != c.phase || c.want == "" != (err == nil) || c.want != "" && !strings.Contains(fmt.Sprint(err), c.want) || err != nil && fault.KindOf(err) != c.kind {
				t.Errorf("%s, kind %v: %v; want %s and %q", r.Phase, fault.KindOf(err), err, c.phase, c.want)
			}
			if got := r.Counts(); fmt.Sprint(got) != fmt.Sprint(c.counts) {
				t.Errorf("hosts %v, want %v", got, c.counts)
			}
			back := c.phase == RolledBack
			if live := h.live(); (live.Build == h.v1) != back || (live.Rollout == "") != back {
				t.Errorf("channel is %+v", live)
			}
		})
	}
}

func TestAnOperatorThatDiesIsNotMissed(t *testing.T) {
	t.Parallel()
	h := newPasture(t, 5)
	r := h.roll(Strategy{})
	x := h.executor(r)
	if err := h.p.Launch(context.Background(), r, "ann@host"); err != nil {
		t.Fatal(err)
	}
	ctx, die := context.WithCancel(context.Background())
	h.at = func(int) { die() }
	if err := x.Run(ctx, r); err == nil || r.Phase != Rolling {
		t.Fatalf("it was not interrupted: %v, %s", err, r.Phase)
	}
	h.at = nil
	for range 10 {
		_ = h.Sleep(context.Background(), 20*time.Second)
	}
	if err := h.p.UnderWay(context.Background(), "web", "production", "ffffffffffff"); err != nil {
		t.Errorf("its agents are through, and another rollout is refused: %v", err)
	}
	again, store, err := h.p.Load(context.Background(), "web", r.ID)
	if err != nil || again.Counts()[Deployed] != 0 && again.Counts()[Deployed] != 1 {
		t.Fatalf("%v, %v", err, again.Counts())
	}
	x.Save = store.Save
	wakes := h.wakes
	if err := x.Run(context.Background(), again); err != nil || again.Counts()[Deployed] != 5 || h.wakes != wakes {
		t.Errorf("resumed: %v, %v after %d looks", err, again.Counts(), h.wakes-wakes)
	}
}
