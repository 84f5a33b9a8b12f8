package agent

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"bakehouse/release"
	"bakehouse/release/waves"
)

func TestAFleetGoesInWavesByItself(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 6)
	fl.hosts[1].skew, fl.hosts[2].skew = time.Hour, -time.Hour // S3's clock alone counts
	p, r := fl.plan()
	fl.launch(p, r)
	fl.runs(4 * time.Minute)
	fl.on(fl.v2)
	for wave := 1; wave < len(r.Waves); wave++ {
		for _, before := range r.Waves[wave-1].Hosts {
			for _, host := range r.Waves[wave].Hosts {
				if began, ended := fl.said(wave, host, waves.Claimed), fl.said(wave-1, before, waves.Done); began.Before(ended.Add(p.Pause)) {
					t.Errorf("%s began at %s, %s of the wave before ended at %s", host, began, before, ended)
				}
			}
		}
	}
	// From now on nothing is new: a look is two answers without a body.
	before := len(fl.bucket.calls)
	fl.runs(2 * time.Minute)
	for _, call := range fl.bucket.calls[before:] {
		if !strings.HasSuffix(call, " 304") {
			t.Errorf("a look at nothing new asked for %s", call)
		}
	}
	if n := len(fl.bucket.calls) - before; n > 6*2*6 {
		t.Errorf("%d requests of 6 hosts in 2 minutes", n)
	}
	// It can be aborted all the same.
	stop := waves.NewStop(p)
	stop.Stopped, stop.Reason = true, "stopped by ann@host"
	body, err := json.Marshal(stop)
	if err != nil {
		t.Fatal(err)
	}
	fl.bucket.put(waves.StateKey("web", "production", p.ID), body)
	fl.runs(time.Minute)
	fl.on(fl.v1)
}

func TestABadBuildStopsAtTheCanaryAndIsLeft(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 4)
	fl.bad[fl.v2] = true
	fl.launch(fl.plan())
	fl.runs(5 * time.Minute)
	fl.on(fl.v1)
	if s := fl.stopped(); !s.Stopped || !strings.Contains(s.Reason, "the canary failed: i-0: build "+fl.v2.Short()) || !strings.Contains(s.Reason, "503") {
		t.Errorf("state is %+v", s)
	}
	if fl.said(1, "i-1", waves.Claimed) != (time.Time{}) || fl.said(0, "i-0", waves.Back).IsZero() {
		t.Errorf("calls %q", fl.bucket.calls)
	}
	// The channel still names the bad build: nobody here may change it.
	late := fl.boot("i-9")
	fl.runs(2 * time.Minute)
	fl.on(fl.v1)
	if got := late.journal().Build; got != string(fl.v1) {
		t.Errorf("the newborn runs %s", got)
	}
}

func TestAFailureInALaterWaveTakesAllBack(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]bool{"back": true, "as it is": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fl := newFleet(t, 5)
			p, r := fl.plan()
			p.GoBack = back
			ill := fl.hosts[2]
			healthy := ill.health
			ill.health = func(n int) (int, error) {
				if strings.Contains(ill.read("/srv/web/current/RELEASE"), string(fl.v2)) {
					return http.StatusBadGateway, nil
				}
				return healthy(n)
			}
			fl.launch(p, r)
			late := fl.boot("i-9") // in time to boot with the new build
			fl.runs(8 * time.Minute)
			if s := fl.stopped(); !s.Stopped || !strings.HasPrefix(s.Reason, "1 of 5 hosts failed, 0 are borne with: first i-2: build ") {
				t.Errorf("state is %+v", s)
			}
			if fl.said(2, "i-3", waves.Claimed) != (time.Time{}) {
				t.Error("the next wave began")
			}
			want := fl.v1
			if !back {
				want = fl.v2
			}
			for _, m := range []*member{fl.hosts[0], late} {
				if got := m.journal().Build; got != string(want) {
					t.Errorf("%s runs %s, want %s\n%s", m.id.InstanceID, got, want, strings.Join(m.notes, "\n"))
				}
			}
			if back == fl.said(0, "i-0", waves.Back).IsZero() {
				t.Errorf("it is told that i-0 went back: %v", !back)
			}
		})
	}
}

func TestAHostThatDiesIsBorneWithOrStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		borne int
		claim bool // it dies after it took its turn
		want  string
	}{
		"borne with":    {1, false, ""},
		"before":        {0, false, "first i-2: it did not take its turn within 3m0s"},
		"in the middle": {0, true, "first i-2: it took its turn and gave no result within 5m30s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fl := newFleet(t, 5)
			p, r := fl.plan()
			p.MaxUnhealthy = c.borne
			fl.launch(p, r)
			if victim := fl.hosts[2]; c.claim {
				victim.trace = func(at Point) error {
					if at == Switched {
						victim.dead = true
						return errors.New("the machine is gone")
					}
					return nil
				}
				fl.restart(victim)
			} else {
				victim.dead = true
			}
			fl.runs(20 * time.Minute)
			s := fl.stopped()
			if c.want == "" {
				fl.on(fl.v2)
			} else {
				fl.on(fl.v1)
			}
			if s.Stopped != (c.want != "") || !strings.Contains(s.Reason, c.want) {
				t.Errorf("state is %+v, want %q", s, c.want)
			}
		})
	}
}

