//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/story"
)

// durable lists the steps of a first boot that matter, each as a shell test
// that holds from the moment on at which the step has happened.
func durable() [][2]string {
	journal := func(stage, state string) string {
		return fmt.Sprintf(`ruby -rjson -e 'exit JSON.parse(File.read("/var/lib/bakehouse/journal.json"))["stages"].any? { |s| s["stage"] == %q && s["state"] == %q }'`, stage, state)
	}
	return [][2]string{
		{"journal begun", "test -e /var/lib/bakehouse/journal.json"},
		{"key written", "test -e /etc/chef/client.pem"},
		{"client and node made", journal("register", "done")},
		{"client.rb written", "test -e /etc/chef/client.rb"},
		{"converge begun", journal("converge", "running")},
		{"converged", journal("converge", "done")},
		{"release in place", "ls /srv/web/releases 2>/dev/null | grep -q ."},
		{"current switched", "test -L /srv/web/current"},
		{"pulled", journal("pull", "done")},
		{"unit started", "systemctl is-active -q web.service"},
		{"complete", journal("start", "done")},
	}
}

func TestPowerCutsAfterEveryStepEndInTheSameState(t *testing.T) {
	r := theStory(t)
	for _, step := range durable() {
		t.Run(step[0], func(t *testing.T) {
			t.Parallel()
			ctx := deadline(t, 4*time.Minute)
			inst := launch(ctx, t, story.Launch{})
			if err := cutPowerWhen(ctx, inst.ID, step[1]); err != nil {
				t.Fatal(err)
			}
			if err := complete(ctx, inst.ID); err != nil {
				t.Fatal(err)
			}
			if a, err := s.world.Answers(ctx, inst.Addr); err != nil || a.Release != r.build {
				t.Errorf("the app answers with %+v (%v), want %s", a, err, r.build)
			}
			oneOfEach(ctx, t, inst.ID)
			sameState(t, inst, r)
		})
	}
}

// cutPowerWhen waits in the guest for a condition and pulls the plug.
func cutPowerWhen(ctx context.Context, id, condition string) error {
	wait := fmt.Sprintf("while ! { %s; } 2>/dev/null; do sleep 0.005; done", condition)
	err := story.Until(ctx, 100*time.Millisecond, func() error {
		_, err := s.world.Guest(ctx, id, wait)
		return err
	})
	if err != nil {
		return err
	}
	o, err := s.world.Run(ctx, story.Tool{Name: "lab", Args: []string{"power-cut", id}})
	if err == nil && o.Code != 0 {
		err = fmt.Errorf("cutting the power of %s: exit %d\n%s", id, o.Code, o.Stderr)
	}
	return err
}

// oneOfEach fails the test unless the Chef server has one node and one client
// of the instance, and the client's key is the one on its disk.
func oneOfEach(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	nodes, err := s.world.Chef.NodeNames(ctx)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := s.world.Chef.ClientNames(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for kind, names := range map[string][]string{"nodes": nodes, "clients": clients} {
		if mine := slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, id) }); len(mine) != 1 {
			t.Errorf("%s of the instance: %q, want one", kind, mine)
		}
	}
	// A Chef run signed with the key on disk is accepted: the key is the client's.
	if _, err := s.world.Guest(ctx, id, "chef-client --once >/run/last-run 2>&1 || { tail -5 /run/last-run; exit 1; }"); err != nil {
		t.Errorf("the key on disk is not the client's: %v", err)
	}
}

// A deploy that the power cut ended has switched current to a build that nobody
// has judged: the next boot goes on with it.
func TestAPowerCutInADeployIsGoneOnWith(t *testing.T) {
	p := followChannel(t, "cut")
	p.ctx = deadline(t, 5*time.Minute) // one more boot than the others
	const seen = "/srv/web/shared/cut"
	second := p.push("cut-second", map[string]string{".bakehouse/pre-start": "#!/bin/sh\n[ ! -e " + seen + " ] || exit 0\ntouch " + seen + "\nsync\nexec sleep 50\n"})
	inGuest(t, p.inst.ID, "systemd-run --quiet boot-agent deploy")
	if err := cutPowerWhen(p.ctx, p.inst.ID, "test -e "+seen); err != nil {
		t.Fatal(err)
	}
	err := story.Until(p.ctx, time.Second, func() error {
		out, err := s.world.Guest(p.ctx, p.inst.ID, "boot-agent status --json")
		var st struct {
			Current string                 `json:"current"`
			Deploy  struct{ State string } `json:"deploy"`
		}
		if err == nil {
			err = json.Unmarshal([]byte(out), &st)
		}
		if err == nil && (st.Deploy.State != "done" || st.Current != second) {
			err = fmt.Errorf("the deploy is %q, current %s", st.Deploy.State, st.Current)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.serves(second, "the power cut")
	err = story.Until(p.ctx, time.Second, func() error { // it is told after the deploy has ended
		node, err := s.world.Chef.Node(p.ctx, p.inst.ID)
		if marker, _ := node.Normal["bakehouse"].(map[string]any); err == nil && marker["release"] != second {
			err = fmt.Errorf("the node says %v, want %s", marker, second)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
