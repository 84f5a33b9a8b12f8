package waves

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zero() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// simulation is a fleet of agents before one S3, second by second. What an agent
// saw may be old when it acts on it.
type simulation struct {
	t      *rapid.T
	p      Plan
	r      Roster
	seen   Seen
	now    time.Time
	agents []*simulated
	began  map[string]time.Time // deploys under way
	late   *Reading             // of one who looks now and then
	next   time.Time
}

type simulated struct {
	host    string
	place   [2]int // wave, and place in it
	wake    time.Time
	act     func() // what it is about to do with what it saw
	takes   time.Duration
	fails   bool
	crash   string // where it dies: "", before, claimed, deploying
	settled bool
	dead    bool
}

func newSimulation(t *rapid.T) *simulation {
	s := &simulation{t: t, seen: Seen{}, now: zero(), began: map[string]time.Time{}}
	s.p = Plan{AtOnce: rapid.IntRange(1, 4).Draw(t, "at once"), MaxUnhealthy: rapid.IntRange(0, 3).Draw(t, "max unhealthy"),
		Pause: seconds(t, "pause", 0, 40), HostTime: seconds(t, "host time", 20, 60), ClaimWithin: 60 * time.Second}
	for i := range rapid.IntRange(0, 4).Draw(t, "waves") {
		w := Wave{Name: fmt.Sprint("wave ", i), Strict: i == 0 && rapid.Bool().Draw(t, "canary")}
		for place := range rapid.IntRange(0, 6).Draw(t, "hosts") {
			host := fmt.Sprintf("i-%d%d", i, place)
			w.Hosts = append(w.Hosts, host)
			s.agents = append(s.agents, &simulated{host: host, place: [2]int{i, place}, wake: s.now.Add(seconds(t, "first look", 0, 10)),
				takes: seconds(t, "takes", 1, 70), fails: rapid.IntRange(0, 9).Draw(t, "fails") == 0,
				crash: rapid.SampledFrom([]string{"", "", "", "", "", "", "before", "claimed", "deploying"}).Draw(t, "crash")})
		}
		s.r.Waves = append(s.r.Waves, w)
	}
	if _, err := s.p.Seal(s.r); err != nil {
		t.Fatal(err)
	}
	s.p.Limit = Worst(s.p, s.r)
	s.late, s.next = &Reading{Plan: s.p, Roster: s.r, Since: s.now, Seen: Seen{}, Now: s.now}, s.now
	return s
}

// read has somebody look who looks seldom and wave by wave, and must come to
// the verdict of one who knows all.
func (s *simulation) read(want Verdict) {
	if s.now.Before(s.next) && !want.Over && want.Stop == "" {
		return
	}
	s.next = s.now.Add(seconds(s.t, "away", 1, 300))
	got, err := s.late.Judge(func(i int) (time.Time, error) {
		for _, host := range s.r.Waves[i].Hosts {
			for state, at := range s.seen[host] {
				s.late.Seen.Add(host, state, at)
			}
		}
		return s.now, nil
	})
	if err != nil || got.Stop != want.Stop || got.Over != want.Over {
		s.t.Fatalf("wave by wave: stop %q, over %v (%v); want %q, %v", got.Stop, got.Over, err, want.Stop, want.Over)
	}
	for _, a := range s.agents {
		if got.Of(a.host) != want.Of(a.host) {
			s.t.Fatalf("wave by wave %s is %+v, want %+v", a.host, got.Of(a.host), want.Of(a.host))
		}
	}
}

func seconds(t *rapid.T, what string, low, high int) time.Duration {
	return time.Duration(rapid.IntRange(low, high).Draw(t, what)) * time.Second
}

// look is one agent's turn: it judges, and acts a little later.
func (s *simulation) look(a *simulated) {
	if a.act != nil {
		act := a.act
		a.act = nil
		act()
		return
	}
	v := Judge(s.p, s.r, zero(), s.seen, s.now)
	a.wake = s.now.Add(7 * time.Second)
	switch {
	case v.Of(a.host).Stand == Turn && a.crash == "before":
		a.dead = true
	case v.Of(a.host).Stand == Turn:
		a.wake = s.now.Add(seconds(s.t, "delay", 0, 5))
		a.act = func() { s.claim(a) }
	}
}

// claim writes the claim, and begins only where a fresh look confirms it.
func (s *simulation) claim(a *simulated) {
	s.seen.Add(a.host, Claimed, s.now)
	v := Judge(s.p, s.r, zero(), s.seen, s.now)
	if a.crash == "claimed" {
		a.dead = true
		return
	}
	if v.Of(a.host).Stand != UnderWay || v.Stop != "" {
		a.dead = true
		return
	}
	s.checkOrder(a)
	s.began[a.host] = s.now
	if a.crash == "deploying" {
		a.dead = true // and what it did goes on to its lapse, for all we know
		return
	}
	took := min(a.takes, s.p.HostTime)
	a.wake = s.now.Add(took)
	a.act = func() {
		state := Done
		if a.fails || a.takes > s.p.HostTime {
			state = Failed
		}
		s.seen.Add(a.host, state, s.now)
		delete(s.began, a.host)
		a.settled = true
		a.wake = s.now.Add(time.Hour)
	}
}