func TestAnAgentThatWasKilledGoesOn(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 2)
	fl.launch(fl.plan())
	m := fl.hosts[0]
	m.trace = func(at Point) error {
		if at == Switched {
			m.dead = true
			return errors.New("killed")
		}
		return nil
	}
	fl.restart(m)
	fl.runs(30 * time.Second)
	if fl.said(0, "i-0", waves.Claimed).IsZero() || !fl.said(0, "i-0", waves.Done).IsZero() {
		t.Fatalf("it was not killed in the middle: %q", fl.bucket.calls)
	}
	m.dead, m.trace = false, nil
	fl.restart(m)
	fl.runs(4 * time.Minute)
	fl.on(fl.v2)
}

func TestAPlanThatIsNotTheChannelsIsNotObeyed(t *testing.T) {
	t.Parallel()
	stranger, err := release.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		spoil func(fl *fleet, p *waves.Plan)
		after func(fl *fleet)
		want  string
	}{
		"forged":                {func(fl *fleet, _ *waves.Plan) { fl.signer = stranger }, nil, "its plan: it is signed by an unknown key"},
		"of an older promotion": {func(_ *fleet, p *waves.Plan) { p.Serial = 2 }, nil, "its plan is another one's"},
		"another build's":       {nil, func(fl *fleet) { fl.edit("plan.json", string(fl.v2), string(fl.v1)) }, "does not match: it was changed"},
		"with another roster":   {nil, func(fl *fleet) { fl.edit("roster.json", "i-0", "i-1") }, "it is not the one of the plan"},
		"lost":                  {nil, func(fl *fleet) { delete(fl.bucket.objects, "web/pull/production/"+testRollout+"/plan.json") }, "no such object"},
		"without its state":     {nil, func(fl *fleet) { delete(fl.bucket.objects, "web/pull/production/"+testRollout+"/state.json") }, "no such object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fl := newFleet(t, 2)
			p, r := fl.plan()
			if c.spoil != nil {
				c.spoil(fl, &p)
			}
			fl.launch(p, r)
			if c.after != nil {
				c.after(fl)
			}
			fl.runs(5 * time.Minute)
			fl.on(fl.v1)
			for _, m := range fl.hosts {
				if !strings.Contains(strings.Join(m.notes, "\n"), c.want) {
					t.Errorf("%s notes\n%s\nwant %q", m.id.InstanceID, strings.Join(m.notes, "\n"), c.want)
				}
			}
		})
	}
}

// edit changes a document of the rollout in the bucket.
func (fl *fleet) edit(name, old, new string) {
	key := "web/pull/production/" + testRollout + "/" + name
	fl.bucket.put(key, []byte(strings.Replace(string(fl.bucket.objects[key].body), old, new, 1)))
}

func TestAnOlderChannelWithItsRolloutIsAReplay(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 2)
	p, r := fl.plan()
	fl.launch(p, r)
	old := fl.bucket.objects[release.ChannelKey("web", "production")].body
	fl.runs(4 * time.Minute)
	c, err := release.ParseChannel(old)
	if err != nil {
		t.Fatal(err)
	}
	fl.channel(c.Next(fl.v1, fl.now, "ann@host"))
	fl.runs(4 * time.Minute)
	fl.on(fl.v1)
	fl.bucket.put(release.ChannelKey("web", "production"), old)
	fl.runs(4 * time.Minute)
	fl.on(fl.v1)
	if notes := strings.Join(fl.hosts[1].notes, "\n"); !strings.Contains(notes, "an old channel was put back") {
		t.Errorf("notes\n%s", notes)
	}
}

func TestS3InTroubleDelaysARollout(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 4)
	fl.launch(fl.plan())
	dice := rand.New(rand.NewPCG(1, 2))
	fl.bucket.trouble = func(out http.ResponseWriter, r *http.Request) bool {
		if n := dice.IntN(6); n < 1 || n < 3 && r.Method == http.MethodPut {
			refuseS3(out, http.StatusServiceUnavailable, "SlowDown")
			return true
		}
		return false
	}
	fl.runs(15 * time.Minute)
	fl.on(fl.v2)
	if s := fl.stopped(); s.Stopped {
		t.Errorf("state is %+v", s)
	}
}

func TestAResultThatWasLostIsSaidAgain(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 3)
	fl.launch(fl.plan())
	p, _ := fl.plan()
	key, lost := p.ResultKey(1, "i-1", waves.Done), false
	fl.hosts[2].dead = true // the wave stays open
	for range 60 {
		fl.runs(3 * time.Second)
		if _, there := fl.bucket.objects[key]; there && !lost {
			delete(fl.bucket.objects, key)
			lost = true
		}
	}
	if _, there := fl.bucket.objects[key]; !lost || !there {
		t.Errorf("lost %v, said again %v", lost, there)
	}
}

func TestADeployThatTakesTooLongFails(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 2)
	p, r := fl.plan()
	p.HostTime = time.Nanosecond
	fl.launch(p, r)
	fl.runs(5 * time.Minute)
	fl.on(fl.v1)
	if s := fl.stopped(); !strings.Contains(s.Reason, "the canary failed: i-0: no end within 1ns") {
		t.Errorf("state is %+v", s)
	}
}

func TestAHostThatIsInNoWaveComesAfter(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 3)
	p, r := fl.plan()
	r.Waves[1].Hosts = r.Waves[1].Hosts[:1] // i-2 was not chosen
	fl.launch(p, r)
	fl.runs(6 * time.Minute)
	fl.on(fl.v2)
	notes := strings.Join(fl.hosts[2].notes, "\n")
	if through, turn := strings.Index(notes, "is through"), strings.Index(notes, "it is this instance's turn in"); through < 0 || turn < through {
		t.Errorf("it did not wait for the end:\n%s", notes)
	}
}
