//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"bakehouse/test/story"
)

// registered says whether the Chef server has a node and a client of that name.
func registered(ctx context.Context, name string) (node, client bool, err error) {
	nodes, err := s.world.Chef.NodeNames(ctx)
	if err != nil {
		return false, false, err
	}
	for _, n := range nodes {
		node = node || n == name
	}
	client, err = s.world.Chef.ClientExists(ctx, name)
	return node, client, err
}

// goneFromChef waits until neither node nor client of that name is there.
func goneFromChef(ctx context.Context, name string) error {
	return story.Until(ctx, 200*time.Millisecond, func() error {
		node, client, err := registered(ctx, name)
		if err == nil && (node || client) {
			err = fmt.Errorf("of %s the node is there: %v, the client: %v", name, node, client)
		}
		return err
	})
}

// drainFor is user-data whose drain program leaves a mark outside the guest:
// the tests read it on the console.
const drainFor = `#cloud-config
write_files:
- path: /usr/local/bin/drain
  permissions: "0755"
  content: |
    #!/bin/sh
    systemctl is-active web.service > /run/drained
bootcmd:
- [ruby, -rjson, -e, 'f = "/etc/bakehouse/agent.json"; c = JSON.parse(File.read(f)); c["leave"] = {"drain" => "/usr/local/bin/drain", "at_poweroff" => %s}; File.write(f, JSON.pretty_generate(c))']
`

func TestASpotInterruptionTakesNodeAndClientAway(t *testing.T) {
	theStory(t)
	ctx := deadline(t, 3*time.Minute)
	inst := launch(ctx, t, story.Launch{Spot: true, UserData: fmt.Sprintf(drainFor, "false")})
	if err := complete(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	if node, client, err := registered(ctx, inst.ID); err != nil || !node || !client {
		t.Fatalf("after first boot: node %v, client %v, %v", node, client, err)
	}
	if err := interrupt(ctx, inst.ID, "10m"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := goneFromChef(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	t.Logf("node and client were gone %.1f s after the notice", time.Since(began).Seconds())
	const look = "cat /run/drained; systemctl is-active web.service bakehouse-watch.service; ls /etc/chef; true"
	err := story.Until(ctx, 200*time.Millisecond, func() error { // the key goes, and the watch ends, after the client has
		want, out := "active\ninactive\ninactive\nclient.rb", inGuest(t, inst.ID, look)
		if out != want {
			return fmt.Errorf("when drained, afterwards, and in /etc/chef:\n%s\nwant\n%s", out, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// interrupt serves a spot interruption notice.
func interrupt(ctx context.Context, id, after string) error {
	o, err := s.world.Run(ctx, story.Tool{Name: "lab", Args: []string{"spot-interrupt", id, "--after", after}})
	if err == nil && o.Code != 0 {
		err = fmt.Errorf("interrupting %s: exit %d\n%s", id, o.Code, o.Stderr)
	}
	return err
}

func TestATerminationWithoutNoticeTakesThemAwayWhereAsked(t *testing.T) {
	theStory(t)
	ctx := deadline(t, 3*time.Minute)
	inst := launch(ctx, t, story.Launch{UserData: fmt.Sprintf(drainFor, "true")})
	if err := complete(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.world.Terminate(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	if err := goneFromChef(ctx, inst.ID); err != nil {
		t.Error(err)
	}
}
