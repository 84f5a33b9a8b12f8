package main

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"bakehouse/deploy"
	"bakehouse/release"
)

// threeBuilds pushes three builds and promotes them on staging in turn.
func threeBuilds(t *testing.T) (b *bench, ids []string) {
	t.Helper()
	b = newBench()
	for _, text := range []string{"v1", "v22", "v3"} {
		ids = append(ids, strings.TrimSpace(b.ok(t, "push", tree(t, text), "--app", "web", "--channel", "staging")))
	}
	return b, ids
}

func TestHistoryListsEveryBuildThatWasLive(t *testing.T) {
	t.Parallel()
	b, ids := threeBuilds(t)
	want := "SERIAL  BUILD         PROMOTED                          LIVE FOR\n"
	for i, serial := range []string{"3", "2", "1"} {
		lived := "0 seconds"
		if i == 0 {
			lived = "live since 0 seconds"
		}
		want += serial + "       " + ids[2-i][:12] + "  2026-03-04T05:06:07Z by ann@host  " + lived + "\n"
	}
	if out := b.ok(t, "history", "--app", "web"); out != want {
		t.Errorf("history printed\n%swant\n%s", out, want)
	}
	var past []pastState
	if err := json.Unmarshal([]byte(b.ok(t, "history", "--app", "web", "-n", "2", "-o", "json")), &past); err != nil ||
		len(past) != 2 || past[0].Until != nil || past[1].Until == nil || string(past[1].Build) != ids[1] {
		t.Errorf("JSON: %v, %+v", err, past)
	}
	for args, code := range map[string]int{"history --app web --channel none": 4, "history --app web --limit -1": 2, "history --app web extra": 2} {
		if got, _, errs := b.run(strings.Fields(args)...); got != code {
			t.Errorf("%s: code %d, want %d: %s", args, got, code, errs)
		}
	}
}

func TestDiffComparesWithWhatIsLive(t *testing.T) {
	t.Parallel()
	b, ids := threeBuilds(t)
	out := b.ok(t, "diff", ids[1][:8], "--app", "web")
	for _, part := range []string{"old      " + ids[2][:12], "new      " + ids[1][:12], "changed  web           2 B, executable -> 3 B, executable"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	if out := b.ok(t, "diff", ids[0], ids[0], "--app", "web", "--exit-code"); !strings.Contains(out, "no file differs") {
		t.Errorf("a build and itself:\n%s", out)
	}
	if code, _, errs := b.run("diff", ids[0], ids[1], "--app", "web", "--exit-code"); code != 10 || !strings.Contains(errs, "differ") {
		t.Errorf("--exit-code: %d, %s", code, errs)
	}
	var c deploy.Comparison
	if err := json.Unmarshal([]byte(b.ok(t, "diff", ids[0], ids[1], "--app", "web", "-o", "json")), &c); err != nil || len(c.Diffs) != 1 || c.Diffs[0].How != deploy.Changed {
		t.Errorf("JSON: %v, %+v", err, c)
	}
	if code, _, errs := b.run("diff", "ffffffff", ids[1], "--app", "web"); code != 4 || !strings.Contains(errs, "there is none") {
		t.Errorf("an unknown build: %d, %s", code, errs)
	}
}

func TestGCRemovesWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	b, ids := threeBuilds(t)
	old := strings.TrimSpace(b.ok(t, "push", tree(t, "never live"), "--app", "web"))
	b.hall = &hall{b: b, nodes: []string{"i-1"}}
	before := maps.Clone(b.bucket.objects)
	out := b.ok(t, "gc", "--app", "web", "--dry-run", "--keep", "1h")
	for _, part := range []string{old[:12] + "  2026-01-01", "remove: pushed 2026-01-01, on no channel within 1h0m0s", "1 build to remove", "3 to keep"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in\n%s", part, out)
		}
	}
	if code, _, errs := b.run("gc", "--app", "web", "--keep", "1h"); code != 2 || !strings.Contains(errs, "--yes") {
		t.Errorf("without a terminal: %d, %s", code, errs)
	}
	b.answer = "no\n"
	if code, _, _ := b.run("gc", "--app", "web", "--keep", "1h"); code != 2 || len(b.bucket.objects) != len(before) {
		t.Errorf("after a no: code %d, %d objects, want %d", code, len(b.bucket.objects), len(before))
	}
	b.answer = "yes\n"
	if out := b.ok(t, "gc", "--app", "web", "--keep", "1h"); !strings.HasSuffix(out, "removed 1 build\n") {
		t.Errorf("gc printed\n%s", out)
	}
	for _, id := range append(ids, old) {
		if _, there := b.bucket.objects[release.ArtifactKey("web", release.ID(id))]; there != (id != old) {
			t.Errorf("build %s is there: %v", id[:12], there)
		}
	}
	var r gcResult
	if err := json.Unmarshal([]byte(b.ok(t, "gc", "--app", "web", "-o", "json", "--ignore-hosts")), &r); err != nil || r.Done != nil || len(r.Keep) != 3 {
		t.Errorf("JSON: %v, %+v", err, r)
	}
	for _, args := range []string{"gc --app web --keep 30", "gc --app web --keep -1d", "gc --app web more"} {
		if code, _, errs := b.run(strings.Fields(args)...); code != 2 {
			t.Errorf("%s: code %d: %s", args, code, errs)
		}
	}
}
