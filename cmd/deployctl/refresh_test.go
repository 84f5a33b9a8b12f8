package main

import (
	"encoding/json"
	"strings"
	"testing"

	"bakehouse/deploy"
	"bakehouse/internal/config"
)

func TestWhatAnInstanceRefreshCannotDoIsRefused(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--engine refresh":                   {4, "i-1 is in no Auto Scaling group"},
		"--engine refresh --hosts i-1":       {2, "leave --hosts, --limit and --zone out"},
		"--engine refresh --limit 1":         {2, "leave --hosts, --limit and --zone out"},
		"--engine refresh --target-group tg": {2, "leave --target-group out"},
		"--engine refresh --per-zone":        {2, "leave --per-zone out"},
		"--launch-template-version 3":        {2, "is for --engine refresh"},
		"--abort":                            {2, "give --resume ID"},
	} {
		code, _, errs := h.b.run(append([]string{"rollout", v2, "--app", "web"}, strings.Fields(args)...)...)
		if code != want.code || !strings.Contains(errs, want.text) {
			t.Errorf("%s: code %d, want %d and %q\n%s", args, code, want.code, want.text, errs)
		}
	}
	if h.live(t) != v1 || len(h.went) != 0 {
		t.Errorf("live %s, went %v", h.live(t), h.went)
	}
}

// TestARolloutKnowsWhatItsResumptionIsNotTold: the next step that is printed after
// Ctrl-C names app and id alone.
func TestARolloutKnowsWhatItsResumptionIsNotTold(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	var r deploy.Rollout
	if err := json.Unmarshal([]byte(h.b.ok(t, "rollout", v2, "--app", "web", "--dry-run", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	h.b.ok(t, "promote", v2, "--app", "web")
	r.Groups = true
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	h.b.bucket.objects["web/rollouts/"+r.ID+".json"] = body
	h.b.file.Apps["web"] = config.App{Bucket: "builds"} // no channel, no role
	if code, _, errs := h.b.run("rollout", "--app", "web", "--resume", r.ID, "--engine", "ssh"); code != 2 || !strings.Contains(errs, "give --engine refresh") {
		t.Errorf("by another kind of engine: code %d\n%s", code, errs)
	}
	code, _, errs := h.b.run("rollout", "--app", "web", "--resume", r.ID, "--abort")
	if code != 4 || h.live(t) != v1 || !strings.Contains(errs, "stopped by ann@host; rolled back to build "+v1[:12]) {
		t.Errorf("code %d, live %s\n%s", code, h.live(t), errs)
	}
}

func TestAResumedRolloutCanBeAborted(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	var r deploy.Rollout
	if err := json.Unmarshal([]byte(h.b.ok(t, "rollout", v2, "--app", "web", "--dry-run", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	h.b.ok(t, "promote", v2, "--app", "web") // it died after the canary had begun
	r.Waves[0].Hosts[0].State = deploy.Begun
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	h.b.bucket.objects["web/rollouts/"+r.ID+".json"] = body
	if code, _, errs := h.b.run("rollout", "--app", "web", "--resume", r.ID, "--engine", "refresh"); code != 2 || !strings.Contains(errs, "give --engine ssh or ssm") {
		t.Errorf("resumed by another kind of engine: code %d\n%s", code, errs)
	}
	code, out, errs := h.b.run("rollout", "--app", "web", "--resume", r.ID, "--abort")
	if code != 4 || h.live(t) != v1 || len(h.went) != 1 || !strings.Contains(errs, "stopped by ann@host; rolled back to build "+v1[:12]) || !strings.Contains(out, "1 restored, 0 stuck, 2 pending") {
		t.Errorf("code %d, live %s, went %v\n%s%s", code, h.live(t), h.went, errs, out)
	}
}
