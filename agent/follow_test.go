package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// follows runs Follow until the world's clock has passed end.
func (w *world) follows(spread, end time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := w.agent()
	a.deps.Clock = ending{a.deps.Clock, w.Now().Add(end), cancel}
	if err := a.Follow(ctx, spread); err != nil {
		w.t.Errorf("following: %v", err)
	}
}

// ending is a clock that ends the work at a time.
type ending struct {
	Clock
	at  time.Time
	end func()
}

func (e ending) Sleep(ctx context.Context, d time.Duration) error {
	if err := e.Clock.Sleep(ctx, d); err != nil {
		return err
	}
	if !e.Now().Before(e.at) {
		e.end()
	}
	return nil
}

func TestAFollowerDeploysInItsTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.push("first build")
	w.boot()
	second := w.push("second build")
	turn := share(testInstance, string(second), time.Hour)
	if turn < 2*time.Minute {
		t.Fatalf("this instance's turn is after %s: take another build for the test", turn)
	}
	w.follows(time.Hour, turn-time.Minute)
	w.serving(first)
	w.follows(time.Hour, turn+2*time.Minute) // a new process begins its wait anew
	w.serving(second)
	if !slices.ContainsFunc(w.notes, func(n string) bool { return strings.Contains(n, "it is this instance's turn in ") }) {
		t.Errorf("notes %q", w.notes)
	}
}

// Each connection is a handshake, and its credentials are more questions to the
// metadata service: every twenty seconds, for as long as the instance lives.
func TestAFollowerConnectsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	a, connected := w.agent(), 0
	cloud := a.deps.Cloud
	a.deps.Cloud = func(ctx context.Context, region string) (Cloud, error) {
		connected++
		return cloud(ctx, region)
	}
	f := follower{Agent: a}
	for range 5 {
		if err := f.look(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if connected != 1 {
		t.Errorf("it connected %d times, want once", connected)
	}
}

func TestAFollowerObeysAChannelThatWentBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.push("first build")
	w.boot()
	second := w.push("second build")
	a := w.agent()
	f := follower{Agent: a, spread: time.Hour}
	if err := f.look(context.Background()); err != nil || f.build != second {
		t.Fatalf("%v, waits for %q", err, f.build)
	}
	w.promote("production", first)
	w.now = w.now.Add(2 * time.Hour)
	if err := f.look(context.Background()); err != nil || f.build != "" {
		t.Errorf("%v, waits for %q", err, f.build)
	}
	w.serving(first)
}

func TestAFollowerGoesBackFromABadBuildAndGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.push("first build")
	w.boot()
	bad := w.push("second build")
	w.health = func(int) (int, error) { // the world's own answer, but for the bad build
		if strings.Contains(w.read("/srv/web/current/RELEASE"), string(bad)) {
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusOK, nil
	}
	w.follows(0, 5*time.Minute)
	if j := w.journal(); j.Build != string(first) || len(j.Refused) != 1 || j.Refused[0].Build != bad {
		t.Fatalf("it runs %s and refused %v, want %s and %s", release.ID(j.Build).Short(), j.Refused, first.Short(), bad.Short())
	}
	third := w.push("third build")
	w.follows(0, 5*time.Minute)
	w.serving(third)
}

func TestAFollowerWithoutAnAppIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.agent().Follow(context.Background(), -time.Second); fault.KindOf(err) != fault.Usage {
		t.Errorf("a negative spread: %v", err)
	}
	w.conf.App = nil
	if err := w.agent().Follow(context.Background(), time.Minute); fault.KindOf(err) != fault.Usage || errors.Is(err, context.Canceled) {
		t.Errorf("no app: %v", err)
	}
}

func TestTurnsAreSpreadEvenly(t *testing.T) {
	t.Parallel()
	const hosts = 10_000
	var tenths [10]int
	for i := range hosts {
		d := share(fmt.Sprintf("i-%017x", i), "build", 10*time.Minute)
		if d < 0 || d >= 10*time.Minute {
			t.Fatalf("host %d has its turn after %s", i, d)
		}
		tenths[d/time.Minute]++
	}
	for i, n := range tenths {
		if n < hosts/10*85/100 || n > hosts/10*115/100 {
			t.Errorf("minute %d has %d of %d hosts", i, n, hosts)
		}
	}
	if share("i-1", "a", time.Hour) == share("i-1", "b", time.Hour) {
		t.Error("the same instance is the canary of every build")
	}
}
