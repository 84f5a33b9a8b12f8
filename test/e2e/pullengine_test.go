//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/release/waves"
	"bakehouse/test/story"
)

// herd is guests on a channel of their own that follow it by themselves.
type herd struct {
	pulled
	web
}

// followUnit is the unit that docs/rollout.md shows.
func followUnit(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.world.Root, "docs", "rollout.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "    [Unit]\n")
	text, _, ends := strings.Cut(rest, "\n\n")
	if !found || !ends || !strings.Contains(text, "boot-agent follow --spread 10m") {
		t.Fatalf("docs/rollout.md shows no unit:\n%s", text)
	}
	unit := strings.ReplaceAll("    [Unit]\n"+text+"\n", "    ", "")
	return strings.ReplaceAll(unit, "--spread 10m", "--spread 2s")
}

// grow launches a guest on the herd's channel.
func (h *herd) grow(t *testing.T) story.Instance {
	t.Helper()
	i := launch(h.ctx, t, story.Launch{Tags: map[string]string{"bakehouse:channel": h.channel}})
	h.guests = append(h.guests, i)
	return i
}

// follow waits for each guest's first boot, and has it follow.
func (h *herd) follow(t *testing.T) {
	t.Helper()
	unit := followUnit(t)
	for _, g := range h.guests {
		if err := complete(h.ctx, g.ID); err != nil {
			t.Fatal(diagnose(g.ID))
		}
		soonGivesUp(t, g.ID)
		inGuest(t, g.ID, `cat > /etc/systemd/system/bakehouse-follow.service <<'UNIT'
`+unit+`UNIT
systemctl daemon-reload && systemctl enable --now --quiet bakehouse-follow.service`)
	}
}

// begins starts a rollout by pull and kills the operator with SIGKILL once the
// agents have it. The rollout's id is returned.
func (h *herd) begins(t *testing.T, build string, args ...string) string {
	t.Helper()
	process := make(chan *os.Process, 1)
	kill := &watcher{text: "it goes on without this machine", act: func() { _ = (<-process).Kill() }}
	o, _ := h.rollout(t, func(p *os.Process) { process <- p }, kill, append([]string{build, "--channel", h.channel, "--engine", "pull", "--claim-within", "1m"}, args...)...)
	if o.Code != -1 {
		t.Fatalf("the operator was not killed: code %d\n%s", o.Code, o.Stderr)
	}
	_, tail, _ := strings.Cut(o.Stderr, "rollout ")
	return tail[:12]
}

// resume watches a rollout again.
func (h *herd) resume(t *testing.T, id string) (story.Outcome, rolled) {
	t.Helper()
	return h.rollout(t, nil, nil, "--resume", id, "--channel", h.channel)
}

// becomes waits until every guest answers with build.
func (h *herd) becomes(t *testing.T, build string, within time.Duration) {
	t.Helper()
	ctx, start := deadline(t, within), time.Now()
	for _, g := range h.guests {
		if err := story.Until(ctx, time.Second, func() error {
			a, err := s.world.Answers(ctx, g.Addr)
			if err == nil && a.Release != build {
				err = fmt.Errorf("%s answers with %s", g.ID, a.Release)
			}
			return err
		}); err != nil {
			t.Fatalf("want %s: %v\n%s", build, err, h.noted(t))
		}
	}
	t.Logf("%d guests on %s after %.0f s", len(h.guests), build[:12], time.Since(start).Seconds())
}

// noted is what the guests' followers wrote.
func (h *herd) noted(t *testing.T) (text string) {
	t.Helper()
	for _, g := range h.guests {
		text += g.ID + "\n" + inGuest(t, g.ID, "journalctl -u bakehouse-follow --no-pager -o cat -n 40 || true") + "\n"
	}
	return text
}

// state reads whether a rollout was stopped.
func (h *herd) state(t *testing.T, id string) waves.Stop {
	t.Helper()
	doc := h.object(waves.StateKey("web", h.channel, id), func(b []byte) []byte { return b })
	stop, err := waves.ParseStop(doc, id)
	if err != nil {
		t.Fatal(err)
	}
	return stop
}

// TestGuestsRollABuildOutByThemselves takes a herd from build to build with
// operators that die at once: a good one, a bad one, and one while a guest dies.
func TestGuestsRollABuildOutByThemselves(t *testing.T) {
	theStory(t)
	h := &herd{pulled: pulled{t: t, ctx: deadline(t, 14*time.Minute), channel: "herd"}}
	h.push("herd-1", nil)
	for range 3 {
		h.grow(t)
	}
	h.follow(t)
	good := pushed(t, "herd-2", false)
	id := h.begins(t, good, "--hosts", h.hosts(), "--pause", "5s")
	h.grow(t) // it boots while the others take their turns
	h.becomes(t, good, 3*time.Minute)
	h.follow(t)
	o, r := h.resume(t, id)
	if o.Code != 0 || r.Phase != "done" || r.states()["deployed"] != 3 || len(r.Waves) != 3 {
		t.Errorf("watched again: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	h.bad(t, good)
	h.mortal(t)
}

// bad rolls out a build whose health check fails: the canary stops it, and with
// no operator alive everybody stays on the build before, the newborn too.
func (h *herd) bad(t *testing.T, good string) {
	t.Helper()
	bad := pushed(t, "herd-bad", true)
	id := h.begins(t, bad, "--hosts", h.hosts())
	var stop waves.Stop
	if err := story.Until(deadline(t, 3*time.Minute), time.Second, func() error {
		if stop = h.state(t, id); !stop.Stopped {
			return errors.New("nobody stopped it")
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, h.noted(t))
	}
	if !strings.Contains(stop.Reason, "the canary failed: i-") || !strings.Contains(stop.Reason, "503") || !strings.HasPrefix(stop.By, "i-") {
		t.Errorf("it was stopped by %s: %s", stop.By, stop.Reason)
	}
	t.Logf("stopped by %s: %s", stop.By, stop.Reason)
	h.grow(t)
	h.follow(t)
	h.becomes(t, good, time.Minute)
	o, r := h.resume(t, id)
	if o.Code != 4 || r.Phase != "rolled back" || r.states()["restored"] != 1 || r.states()["pending"] != 3 || !strings.Contains(r.Reason, "503") {
		t.Errorf("watched again: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	h.becomes(t, good, time.Minute)
}

// mortal has a guest die before its turn, in a rollout that bears with one.
func (h *herd) mortal(t *testing.T) {
	t.Helper()
	build := pushed(t, "herd-3", false)
	victim := h.guests[len(h.guests)-1]
	inGuest(t, victim.ID, "systemctl stop bakehouse-follow")
	hosts := h.hosts()
	h.guests = h.guests[:len(h.guests)-1]
	id := h.begins(t, build, "--hosts", hosts, "--canary", "0", "--wave", "100%", "--max-unhealthy", "1", "--host-timeout", "2m")
	if err := s.world.Terminate(s.ctx, victim.ID); err != nil {
		t.Fatal(err)
	}
	h.becomes(t, build, 2*time.Minute)
	o, r := h.resume(t, id)
	if o.Code != 0 || r.Phase != "done" || r.states()["deployed"] != 4 || r.states()["failed"] != 1 {
		t.Errorf("a guest that dies: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	for _, w := range r.Waves {
		for _, host := range w.Hosts {
			if host.Instance == victim.ID && !strings.Contains(host.Problem, "it did not take its turn within 1m0s") {
				t.Errorf("the report says of the dead one: %q", host.Problem)
			}
		}
	}
}