// checkOrder fails when a begins although an earlier wave has not settled, has
// broken a rule, or its pause is not over.
func (s *simulation) checkOrder(a *simulated) {
	fell := 0
	for _, o := range s.agents {
		if o.place[0] >= a.place[0] {
			continue
		}
		said := s.seen[o.host]
		_, done := said[Done]
		_, failed := said[Failed]
		if failed || !done {
			fell++
		}
		if !done && !failed && !o.dead && s.now.Sub(said[Claimed]) < s.p.HostTime+Grace {
			s.t.Fatalf("%s began while %s of an earlier wave was under way", a.host, o.host)
		}
		if strict := s.r.Waves[o.place[0]].Strict; strict && !done {
			s.t.Fatalf("%s began although the canary %s failed", a.host, o.host)
		}
		if end, ok := said[Done]; ok && s.now.Before(end.Add(s.p.Pause)) {
			s.t.Fatalf("%s began %s after %s, within the pause of %s", a.host, s.now.Sub(end), o.host, s.p.Pause)
		}
	}
	if fell > s.p.MaxUnhealthy {
		s.t.Fatalf("%s began although %d hosts had failed, and %d are borne with", a.host, fell, s.p.MaxUnhealthy)
	}
}

// run goes on until the rollout has ended, which it must.
func (s *simulation) run() Verdict {
	for end := s.now.Add(s.p.Limit + time.Minute); s.now.Before(end); s.now = s.now.Add(time.Second) {
		for _, a := range s.agents {
			if !a.dead && !s.now.Before(a.wake) {
				s.look(a)
			}
		}
		for host, at := range s.began {
			if s.now.Sub(at) >= s.p.HostTime+Grace {
				delete(s.began, host)
			}
		}
		if len(s.began) > s.p.AtOnce {
			s.t.Fatalf("%d hosts at once, want at most %d", len(s.began), s.p.AtOnce)
		}
		v := Judge(s.p, s.r, zero(), s.seen, s.now)
		if s.read(v); v.Over || v.Stop != "" {
			return v
		}
	}
	s.t.Fatalf("it has not ended after %s", s.p.Limit)
	return Verdict{}
}

// TestEverySchedule: no more at once than the plan allows, nobody past a wave
// that failed, and an end, whatever dies and however late it looks.
func TestEverySchedule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newSimulation(t)
		v := s.run()
		if v.Over && v.Stop != "" || strings.HasPrefix(v.Stop, "it is not over within") {
			t.Fatalf("it is over and stopped, or takes longer than at worst: %+v", v)
		}
		for _, a := range s.agents {
			if v.Over && !a.settled && !a.dead {
				t.Fatalf("it is over, and %s never had its turn", a.host)
			}
		}
		later := Judge(s.p, s.r, zero(), s.seen, s.now.Add(time.Hour))
		for host, st := range v.Hosts {
			if (st.Stand == Passed || st.Stand == Fell) && later.Of(host) != st {
				t.Fatalf("%s was %+v and is %+v an hour later", host, st, later.Of(host))
			}
		}
	})
}

// plan is of two waves: a strict one of a, and one of b, c and d, two at once.
func plan() (Plan, Roster) {
	r := Roster{Waves: []Wave{{"canary", true, []string{"i-a"}}, {"wave 1", false, []string{"i-b", "i-c", "i-d"}}}}
	p := Plan{AtOnce: 2, MaxUnhealthy: 1, Pause: time.Minute, HostTime: 5 * time.Minute, ClaimWithin: 3 * time.Minute, Limit: time.Hour, Hosts: 4}
	return p, r
}

