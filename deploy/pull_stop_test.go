package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
	"bakehouse/release/waves"
)

// bell is a watched gate that goes off at a look.
type bell struct{ left int }

func (b *bell) Watched() bool { return true }
func (b *bell) Ask(context.Context, *Rollout, string) (string, error) {
	if b.left--; b.left < 0 {
		return "alarm errors went off", nil
	}
	return "", nil
}

func TestAGateStopsWhatAgentsDo(t *testing.T) {
	t.Parallel()
	h := newPasture(t, 9)
	r := h.roll(Strategy{Pause: time.Minute})
	x := h.executor(r)
	x.Gates = []Gate{&bell{left: 3}}
	if err := h.p.Launch(context.Background(), r, "ann@host"); err != nil {
		t.Fatal(err)
	}
	err := x.Run(context.Background(), r)
	if r.Phase != RolledBack || !strings.HasPrefix(r.Reason, "after wave 1: alarm errors went off") || r.Counts()[Deployed] != 0 || r.Counts()[Pending] == 0 || h.live().Build != h.v1 {
		t.Errorf("%v, %s, %v", err, r.Phase, r.Counts())
	}
}

func TestAnAbortTakesAgentsBack(t *testing.T) {
	t.Parallel()
	h := newPasture(t, 5)
	r := h.roll(Strategy{Pause: time.Minute})
	x := h.executor(r)
	if err := h.p.Launch(context.Background(), r, "ann@host"); err != nil {
		t.Fatal(err)
	}
	h.work() // the canary goes
	r.Phase, r.Reason = RollingBack, "stopped by ann@host"
	err := x.Run(context.Background(), r)
	if r.Phase != RolledBack || r.Counts()[Restored] != 1 || r.Counts()[Pending] != 4 || fault.KindOf(err) != fault.Check || h.live().Build != h.v1 {
		t.Errorf("%v, %s, %v", err, r.Phase, r.Counts())
	}
	if s, _, err := h.p.stopState(context.Background(), r); err != nil || !s.Stopped || s.Reason != "stopped by ann@host" {
		t.Errorf("state %+v, %v", s, err)
	}
}

// An agent's stop is taken for what it is, and the channel put back.
func TestAStopOfAnAgentIsFollowed(t *testing.T) {
	t.Parallel()
	h := newPasture(t, 5)
	r := h.roll(Strategy{Pause: time.Minute})
	h.at = func(wake int) {
		if wake == 2 {
			if _, err := h.p.stop(context.Background(), r, "i-3 says so", "i-3"); err != nil {
				t.Error(err)
			}
		}
	}
	if err := h.run(r); r.Phase != RolledBack || r.Reason != "i-3 says so" || h.live().Build != h.v1 {
		t.Errorf("%v, %s, %q", err, r.Phase, r.Reason)
	}
	// Of two who stop it, the first one's reason stays.
	if s, err := h.p.stop(context.Background(), r, "another", "ann@host"); err != nil || s.Reason != "i-3 says so" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAChannelThatIsPromotedMeanwhileEndsTheRollout(t *testing.T) {
	t.Parallel()
	h := newPasture(t, 5)
	third := mustPush(t, h.p, tree(t, "v3")).ID
	r := h.roll(Strategy{})
	h.at = func(wake int) {
		if wake == 1 {
			h.promote(third)
		}
	}
	err := h.run(r)
	if c := h.live(); r.Phase != Stopped || !strings.Contains(err.Error(), "was promoted to build "+third.Short()+" by bob@host meanwhile") || c.Build != third || c.Rollout != "" {
		t.Errorf("%v, %s, channel %+v", err, r.Phase, c)
	}
	// An abort afterwards waits for nobody and changes nothing.
	r.Phase, r.Reason, h.wakes = RollingBack, "stopped by ann@host", 0
	if err := h.executorOf(r).Run(context.Background(), r); r.Phase != Stopped || h.live().Build != third || h.wakes != 0 {
		t.Errorf("%v, %s, %d looks", err, r.Phase, h.wakes)
	}
}

// executorOf goes on with a stored rollout.
func (h *pasture) executorOf(r *Rollout) *Executor {
	h.t.Helper()
	_, store, err := h.p.Load(context.Background(), r.App, r.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	return &Executor{Clock: h, Board: silent{}, Save: store.Save, Pull: Puller{h.p, "ann@host"},
		Back: func(ctx context.Context, r *Rollout) (bool, error) { return h.p.Back(ctx, r, "ann@host") }}
}

func TestASecondRolloutWaitsForTheAgents(t *testing.T) {
	t.Parallel()
	h, ctx := newPasture(t, 3), context.Background()
	r := h.roll(Strategy{})
	h.executor(r)
	if err := h.p.Launch(ctx, r, "ann@host"); err != nil {
		t.Fatal(err)
	}
	err := h.p.UnderWay(ctx, "web", "production", "ffffffffffff")
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "agents carry out rollout "+r.ID+" of ann@host") || !strings.Contains(fault.NextOf(err), "--resume "+r.ID) {
		t.Errorf("%v, next %q", err, fault.NextOf(err))
	}
	if err := h.p.UnderWay(ctx, "web", "production", r.ID); err != nil {
		t.Errorf("its own: %v", err)
	}
	delete(h.s3.objects, stateKey("web", r.ID))
	if err := h.p.UnderWay(ctx, "web", "production", "ffffffffffff"); err != nil {
		t.Errorf("one that nobody can go on with: %v", err)
	}
}

func TestALaunchThatCannotBeChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, c := range map[string]struct {
		arrange func(h *pasture, r *Rollout)
		want    string
	}{
		"somebody was faster": {func(h *pasture, r *Rollout) {
			h.p.Now = func() time.Time { // between reading and writing
				h.p.Now = func() time.Time { return h.now }
				h.promote(mustPush(h.t, h.p, tree(h.t, "v3")).ID)
				return h.now
			}
		}, "bob@host was faster: build "},
		"a third build": {func(h *pasture, _ *Rollout) { h.promote(mustPush(h.t, h.p, tree(h.t, "v3")).ID) }, "it was promoted to build "},
		"no artefact": {func(h *pasture, r *Rollout) { delete(h.s3.objects, release.ArtifactKey("web", r.Build)) },
			"there is no artefact at s3://builds/web/builds/"},
		"an operator died": {func(h *pasture, r *Rollout) {
			h.s3.objects[waves.Plan{App: "web", Channel: "production", ID: r.ID}.PlanKey()] = object{body: []byte("{}")}
		}, "an operator died while planning it"},
		"a host with no id": {func(_ *pasture, r *Rollout) { r.Waves[0].Hosts[0].Instance = "../x" }, `"../x" is no instance id`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newPasture(t, 3)
			r := h.roll(Strategy{})
			c.arrange(h, r)
			before := h.live()
			err := h.p.Launch(ctx, r, "ann@host")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if now := h.live(); now.Rollout != "" || name != "somebody was faster" && now != before {
				t.Errorf("channel is %+v", now)
			}
		})
	}
}

