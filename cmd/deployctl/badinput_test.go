package main

import (
	"strings"
	"syscall"
	"testing"
)

// TestARolloutOfNoHosts is refused unless it is asked for.
func TestARolloutOfNoHosts(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	code, _, errs := h.b.run("rollout", v2, "--app", "web", "--role", "nobody")
	if code != 4 || !strings.Contains(errs, "--allow-empty lets a rollout without hosts pass") || h.live(t) != v1 {
		t.Errorf("no host: code %d, live %s\n%s", code, h.live(t), errs)
	}
	if out := h.b.ok(t, "rollout", v2, "--app", "web", "--role", "nobody", "--allow-empty"); !strings.Contains(out, "0 hosts: 0 deployed") || h.live(t) != v2 || len(h.went) != 0 {
		t.Errorf("--allow-empty: live %s, went %v\n%s", h.live(t), h.went, out)
	}
}

// TestAPipeInTheTreeIsNoBuild: special files, devices among them, are named.
func TestAPipeInTheTreeIsNoBuild(t *testing.T) {
	t.Parallel()
	b, dir := newBench(), tree(t, "v1")
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := b.run("push", dir, "--app", "web")
	if code != 2 || !strings.Contains(errs, "pipe: it is a named pipe") || len(b.bucket.objects) != 0 {
		t.Errorf("code %d, %d objects\n%s", code, len(b.bucket.objects), errs)
	}
}

// TestAWrongKeyPromotesNothing: who holds another key than the one that signed
// the build cannot make it live.
func TestAWrongKeyPromotesNothing(t *testing.T) {
	t.Parallel()
	b := newBench()
	right, _ := b.key(t)
	wrong, _ := b.key(t)
	id := strings.TrimSpace(b.ok(t, "push", tree(t, "v1"), "--app", "web", "--sign-key", right))
	code, _, errs := b.run("promote", id, "--app", "web", "--channel", "staging", "--sign-key", wrong)
	if code != 4 || !strings.Contains(errs, "carries no good signature") || b.bucket.objects["web/channels/staging.json"] != nil {
		t.Errorf("code %d\n%s", code, errs)
	}
}
