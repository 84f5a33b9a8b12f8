package deploy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

const day = 24 * time.Hour

// verdicts renders a plan: a line each build, named by names.
func verdicts(g GarbagePlan, names map[release.ID]string) (out []string) {
	for _, v := range g.Remove {
		out = append(out, "remove "+names[v.Build]+": "+strings.Join(v.Reasons, "; "))
	}
	for _, v := range g.Keep {
		out = append(out, "keep "+names[v.Build]+": "+strings.Join(v.Reasons, "; "))
	}
	return out
}

// fiveBuilds pushes v1 to v5 at start and promotes them a day apart.
func fiveBuilds(t *testing.T) (*fakeS3, *Publisher, []release.ID, map[release.ID]string) {
	t.Helper()
	f, p := serve(t)
	var ids []release.ID
	names := map[release.ID]string{}
	for _, text := range []string{"v1", "v2", "v3", "v4", "v5"} {
		id := mustPush(t, p, tree(t, text)).ID
		ids, names[id] = append(ids, id), text
	}
	promote(t, p, f, ids...)
	return f, p, ids, names
}

func TestPlanGarbageKeepsWhatIsNeeded(t *testing.T) {
	t.Parallel()
	f, p, ids, names := fiveBuilds(t)
	f.page = 3
	store := p.NewStore()
	rollout := &Rollout{Format: rolloutFormat, ID: NewRolloutID(), App: "web", Channel: "beta", Build: ids[0], Phase: Rolling,
		Strategy: Strategy{Wave: Amount{N: 1}, Parallel: 1, HostTimeout: time.Second}}
	// five days and an hour after the first promotion; v5 is live since a day
	p.Now = func() time.Time { return start().Add(5*day + time.Hour) }
	f.clock = p.Now
	plan := func(within time.Duration, hosts Running) []string {
		g, err := p.PlanGarbage(context.Background(), "web", within, hosts)
		if err != nil {
			t.Fatal(err)
		}
		got := verdicts(g, names)
		slices.Sort(got)
		return got
	}
	got := plan(2*day, nil)
	const old = ": pushed 2026-03-04, on no channel within 2 days, on no host and in no rollout"
	want := []string{"keep v4: what a rollback of production goes back to; live on production until 2026-03-08", "keep v5: live on production",
		"remove v1" + old, "remove v2" + old, "remove v3" + old}
	if !slices.Equal(got, want) {
		t.Errorf("the plan is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := store.Save(context.Background(), rollout); err != nil {
		t.Fatal(err)
	}
	got = plan(time.Hour, func(context.Context) ([]Reference, error) { return []Reference{{ids[1], "i-1 runs it"}}, nil })
	for _, line := range []string{"keep v1: rollout " + rollout.ID + " is not finished", "keep v2: i-1 runs it"} {
		if !slices.Contains(got, line) {
			t.Errorf("the plan lacks %q:\n%s", line, strings.Join(got, "\n"))
		}
	}
	if got := plan(30*day, nil); len(got) != 5 || slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "remove") }) {
		t.Errorf("young builds go:\n%s", strings.Join(got, "\n"))
	}
	if _, err := p.PlanGarbage(context.Background(), "web", day, func(context.Context) ([]Reference, error) { return nil, errors.New("no Chef") }); err == nil {
		t.Error("a plan without the hosts' word")
	}
}

func TestCollectRemovesWhatThePlanSays(t *testing.T) {
	t.Parallel()
	f, p, ids, _ := fiveBuilds(t)
	p.Now = func() time.Time { return start().Add(6 * day) }
	g, err := p.PlanGarbage(context.Background(), "web", 2*day, nil)
	if err != nil {
		t.Fatal(err)
	}
	if g.Empty() || g.Bytes() <= 0 {
		t.Fatalf("the plan is %+v", g)
	}
	done, err := p.Collect(context.Background(), g)
	if err != nil || len(done.Removed) != len(g.Remove) || len(done.Spared) != 0 {
		t.Fatalf("removed %+v, %v", done, err)
	}
	for i, id := range ids {
		_, artifact := f.objects[release.ArtifactKey("web", id)]
		_, manifest := f.objects[release.ManifestKey("web", id)]
		if want := !slices.Contains(done.Removed, id); artifact != want || manifest != want {
			t.Errorf("v%d: artefact %v, manifest %v, want both %v", i+1, artifact, manifest, want)
		}
	}
	if again, err := p.PlanGarbage(context.Background(), "web", 2*day, nil); err != nil || !again.Empty() {
		t.Errorf("a second plan is %+v, %v", again, err)
	}
}

// TestCollectSparesWhatIsPromotedMeanwhile promotes an old build once its
// manifest is gone; the promotion had read it before.
func TestCollectSparesWhatIsPromotedMeanwhile(t *testing.T) {
	t.Parallel()
	f, p, ids, _ := fiveBuilds(t)
	p.Now = func() time.Time { return start().Add(6 * day) }
	g, err := p.PlanGarbage(context.Background(), "web", 2*day, nil)
	if err != nil {
		t.Fatal(err)
	}
	key := release.ChannelKey("web", "production")
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == "DELETE" && strings.HasSuffix(r.URL.Path, release.ManifestKey("web", ids[0])) {
			now, err := release.ParseChannel(f.objects[key].body)
			if err != nil {
				t.Error(err)
			}
			body, err := now.Next(ids[0], start(), "bob@host").Marshal()
			if err != nil {
				t.Error(err)
			}
			f.objects[key] = object{body: body}
		}
		return false
	}
	done, err := p.Collect(context.Background(), g)
	if err != nil || !slices.Equal(done.Spared, ids[:1]) || slices.Contains(done.Removed, ids[0]) {
		t.Errorf("collected %+v, %v; want v1 spared", done, err)
	}
	if err := whole(f, ids[0]); err != nil {
		t.Error(err)
	}
}

// whole says what of a build is missing.
func whole(f *fakeS3, id release.ID) error {
	for _, key := range []string{release.ArtifactKey("web", id), release.ManifestKey("web", id)} {
		if _, ok := f.objects[key]; !ok {
			return errors.New("there is no " + key)
		}
	}
	return nil
}

func TestCollectThatFailsLosesNothingThatIsLive(t *testing.T) {
	t.Parallel()
	f, p, ids, _ := fiveBuilds(t)
	p.Now = func() time.Time { return start().Add(6 * day) }
	g, err := p.PlanGarbage(context.Background(), "web", 2*day, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == "DELETE" && strings.HasSuffix(r.URL.Path, release.ManifestKey("web", ids[1])) {
			refuse(w, 403, "AccessDenied", "no")
			return true
		}
		return false
	}
	_, err = p.Collect(context.Background(), g)
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "s3:DeleteObject") || strings.Contains(err.Error(), "\n") {
		t.Errorf("a refused deletion: %v, next %q", err, fault.NextOf(err))
	}
	for _, id := range ids[3:] {
		if err := whole(f, id); err != nil {
			t.Error(err)
		}
	}
	f.before = nil
	g, err = p.PlanGarbage(context.Background(), "web", 2*day, nil)
	if err != nil {
		t.Fatal(err)
	}
	if done, err := p.Collect(context.Background(), g); err != nil || len(done.Removed) != 3 {
		t.Errorf("the next run: %+v, %v", done, err)
	}
}
