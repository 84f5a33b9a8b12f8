//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/story"
)

// byTag rolls a build out by one command for a tag, to the chosen guests.
func byTag(t *testing.T, build string, chosen []story.Instance, args ...string) (story.Outcome, rolled) {
	t.Helper()
	var names []string
	for _, g := range chosen {
		names = append(names, "name:"+inGuest(t, g.ID, `sed -n 's/.*"node": "\(.*\)",/\1/p' /var/lib/bakehouse/journal.json`))
	}
	o, err := s.world.Run(deadline(t, 3*time.Minute), story.Tool{Name: "deployctl", Args: append([]string{"rollout", build, "--config", s.world.Config, "--app", "web", "--channel", "tagged",
		"--environment", "_default", "--query", strings.Join(names, " OR "), "--engine", "ssm", "--ssm-target", "tag:Role=tagged", "--canary", "0", "--parallel", "1", "-o", "json"}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	var r rolled
	if err := json.Unmarshal([]byte(o.Stdout), &r); err != nil {
		t.Fatalf("reading the report: %v\n%s%s", err, o.Stdout, o.Stderr)
	}
	return o, r
}

// TestARolloutByTag has one command reach what carries a tag: two chosen guests, a
// third that nobody chose, and not the fourth, which was chosen.
func TestARolloutByTag(t *testing.T) {
	theStory(t)
	p := pulled{t: t, ctx: deadline(t, 6*time.Minute), channel: "tagged"}
	first := p.push("tagged-1", nil)
	var guests []story.Instance
	for _, tags := range []map[string]string{{"Role": "tagged"}, {"Role": "tagged"}, {"Role": "tagged"}, {"Role": "other"}} {
		tags["bakehouse:channel"] = p.channel
		guests = append(guests, launch(p.ctx, t, story.Launch{Tags: tags}))
	}
	for _, g := range guests {
		if err := complete(p.ctx, g.ID); err != nil {
			t.Fatal(diagnose(g.ID))
		}
		soonGivesUp(t, g.ID)
	}
	tagged, beyond, below := guests[:2], guests[2], guests[3]
	good := pushed(t, "tagged-2", false)
	o, r := byTag(t, good, append(slices.Clone(tagged), below), "--max-unhealthy", "1")
	if n := r.states(); o.Code != 0 || n["deployed"] != 3 || n["failed"] != 1 || len(r.Waves) != 2 {
		t.Fatalf("code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	if h := r.Waves[1].Hosts; r.Waves[1].Name != "beyond the selection" || len(h) != 1 || h[0].Instance != beyond.ID {
		t.Errorf("beyond the selection: %+v", r.Waves[1])
	}
	for _, h := range r.Waves[0].Hosts {
		if h.Instance == below.ID && !strings.Contains(h.Problem, "the command for tag:Role=tagged did not reach it") {
			t.Errorf("%s: %s", h.Instance, h.Problem)
		}
	}
	(&web{guests: guests[:3]}).answer(t, good)
	(&web{guests: guests[3:]}).answer(t, first)

	bad := pushed(t, "tagged-bad", true)
	o, r = byTag(t, bad, guests[:3])
	if n := r.states(); o.Code != 4 || r.Phase != "rolled back" || n["restored"] != 1 || n["pending"] != 2 || !strings.Contains(r.Reason, "503") {
		t.Errorf("a bad build: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	(&web{guests: guests[:3]}).answer(t, good)
}