func TestJudge(t *testing.T) {
	t.Parallel()
	type said struct {
		host  string
		state State
		at    time.Duration
	}
	for name, c := range map[string]struct {
		said []said
		at   time.Duration
		want string // stands of a, b, c, d, and the stop
	}{
		"it begins":                        {nil, 0, "turn waiting waiting waiting "},
		"the last moment of a turn":        {nil, 175*time.Second - 1, "turn waiting waiting waiting "},
		"beyond it":                        {nil, 175 * time.Second, "waiting waiting waiting waiting "},
		"a claim of the last moment":       {[]said{{"i-a", Claimed, 179 * time.Second}}, 179 * time.Second, "under way waiting waiting waiting "},
		"the canary is under way":          {[]said{{"i-a", Claimed, 1}}, time.Minute, "under way waiting waiting waiting "},
		"the pause after it":               {[]said{{"i-a", Claimed, 1}, {"i-a", Done, time.Minute}}, 119 * time.Second, "passed waiting waiting waiting "},
		"two of the next, by their places": {[]said{{"i-a", Claimed, 1}, {"i-a", Done, time.Minute}}, 2 * time.Minute, "passed turn turn waiting "},
		"the third follows the first": {[]said{{"i-a", Claimed, 1}, {"i-a", Done, time.Minute}, {"i-b", Claimed, 2 * time.Minute}, {"i-b", Done, 3 * time.Minute}},
			3 * time.Minute, "passed passed turn turn "},
		"the canary failed":      {[]said{{"i-a", Claimed, 1}, {"i-a", Failed, 9}}, time.Minute, "fell waiting waiting waiting the canary failed: i-a"},
		"the canary never began": {nil, 3 * time.Minute, "fell waiting waiting waiting the canary failed: i-a: it did not take its turn within 3m0s: does boot-agent follow run there?"},
		"the canary went silent": {[]said{{"i-a", Claimed, 0}}, 330 * time.Second, "fell waiting waiting waiting the canary failed: i-a: it took its turn and gave no result within 5m30s"},
		"a result that came too late does not count": {[]said{{"i-a", Claimed, 0}, {"i-a", Done, 331 * time.Second}}, time.Hour - 1,
			"fell waiting waiting waiting the canary failed: i-a: it took its turn and gave no result within 5m30s"},
		"a claim that came too late does not either": {[]said{{"i-a", Claimed, 181 * time.Second}, {"i-a", Done, 190 * time.Second}}, 200 * time.Second,
			"fell waiting waiting waiting the canary failed: i-a: it did not take its turn within 3m0s: does boot-agent follow run there?"},
		"a claim that was lost": {[]said{{"i-a", Done, time.Minute}}, 2 * time.Minute, "passed turn turn waiting "},
		"one failure is borne with": {[]said{{"i-a", Claimed, 1}, {"i-a", Done, time.Minute}, {"i-b", Claimed, 2 * time.Minute}, {"i-b", Failed, 3 * time.Minute}},
			3 * time.Minute, "passed fell turn turn "},
		"two are not": {[]said{{"i-a", Claimed, 1}, {"i-a", Done, time.Minute}, {"i-b", Claimed, 2 * time.Minute}, {"i-b", Failed, 3 * time.Minute}, {"i-c", Claimed, 2 * time.Minute}, {"i-c", Failed, 3 * time.Minute}},
			3 * time.Minute, "passed fell fell waiting 2 of 4 hosts failed, 1 are borne with: first i-b"},
		"two that say nothing": {[]said{{"i-a", Claimed, 1}, {"i-a", Done, time.Minute}, {"i-b", Claimed, 2 * time.Minute}}, 450 * time.Second,
			"passed fell fell waiting 2 of 4 hosts failed, 1 are borne with: first i-b: it took its turn and gave no result within 5m30s"},
	} {
		p, r := plan()
		seen := Seen{}
		for _, s := range c.said {
			seen.Add(s.host, s.state, zero().Add(s.at))
		}
		v := Judge(p, r, zero(), seen, zero().Add(c.at))
		got := ""
		for _, h := range []string{"i-a", "i-b", "i-c", "i-d"} {
			got += string(v.Of(h).Stand) + " "
		}
		if got += v.Stop; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	p, r := plan()
	p.Limit = time.Minute
	if v := Judge(p, r, zero(), Seen{}, zero().Add(time.Minute)); v.Stop != "it is not over within 1m0s" || v.Of("i-a").Stand != Waiting {
		t.Errorf("beyond the plan's limit: %+v", v)
	}
}

func TestKeysAreReadBack(t *testing.T) {
	t.Parallel()
	p := Plan{App: "web", Channel: "production", ID: "0123456789ab"}
	key := p.ResultKey(3, "i-0abc", Failed)
	if want := "web/pull/production/0123456789ab/results/0003/i-0abc.failed.json"; key != want || !strings.HasPrefix(key, p.WavePrefix(3)) {
		t.Errorf("key is %s, want %s", key, want)
	}
	if i, s, ok := ParseResultKey(key); i != "i-0abc" || s != Failed || !ok {
		t.Errorf("read back: %s %s %v", i, s, ok)
	}
	for _, bad := range []string{"", "i-1.json", "i-1.better.json", "i-1.done", "i_1.done.json", ".done.json", "i-1.done.json.json"} {
		if i, s, ok := ParseResultKey("x/" + bad); ok {
			t.Errorf("%q is read as %s %s", bad, i, s)
		}
	}
}