// A rollout of what is live already names what was before it, and not itself.
func TestALaunchOfTheLiveBuildKeepsWhatWasBefore(t *testing.T) {
	t.Parallel()
	h := newPasture(t, 2)
	h.promote(h.v2)
	r := h.roll(Strategy{})
	if err := h.run(r); err != nil || h.live().Previous != h.v1 || h.live().Rollout != r.ID {
		t.Errorf("%v, channel %+v", err, h.live())
	}
}

// A bucket whose rollout was damaged is told by name.
func TestWhatIsDamagedIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key  func(r *Rollout) string
		body string
	}{
		"plan":      {func(r *Rollout) string { return waves.Plan{App: "web", Channel: "production", ID: r.ID}.PlanKey() }, "{"},
		"roster":    {func(r *Rollout) string { return waves.Plan{App: "web", Channel: "production", ID: r.ID}.RosterKey() }, "{}"},
		"state":     {func(r *Rollout) string { return waves.StateKey("web", "production", r.ID) }, `{"format":9}`},
		"no plan":   {func(r *Rollout) string { return waves.Plan{App: "web", Channel: "production", ID: r.ID}.PlanKey() }, ""},
		"no roster": {func(r *Rollout) string { return waves.Plan{App: "web", Channel: "production", ID: r.ID}.RosterKey() }, ""},
		"no state":  {func(r *Rollout) string { return waves.StateKey("web", "production", r.ID) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newPasture(t, 2)
			r := h.roll(Strategy{})
			x := h.executor(r)
			if err := h.p.Launch(context.Background(), r, "ann@host"); err != nil {
				t.Fatal(err)
			}
			if h.s3.objects[c.key(r)] = (object{body: []byte(c.body), written: h.now}); c.body == "" {
				delete(h.s3.objects, c.key(r))
			}
			err := x.Run(context.Background(), r)
			if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "s3://builds/"+c.key(r)) || r.Phase != Rolling {
				t.Errorf("%v, %s", err, r.Phase)
			}
		})
	}
}

func TestAPlanOf10000Hosts(t *testing.T) {
	t.Parallel()
	_, hosts := newFleet(10_000)
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Wave: Amount{N: 10, Percent: true}, MaxUnhealthy: Amount{N: 1, Percent: true}, ClaimWithin: 3 * time.Minute})
	r.Strategy.Parallel = 50
	p, roster := PlanPull(r, start())
	list, err := p.Seal(roster)
	if err != nil || p.Hosts != 10_000 || p.MaxUnhealthy != 100 || !roster.Waves[0].Strict || len(roster.Waves) != 11 || len(list) > 300_000 {
		t.Errorf("%v, %+v, %d waves, %d bytes", err, p, len(roster.Waves), len(list))
	}
	if body, err := json.Marshal(p); err != nil || len(body) > 4096 {
		t.Errorf("KMS signs 4096 bytes at most: %d, %v", len(body), errors.Join(err))
	}
}
