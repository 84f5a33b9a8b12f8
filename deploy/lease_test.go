package deploy

import (
	"context"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

func TestOneOperatorRollsAChannelAtATime(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newFakeS3())
	defer server.Close()
	p, ctx := publisher(t, client(server.URL), "builds"), context.Background()
	ann, err := p.Acquire(ctx, "web", "production", "aaaaaaaaaaaa", "ann@one")
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Acquire(ctx, "web", "production", "bbbbbbbbbbbb", "bob@two")
	var held *LeaseHeld
	if !errors.As(err, &held) || fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "rollout aaaaaaaaaaaa of ann@one has it since 2026-03-04T05:06:07Z") {
		t.Errorf("the second operator got %v", err)
	}
	if _, err := p.Acquire(ctx, "web", "staging", "bbbbbbbbbbbb", "bob@two"); err != nil {
		t.Errorf("another channel: %v", err)
	}
	dead := *p
	dead.Now = func() time.Time { return start().Add(LeaseTime) }
	bob, err := dead.Acquire(ctx, "web", "production", "bbbbbbbbbbbb", "bob@two")
	if err != nil {
		t.Fatalf("a lease that ran out: %v", err)
	}
	if err := ann.renew(ctx); !errors.Is(err, errTaken) {
		t.Errorf("renewing a lost lease: %v", err)
	}
	if err := errors.Join(ann.Release(ctx), bob.Release(ctx), bob.Release(ctx)); err != nil {
		t.Errorf("releasing: %v", err)
	}
	if _, err := dead.Acquire(ctx, "web", "production", "cccccccccccc", "eve@three"); err != nil {
		t.Errorf("a released lease: %v", err)
	}
}

func TestAHeldLeaseEndsWithItsRelease(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newFakeS3())
	defer server.Close()
	p := publisher(t, client(server.URL), "builds")
	l, err := p.Acquire(context.Background(), "web", "production", "aaaaaaaaaaaa", "ann@one")
	if err != nil {
		t.Fatal(err)
	}
	held := l.Hold(context.Background())
	if err := l.Release(context.Background()); err != nil {
		t.Fatal(err)
	}
	<-held.Done()
}

func TestTheStateOutlivesItsOperator(t *testing.T) {
	t.Parallel()
	f := newFakeS3()
	server := httptest.NewServer(f)
	defer server.Close()
	p, ctx := publisher(t, client(server.URL), "builds"), context.Background()
	_, hosts := newFleet(3)
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Wave: Amount{50, true}})
	first := p.NewStore()
	f.lost = stateKey("web", r.ID) // the first write's reply does not arrive
	for range 2 {
		if err := first.Save(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	got, second, err := p.Load(ctx, "web", r.ID)
	if err != nil || !reflect.DeepEqual(got.Strategy, r.Strategy) || len(got.Waves) != 2 || got.Waves[1].Hosts[0].Host.Instance != "i-01" {
		t.Fatalf("read %+v, %v", got, err)
	}
	got.Reason = "x"
	if err := second.Save(ctx, got); err != nil {
		t.Fatal(err)
	}
	if err := first.Save(ctx, r); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "somebody else went on with it") {
		t.Errorf("the operator before writes on: %v", err)
	}
	for id, kind := range map[string]fault.Kind{"../channels/x": fault.Usage, "0123456789ac": fault.Check} {
		if _, _, err := p.Load(ctx, "web", id); fault.KindOf(err) != kind {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestTheChannelGoesBackOnlyFromTheRolloutsOwnBuild(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newFakeS3())
	defer server.Close()
	p, ctx := publisher(t, client(server.URL), "builds"), context.Background()
	var ids []release.ID
	for _, text := range []string{"v1", "v2", "v3"} {
		ids = append(ids, mustPush(t, p, tree(t, text)).ID)
		if _, err := p.Promote(ctx, Promotion{App: "web", Channel: "production", Build: ids[len(ids)-1]}); err != nil {
			t.Fatal(err)
		}
	}
	live := func() release.ID {
		l, err := p.Show(ctx, "web", "production")
		if err != nil {
			t.Fatal(err)
		}
		return l.Channel.Build
	}
	if ours, err := p.Back(ctx, &Rollout{App: "web", Channel: "production", Build: ids[1], Previous: ids[0]}, "ann"); ours || err != nil || live() != ids[2] {
		t.Errorf("a channel at a third build: %t, %v, live %s", ours, err, live())
	}
	for range 2 { // again changes nothing
		ours, err := p.Back(ctx, &Rollout{App: "web", Channel: "production", Build: ids[2], Previous: ids[1]}, "ann")
		l, _ := p.Show(ctx, "web", "production")
		if !ours || err != nil || l.Channel.Build != ids[1] || l.Channel.Serial != 4 || l.Channel.PromotedBy != "ann" {
			t.Errorf("%t, %v, channel %+v", ours, err, l.Channel)
		}
	}
}
