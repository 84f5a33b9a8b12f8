package deploy

import (
	"context"
	"errors"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestWhatADeadOperatorTouchedGoesBackThoughTheResumedWaveStopsBeforeIt(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(4)
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Wave: Amount{N: 3}})
	r.Waves[0].Hosts[0].State, f.runs["i-00"] = Deployed, newBuild
	for i := range r.Waves[1].Hosts { // the operator was killed here: one has the build by now
		r.Waves[1].Hosts[i].State = Begun
	}
	f.runs["i-02"], f.bad["i-01"] = newBuild, true
	if err := f.executor().Run(context.Background(), r); fault.KindOf(err) != fault.Check || r.Phase != RolledBack {
		t.Fatalf("ended %s with %v", r.Phase, err)
	}
	for id, build := range f.runs {
		if build != oldBuild {
			t.Errorf("%s still runs %s after the way back; went %v", id, build, f.order)
		}
	}
}

func TestTouchedHostsGoBackThoughNobodyCanListNewcomers(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(4)
	f.bad["i-01"] = true
	r := planned(hosts, Strategy{Canary: Amount{N: 1}})
	x := f.executor()
	x.Late = func(context.Context) ([]Host, error) {
		return nil, fault.New(fault.Chef, "", errors.New("the Chef server is down"))
	}
	err := x.Run(context.Background(), r)
	if fault.KindOf(err) != fault.Leftover || !strings.Contains(err.Error(), "the Chef server is down") || !strings.Contains(fault.NextOf(err), "--resume "+r.ID) {
		t.Errorf("ended with %v, next %q", err, fault.NextOf(err))
	}
	if r.Phase != RollingBack || f.runs["i-00"] != oldBuild || f.channel != oldBuild {
		t.Errorf("phase %s, the canary runs %s, the channel is on %s", r.Phase, f.runs["i-00"], f.channel)
	}
	x.Late, f.order = func(context.Context) ([]Host, error) { return append(hosts, Host{Instance: "i-new"}), nil }, nil
	if err := x.Run(context.Background(), r); fault.KindOf(err) != fault.Check || r.Phase != RolledBack || strings.Join(f.order, " ") != "i-new" {
		t.Errorf("resumed: %v, phase %s, went %v", err, r.Phase, f.order)
	}
}
