package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

const (
	oldBuild = release.ID("aa")
	newBuild = release.ID("bb")
)

// fleet is hosts, a channel and a clock in memory.
type fleet struct {
	mu      sync.Mutex
	channel release.ID
	runs    map[string]release.ID // by instance
	bad     map[string]bool       // refuse newBuild
	broken  map[string]bool       // refuse everything
	order   []string
	now     time.Time
	slept   []time.Duration
	saved   []byte
	late    []Host
	at      func(id string) // called at each deploy
}

func newFleet(n int) (*fleet, []Host) {
	f := &fleet{channel: newBuild, runs: map[string]release.ID{}, bad: map[string]bool{}, broken: map[string]bool{}, now: start()}
	var hosts []Host
	for i := range n {
		hosts = append(hosts, Host{Instance: fmt.Sprintf("i-%02d", i), Addr: "10.0.0.1", Zone: string(rune('a' + i*3/n))})
		f.runs[hosts[i].Instance] = oldBuild
	}
	return f, hosts
}

func (f *fleet) Now() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.now }

func (f *fleet) Sleep(ctx context.Context, d time.Duration) error {
	f.slept = append(f.slept, d)
	return ctx.Err()
}

func (f *fleet) Deploy(ctx context.Context, h Host) (release.ID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.order = append(f.order, h.Instance)
	f.now = f.now.Add(time.Second)
	if f.at != nil {
		f.at(h.Instance)
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case f.broken[h.Instance], f.bad[h.Instance] && f.channel == newBuild:
		return "", errors.New("not healthy after 60s")
	}
	f.runs[h.Instance] = f.channel
	return f.channel, nil
}

// silent hears nothing.
type silent struct{}

func (silent) StepStarted(string)                    {}
func (silent) StepProgress(string, string)           {}
func (silent) StepLog(string, string)                {}
func (silent) StepDone(string, time.Duration, error) {}
func (silent) Info(string)                           {}

// rollout plans n hosts and carries the plan out on f.
func (f *fleet) executor() *Executor {
	return &Executor{Engine: f, Clock: f, Board: silent{},
		Back: func(_ context.Context, r *Rollout) (bool, error) {
			if f.channel != r.Build && f.channel != r.Previous {
				return false, nil
			}
			f.channel = r.Previous
			return true, nil
		},
		Late: func(context.Context) ([]Host, error) { return f.late, nil },
		Save: func(_ context.Context, r *Rollout) (err error) { f.saved, err = json.Marshal(r); return err },
	}
}

func planned(hosts []Host, s Strategy) *Rollout {
	if s.Wave.N == 0 {
		s.Wave = Amount{N: 2}
	}
	s.Parallel, s.HostTimeout = max(1, s.Parallel), time.Minute
	return &Rollout{Format: 1, ID: "0123456789ab", App: "web", Channel: "production", Build: newBuild, Previous: oldBuild, Phase: Rolling,
		Strategy: s, Waves: PlanWaves(hosts, s)}
}

func TestPlanWaves(t *testing.T) {
	t.Parallel()
	_, hosts := newFleet(9) // three zones of three
	for _, c := range []struct {
		s    Strategy
		want string
	}{
		{Strategy{Wave: Amount{N: 4}}, "wave 1:4 wave 2:4 wave 3:1"},
		{Strategy{Canary: Amount{N: 1}, Wave: Amount{N: 50, Percent: true}}, "canary:1 wave 1:5 wave 2:3"},
		{Strategy{Canary: Amount{N: 1}, Wave: Amount{N: 4}, PerZone: true}, "canary:1 wave 1:2 wave 2:3 wave 3:3"},
		{Strategy{Canary: Amount{N: 10, Percent: true}, Wave: Amount{N: 1, Percent: true}, PerZone: true}, "canary:1 wave 1:1 wave 2:1 wave 3:1 wave 4:1 wave 5:1 wave 6:1 wave 7:1 wave 8:1"},
		{Strategy{Canary: Amount{N: 99}, Wave: Amount{N: 1}}, "canary:9"},
	} {
		var got []string
		seen := 0
		for _, w := range PlanWaves(hosts, c.s) {
			got, seen = append(got, fmt.Sprintf("%s:%d", w.Name, len(w.Hosts))), seen+len(w.Hosts)
		}
		if text := strings.Join(got, " "); text != c.want || seen != len(hosts) {
			t.Errorf("%+v: %s, want %s", c.s, text, c.want)
		}
	}
	if w := PlanWaves(nil, Strategy{Canary: Amount{N: 1}, Wave: Amount{N: 1}}); len(w) != 0 {
		t.Errorf("no hosts make waves %v", w)
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]int{"3": {3, 3}, "10%": {0, 1}, "50%": {3, 4}, "100%": {7, 7}, "0": {0, 0}, "99": {7, 7}} {
		a, err := ParseAmount(text)
		if err != nil || a.AtMost(7) != want[0] || a.AtLeast(7) != want[1] || a.String() != text {
			t.Errorf("%s of 7 is %d to %d (%v), want %v", text, a.AtMost(7), a.AtLeast(7), err, want)
		}
	}
	for _, text := range []string{"", "%", "-1", "101%", "1.5", "all"} {
		if _, err := ParseAmount(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestARolloutReachesAllAndThoseThatCameMeanwhile(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(6)
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Pause: time.Minute})
	f.late = append(hosts, Host{Instance: "i-new"})
	if err := f.executor().Run(context.Background(), r); err != nil || r.Phase != Done || r.Counts()[Deployed] != 7 {
		t.Fatalf("ended %s with %v: %v", r.Phase, err, r.Counts())
	}
	if got := strings.Join(f.order, " "); got != "i-00 i-01 i-02 i-03 i-04 i-05 i-new" {
		t.Errorf("went %s", got)
	}
	if len(f.slept) != 3 || f.slept[0] != time.Minute {
		t.Errorf("paused %v, want a minute before each of 3 waves", f.slept)
	}
}

func TestAFailedCanaryGoesBack(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(6)
	f.bad["i-00"] = true
	f.late = append(hosts, Host{Instance: "i-new"}) // it booted with the bad build
	r := planned(hosts, Strategy{Canary: Amount{N: 1}})
	err := f.executor().Run(context.Background(), r)
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "the canary failed: i-00 (10.0.0.1): not healthy after 60s; rolled back to build aa") {
		t.Errorf("ended with %v", err)
	}
	if got := strings.Join(f.order, " "); got != "i-00 i-00 i-new" || f.channel != oldBuild || r.Phase != RolledBack {
		t.Errorf("went %s, channel %s, phase %s", got, f.channel, r.Phase)
	}
	var b strings.Builder
	if err := r.JUnit(&b); err != nil || !strings.Contains(b.String(), `tests="7" failures="1" skipped="6"`) || !strings.Contains(b.String(), "restored: not healthy after 60s") {
		t.Errorf("JUnit: %v\n%s", err, b.String())
	}
	n := r.Counts()
	if n[Restored] != 2 || n[Pending] != 5 || r.Waves[0].Hosts[0].Problem == "" {
		t.Errorf("states %v, canary %+v", n, r.Waves[0].Hosts[0])
	}
}

