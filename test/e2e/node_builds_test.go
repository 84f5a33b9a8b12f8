//go:build e2e

package e2e

import "testing"

// TestTheNodeNamesItsBuildsAfterDeployAndRollback looks at what deployctl gc
// reads: the builds that an instance runs, and may go back to.
func TestTheNodeNamesItsBuildsAfterDeployAndRollback(t *testing.T) {
	p := followChannel(t, "named")
	says := func(after, running, lastGood string) {
		t.Helper()
		n, err := s.world.Chef.Node(p.ctx, p.inst.ID)
		if err != nil {
			t.Fatal(err)
		}
		marker, _ := n.Normal["bakehouse"].(map[string]any)
		if marker["release"] != running || marker["last_good"] != lastGood || marker["instance_id"] != p.inst.ID || n.Automatic["platform"] == nil {
			t.Errorf("after %s the node says %v, want release %s and last good %s", after, marker, running, lastGood)
		}
	}
	says("first boot", p.first, p.first)
	second := p.push("named-second", nil)
	if code, said := p.deploy(""); code != "0" {
		t.Fatalf("deploy: exit code %s\n%s", code, said)
	}
	says("a deploy", second, second)
	p.push("named-sick", map[string]string{".bakehouse/verify": "#!/bin/sh\nexit 3\n"})
	if code, said := p.deploy(""); code != "4" {
		t.Fatalf("deploy of a sick build: exit code %s\n%s", code, said)
	}
	says("a rollback", second, second)
}
