//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"
)

// sweepTool is a call of a sweeping command with the suite's journals.
func sweepTool(args ...string) story.Tool {
	return story.Tool{Name: "bake-ami", Args: append(args, "--config", s.world.Config, "--state-dir", filepath.Join(s.world.Dir, "state"))}
}

// killedAt bakes until step starts, and kills bake-ami there.
func killedAt(t *testing.T, step string) {
	t.Helper()
	k := &signaller{step: step, signal: syscall.SIGKILL}
	tool := s.world.BakeTool("harmless", "--output", "json")
	tool.Live, tool.Started = k, k.started
	if o := runTool(t, tool); !k.sent {
		t.Fatalf("step %s never started:\n%s", step, o.Stderr)
	}
}

func TestSweepRemovesWhatAKilledBakeLeft(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	killedAt(t, "cloud-init")
	o := runTool(t, sweepTool("sweep", "--dry-run"))
	for _, kind := range []string{"instance", "volume", "security-group", "chef-client", "chef-node", "journal"} {
		if o.Code != 0 || !strings.Contains(o.Stdout, "remove  "+kind) {
			t.Errorf("the dry run (exit %d) does not name the %s:\n%s%s", o.Code, kind, o.Stdout, tail(o.Stderr))
		}
	}
	if now, err := s.world.Census(deadline(t, 10*time.Second)); err != nil || len(now.Since(before)) < 5 {
		t.Fatalf("after the dry run only %v is left of the bake (%v)", now.Since(before), err)
	}
	if o := runTool(t, sweepTool("sweep")); o.Code != 0 {
		t.Errorf("sweep: exit %d\n%s", o.Code, tail(o.Stderr))
	}
	unchanged(t, before)
	if left, _ := filepath.Glob(filepath.Join(s.world.Dir, "state", "bakes", "*")); len(left) > 0 {
		t.Errorf("journals left: %v", left)
	}
}

func TestAbortEndsABakeThatRuns(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan story.Outcome, 1)
	at := &signaller{step: "connect", signal: syscall.Signal(0)} // only to know when
	tool, _ := ownCalls(t, s.world.BakeTool("harmless", "--output", "json"))
	fault(t, tool, gateway.Rule{Service: "ec2", Action: "CreateImage", PendingFor: "1h"}) // it cannot end before it is aborted
	tool.Live, tool.Started = at, at.started
	go func() {
		o, _ := s.world.Run(s.ctx, tool)
		ended <- o
	}()
	var id string
	err = story.Until(deadline(t, 30*time.Second), 50*time.Millisecond, func() error {
		at.mu.Lock()
		defer at.mu.Unlock()
		locks, _ := filepath.Glob(filepath.Join(s.world.Dir, "state", "bakes", "*.lock"))
		if !at.sent || len(locks) != 1 {
			return os.ErrNotExist
		}
		id = strings.TrimSuffix(filepath.Base(locks[0]), ".lock")
		return nil
	})
	if err != nil {
		t.Fatal("the bake never came to connect")
	}
	if o := runTool(t, sweepTool("sweep")); o.Code != 0 || strings.Contains(o.Stdout, "remove") {
		t.Errorf("a sweep beside a running bake: exit %d\n%s", o.Code, o.Stdout)
	}
	if o := runTool(t, sweepTool("abort", id)); o.Code != 0 {
		t.Errorf("abort: exit %d\n%s", o.Code, tail(o.Stderr))
	}
	if o := <-ended; o.Code != 143 {
		t.Errorf("the aborted bake ends with %d\n%s", o.Code, tail(o.Stderr))
	}
	unchanged(t, before)
}