func TestUnhealthyHostsAreBorneWithUpToTheBound(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(10)
	f.bad["i-02"] = true
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, MaxUnhealthy: Amount{N: 10, Percent: true}})
	if err := f.executor().Run(context.Background(), r); err != nil || r.Counts()[Failed] != 1 || r.Counts()[Deployed] != 9 {
		t.Errorf("one of ten: %v, %v", err, r.Counts())
	}
	f, hosts = newFleet(10)
	f.bad["i-02"], f.bad["i-03"], f.broken["i-01"] = true, true, true
	r = planned(hosts, Strategy{MaxUnhealthy: Amount{N: 1}, Wave: Amount{N: 10}})
	err := f.executor().Run(context.Background(), r)
	if fault.KindOf(err) != fault.Leftover || !strings.Contains(err.Error(), "but not on 1 of the hosts:\n  i-01") {
		t.Errorf("ended with %v", err)
	}
	if n := r.Counts(); n[Stuck] != 1 || n[Restored] != 2 || n[Pending] != 7 {
		t.Errorf("states %v: the stop rule must hold within a wave, too", n)
	}
}

func TestWhereThereIsNoWayBack(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*fleet, *Rollout){
		"asked for":    func(_ *fleet, r *Rollout) { r.Strategy.NoRollback = true },
		"first build":  func(_ *fleet, r *Rollout) { r.Previous = "" },
		"another's":    func(f *fleet, _ *Rollout) { f.at = func(string) { f.channel = "cc" } },
		"wrong answer": func(f *fleet, r *Rollout) { f.channel, f.bad = "cc", nil },
	} {
		f, hosts := newFleet(4)
		f.bad["i-00"] = true
		r := planned(hosts, Strategy{Canary: Amount{N: 1}})
		spoil(f, r)
		if err := f.executor().Run(context.Background(), r); fault.KindOf(err) != fault.Check || r.Phase != Stopped || len(f.order) != 1 || f.channel == oldBuild {
			t.Errorf("%s: %v, phase %s, went %v, channel %s", name, err, r.Phase, f.order, f.channel)
		}
	}
}

func TestAKilledRolloutIsResumed(t *testing.T) {
	t.Parallel()
	for _, bad := range []bool{false, true} {
		f, hosts := newFleet(7)
		f.bad["i-04"] = bad
		r := planned(hosts, Strategy{Canary: Amount{N: 1}})
		ctx, cancel := context.WithCancelCause(context.Background())
		f.at = func(id string) {
			if id == "i-04" {
				cancel(errors.New("ctrl-c"))
			}
		}
		if err := f.executor().Run(ctx, r); err == nil || !strings.Contains(err.Error(), "ctrl-c") || r.Phase != Rolling {
			t.Fatalf("interrupted: %v, phase %s", err, r.Phase)
		}
		next := &Rollout{}
		if err := json.Unmarshal(f.saved, next); err != nil {
			t.Fatal(err)
		}
		f.order, f.at = nil, nil
		err := f.executor().Run(context.Background(), next)
		want := map[bool]string{false: "i-04 i-05 i-06", true: "i-04 i-00 i-01 i-02 i-03 i-04"}[bad]
		if got := strings.Join(f.order, " "); got != want || bad != (err != nil) {
			t.Errorf("bad %t: resumed went %s (%v), want %s", bad, got, err, want)
		}
	}
}
