package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
	"bakehouse/release/waves"
)

func nextOf(err error) string { return fault.NextOf(err) }

const testRollout = "0123456789ab"

// fleet is hosts whose followers share a bucket. Their looks come one after the
// other, in the order of a clock that is the fleet's.
type fleet struct {
	t      *testing.T
	bucket *bucket
	now    time.Time
	hosts  []*member
	signer *release.Signer
	v1, v2 release.ID
	bad    map[release.ID]bool // builds that are not healthy anywhere
	busy   *member             // whose look it is
}

// member is one host and its follower.
type member struct {
	*world
	f    *follower
	wake time.Time
	skew time.Duration // of its clock
	dead bool
}

// newFleet has n hosts on v1, and v2 in the bucket.
func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	fl := &fleet{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), signer: testSigner(), bad: map[release.ID]bool{}}
	fl.bucket = newBucket(t, fl.clock)
	first := fl.member("i-0")
	fl.v1 = first.push("first build")
	fl.take(first)
	for i := range n {
		fl.boot(fmt.Sprint("i-", i))
	}
	fl.v2 = first.push("second build")
	first.promote("production", fl.v1) // serial goes on, the channel stays
	fl.take(first)
	return fl
}

// clock is S3's.
func (fl *fleet) clock() time.Time {
	if fl.busy == nil {
		return fl.now
	}
	return fl.busy.Now().Add(-fl.busy.skew)
}

// member makes a machine that has not booted.
func (fl *fleet) member(id string) *member {
	m := &member{world: newWorld(fl.t), wake: fl.now}
	m.id.InstanceID, m.now = id, fl.now
	m.health = func(int) (int, error) {
		if fl.bad[release.ID(strings.TrimSpace(m.read("/srv/web/current/RELEASE")))] {
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusOK, nil
	}
	return m
}

// take copies what a world pushed into the bucket.
func (fl *fleet) take(m *member) {
	for key, body := range m.store {
		fl.bucket.put(strings.TrimPrefix(key, "s3://builds/"), body)
	}
}

// boot launches a host; its first boot reads the bucket as it is now.
func (fl *fleet) boot(id string) *member {
	fl.t.Helper()
	m := fl.member(id)
	if err := fl.process(m).FirstBoot(context.Background()); err != nil {
		fl.t.Fatalf("%s: %v\n%s", id, err, strings.Join(m.notes, "\n"))
	}
	fl.restart(m)
	fl.hosts = append(fl.hosts, m)
	return m
}

// process makes an agent of m that uses the bucket.
func (fl *fleet) process(m *member) *Agent {
	a := m.agent()
	a.deps.Cloud = func(context.Context, string) (Cloud, error) {
		c := fl.bucket.client()
		return Cloud{Secrets: m, Store: c, Papers: c, Groups: &m.groups, Stacks: &m.groups}, nil
	}
	return a
}

// restart makes a new process of the follower.
func (fl *fleet) restart(m *member) {
	m.f = &follower{Agent: fl.process(m), spread: time.Minute}
}

// plan is one of a canary and waves of two.
func (fl *fleet) plan() (waves.Plan, waves.Roster) {
	p := waves.Plan{ID: testRollout, App: "web", Channel: "production", Build: fl.v2, Previous: fl.v1, GoBack: true, By: "ann@host", At: fl.now,
		AtOnce: 2, Pause: 10 * time.Second, HostTime: 5 * time.Minute, ClaimWithin: 3 * time.Minute, Limit: time.Hour}
	r := waves.Roster{Waves: []waves.Wave{{Name: "canary", Strict: true, Hosts: []string{"i-0"}}}}
	for i := 1; i < len(fl.hosts); i += 2 {
		w := waves.Wave{Name: fmt.Sprint("wave ", i/2+1)}
		for _, m := range fl.hosts[i:min(i+2, len(fl.hosts))] {
			w.Hosts = append(w.Hosts, m.id.InstanceID)
		}
		r.Waves = append(r.Waves, w)
	}
	return p, r
}

// launch writes a rollout as an operator does: the channel names it last.
func (fl *fleet) launch(p waves.Plan, r waves.Roster) {
	fl.t.Helper()
	c, err := release.ParseChannel(fl.bucket.objects[release.ChannelKey("web", "production")].body)
	if err != nil {
		fl.t.Fatal(err)
	}
	next := c.Next(p.Build, fl.now, "ann@host")
	next.Rollout, next.Previous = p.ID, p.Previous
	if p.Serial == 0 {
		p.Serial = next.Serial
	}
	roster, err := p.Seal(r)
	if err != nil {
		fl.t.Fatal(err)
	}
	doc, err := p.Marshal()
	if err != nil {
		fl.t.Fatal(err)
	}
	if doc, err = fl.signer.Sign(release.PlanKind, doc); err != nil {
		fl.t.Fatal(err)
	}
	state, err := json.Marshal(waves.NewStop(p))
	if err != nil {
		fl.t.Fatal(err)
	}
	fl.bucket.put(p.PlanKey(), doc)
	fl.bucket.put(p.RosterKey(), roster)
	fl.bucket.put(waves.StateKey("web", "production", p.ID), state)
	fl.channel(next)
}

// channel writes the channel.
func (fl *fleet) channel(c release.Channel) {
	fl.t.Helper()
	b, err := c.Marshal()
	if err == nil {
		b, err = testSigner().Sign(release.ChannelKind, b)
	}
	if err != nil {
		fl.t.Fatal(err)
	}
	fl.bucket.put(release.ChannelKey("web", "production"), b)
}

// look has a host look once.
func (fl *fleet) look(m *member) {
	m.now = fl.now.Add(m.skew)
	fl.busy = m
	if err := m.f.look(context.Background()); err != nil {
		m.f.tell(err.Error())
	}
	m.wake = m.now.Add(-m.skew).Add(m.f.next + share(m.id.InstanceID, "poll", m.f.next/2))
	fl.busy = nil
}

// runs lets time pass.
func (fl *fleet) runs(d time.Duration) {
	for end := fl.now.Add(d); ; {
		var first *member
		for _, m := range fl.hosts {
			if !m.dead && (first == nil || m.wake.Before(first.wake)) {
				first = m
			}
		}
		if first == nil || first.wake.After(end) {
			fl.now = end
			return
		}
		if first.wake.After(fl.now) {
			fl.now = first.wake
		}
		fl.look(first)
	}
}

// on fails the test unless every host that lives runs build.
func (fl *fleet) on(build release.ID) {
	fl.t.Helper()
	for _, m := range fl.hosts {
		if got := strings.TrimSpace(m.read("/srv/web/current/RELEASE")); !m.dead && got != string(build) {
			fl.t.Errorf("%s runs %s, want %s; it noted\n%s", m.id.InstanceID, release.ID(got).Short(), build.Short(), strings.Join(m.notes, "\n"))
		}
	}
}

// stopped reads the rollout's state.
func (fl *fleet) stopped() waves.Stop {
	fl.t.Helper()
	s, err := waves.ParseStop(fl.bucket.objects[waves.StateKey("web", "production", testRollout)].body, testRollout)
	if err != nil {
		fl.t.Fatal(err)
	}
	return s
}

// said is when a host said a state; zero: it did not.
func (fl *fleet) said(wave int, host string, s waves.State) time.Time {
	p := waves.Plan{ID: testRollout, App: "web", Channel: "production"}
	return fl.bucket.objects[p.ResultKey(wave, host, s)].at
}
