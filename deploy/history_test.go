package deploy

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// promote promotes each build in turn, a day apart, from start on.
func promote(t *testing.T, p *Publisher, f *fakeS3, builds ...release.ID) {
	t.Helper()
	now := start()
	p.Now = func() time.Time { return now }
	f.clock = p.Now
	for _, id := range builds {
		if _, err := p.Promote(context.Background(), Promotion{"web", "production", id, "ann@host"}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(24 * time.Hour)
	}
}

func TestHistoryKeepsEveryStateOfAChannel(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	f.page = 2
	var ids []release.ID
	for _, text := range []string{"v1", "v2", "v3", "v4", "v5"} {
		ids = append(ids, mustPush(t, p, tree(t, text)).ID)
	}
	promote(t, p, f, ids...)
	all, err := p.History(context.Background(), "web", "production", 0)
	if err != nil || len(all) != 5 {
		t.Fatalf("history is %+v, %v", all, err)
	}
	for i, c := range all {
		if c.Serial != int64(5-i) || c.Build != ids[4-i] {
			t.Errorf("state %d is serial %d of build %s", i, c.Serial, c.Build.Short())
		}
	}
	few, err := p.History(context.Background(), "web", "production", 2)
	if err != nil || len(few) != 2 || few[0].Serial != 5 || few[1].Serial != 4 {
		t.Errorf("the last two are %+v, %v", few, err)
	}
	if _, err := p.History(context.Background(), "web", "staging", 0); fault.KindOf(err) != fault.Check {
		t.Errorf("a channel without a state: %v", err)
	}
}

func TestRollbackOfARolloutKeepsTheState(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	one, two := mustPush(t, p, tree(t, "v1")).ID, mustPush(t, p, tree(t, "v2")).ID
	promote(t, p, f, one, two)
	ok, err := p.Back(context.Background(), &Rollout{App: "web", Channel: "production", Build: two, Previous: one}, "bob@host")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	all, err := p.History(context.Background(), "web", "production", 0)
	if err != nil || len(all) != 3 || all[0].Build != one || all[1].Build != two || all[0].PromotedBy != "bob@host" {
		t.Errorf("history is %+v, %v", all, err)
	}
}

func TestDamagedHistoryIsNamed(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	promote(t, p, f, mustPush(t, p, tree(t, "v1")).ID, mustPush(t, p, tree(t, "v2")).ID)
	key := release.HistoryKey("web", "production", 1)
	f.objects[key] = object{body: f.objects[release.ChannelKey("web", "production")].body}
	_, err := p.History(context.Background(), "web", "production", 0)
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), key) {
		t.Errorf("a record of another serial: %v", err)
	}
}

// TestPromotionOfABuildThatIsRemovedMeanwhileGoesBack takes the manifest away
// between the look at the build and the swap.
func TestPromotionOfABuildThatIsRemovedMeanwhileGoesBack(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	one, two := mustPush(t, p, tree(t, "v1")).ID, mustPush(t, p, tree(t, "v2")).ID
	promote(t, p, f, one)
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == "PUT" && strings.HasSuffix(r.URL.Path, release.ChannelKey("web", "production")) {
			delete(f.objects, release.ManifestKey("web", two))
		}
		return false
	}
	_, err := p.Promote(context.Background(), Promotion{"web", "production", two, "ann@host"})
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "removed meanwhile") {
		t.Errorf("promoting it: %v", err)
	}
	live, err := p.Show(context.Background(), "web", "production")
	if err != nil || live.Channel.Build != one || live.Channel.Serial != 3 {
		t.Errorf("the channel is %+v, %v; want build 1 with serial 3", live.Channel, err)
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	older := map[string]release.Entry{"same": {Name: "same", SHA256: "1", Size: 1}, "gone": {Name: "gone", Directory: true},
		"mode": {Name: "mode", SHA256: "2"}, "text": {Name: "text", SHA256: "3", Size: 10}, "kind": {Name: "kind", SHA256: "4", Size: 2048}}
	newer := map[string]release.Entry{"same": older["same"], "new": {Name: "new", SHA256: "5", Size: 5, Executable: true},
		"mode": {Name: "mode", SHA256: "2", Executable: true}, "text": {Name: "text", SHA256: "6", Size: 10}, "kind": {Name: "kind", Link: "same"}}
	var got []string
	for _, d := range Differences(older, newer) {
		got = append(got, d.How+" "+d.Name+": "+d.What)
	}
	want := []string{"removed gone: directory", "changed kind: 2.0 KiB -> link to same", "changed mode: now executable",
		"added new: 5 B, executable", "changed text: other content, 10 B"}
	if !slices.Equal(got, want) {
		t.Errorf("differences are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDiffStreamsTwoBuilds(t *testing.T) {
	t.Parallel()
	f, p := serve(t)
	one, two := mustPush(t, p, tree(t, "v1")), mustPush(t, p, tree(t, "v22"))
	c, err := p.Diff(context.Background(), "web", one.ID, two.ID)
	if err != nil || len(c.Diffs) != 1 || c.Diffs[0].How != Changed || c.Diffs[0].New.Size != 3 || c.Old != one || c.New != two {
		t.Errorf("the difference is %+v, %v", c, err)
	}
	if c, err := p.Diff(context.Background(), "web", one.ID, one.ID); err != nil || len(c.Diffs) != 0 {
		t.Errorf("a build and itself: %+v, %v", c, err)
	}
	o := f.objects[release.ArtifactKey("web", two.ID)]
	o.body = append([]byte{1}, o.body[1:]...)
	f.objects[release.ArtifactKey("web", two.ID)] = o
	if _, err := p.Diff(context.Background(), "web", one.ID, two.ID); fault.KindOf(err) != fault.Check {
		t.Errorf("damaged bytes: %v", err)
	}
}
