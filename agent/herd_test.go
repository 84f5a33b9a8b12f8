package agent

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"bakehouse/release/waves"
)

// TestAHerdWithItsTroubles lets 24 agents share one bucket: four at once, of whom
// one dies before its turn, one within it, and two are killed in the middle and
// come back.
func TestAHerdWithItsTroubles(t *testing.T) {
	t.Parallel()
	fl := newFleet(t, 24)
	p, r := fl.plan()
	p.AtOnce, p.MaxUnhealthy, p.Pause, p.HostTime, p.ClaimWithin = 4, 2, 5*time.Second, time.Minute, time.Minute
	r.Waves = []waves.Wave{{Name: "canary", Strict: true, Hosts: []string{"i-0"}}, {Name: "wave 1"}, {Name: "wave 2"}}
	for i := 1; i < 24; i++ {
		w := &r.Waves[1+i/13]
		w.Hosts = append(w.Hosts, fmt.Sprint("i-", i))
	}
	fl.hosts[3].dead = true
	for _, i := range []int{7, 9, 15} {
		m := fl.hosts[i]
		m.trace = func(at Point) error {
			if at == Switched {
				m.dead = true
				return errors.New("killed")
			}
			return nil
		}
		fl.restart(m)
	}
	fl.launch(p, r)
	for range 20 {
		fl.runs(20 * time.Second)
		for _, i := range []int{9, 15} { // 7 stays dead
			if m := fl.hosts[i]; m.dead {
				m.dead, m.trace, m.wake = false, nil, fl.now
				fl.restart(m)
			}
		}
	}
	fl.on(fl.v2)
	if s := fl.stopped(); s.Stopped {
		t.Errorf("it was stopped: %s", s.Reason)
	}
	for wave, w := range r.Waves {
		for place, host := range w.Hosts {
			if place < p.AtOnce {
				continue
			}
			ahead := w.Hosts[place-p.AtOnce]
			if began, ended := fl.said(wave, host, waves.Claimed), fl.said(wave, ahead, waves.Done); !began.IsZero() && !ended.IsZero() && began.Before(ended) {
				t.Errorf("%s began at %s, %s of its lane ended at %s", host, began, ahead, ended)
			}
		}
	}
}
