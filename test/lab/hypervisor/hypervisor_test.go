package hypervisor

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLaunchBootsFromTheImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, known := w.State("i-1"); known {
		t.Error("an instance nobody has seen is known")
	}
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	g := w.factory.guest(t, "i-1", 1)
	if diff := cmp.Diff([]string{"/base"}, g.spec.Layers); diff != "" {
		t.Errorf("layers (-want +got):\n%s", diff)
	}
	m, ok := w.ByAddress(netip.MustParseAddr("172.31.0.4"))
	if !ok || m.Instance.ID != "i-1" || string(m.UserData) != "#cloud-config of i-1" || m.LeaderPID == 0 || m.Boots != 1 {
		t.Errorf("who lives at the address: %v %+v", ok, m)
	}
	if _, ok := w.ByMAC(m.Instance.MAC); !ok {
		t.Error("the network card is not found")
	}
}

func TestStopKeepsTheDiskAndStartUsesItAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	w.cloud.set("i-1", "stopped")
	w.until("i-1", "stopped")
	first := w.factory.guest(t, "i-1", 1)
	if first.how != "poweroff" {
		t.Errorf("the guest ended by %s, want a graceful power-off", first.how)
	}
	w.RemoveImage("ami-base") // a deregistered image does not hurt its instances
	w.cloud.set("i-1", "running")
	w.until("i-1", "running")
	if second := w.factory.guest(t, "i-1", 2); second.spec.Dir != first.spec.Dir || len(second.spec.Layers) != 1 {
		t.Errorf("started again on %+v, was on %+v", second.spec, first.spec)
	}
}

func TestTerminateDropsTheDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	w.cloud.set("i-1", "terminated")
	w.until("i-1", "terminated")
	if _, err := os.Stat(w.factory.guest(t, "i-1", 1).spec.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the disk is still there: %v", err)
	}
	if _, ok := w.ByAddress(netip.MustParseAddr("172.31.0.4")); ok {
		t.Error("the address still leads to the terminated instance")
	}
	if len(w.Console("i-1")) == 0 {
		t.Error("the console of a terminated instance is lost")
	}
}

func TestShutdownFromInsideFollowsTheBehavior(t *testing.T) {
	t.Parallel()
	for behavior, state := range map[string]string{"stop": "stopped", "terminate": "terminated"} {
		t.Run(behavior, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cloud.behavior = behavior
			w.cloud.launch("i-1", "ami-base")
			w.until("i-1", "running")
			w.factory.guest(t, "i-1", 1).stop("inside")
			w.until("i-1", state)
			if !w.cloud.called(behavior + " i-1") {
				t.Errorf("EC2 was told %q", w.cloud.calls)
			}
		})
	}
}

func TestLaunchThatCannotBootEndsTerminated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-unknown")
	w.until("i-1", "terminated")
	if p := w.Machines()[0].Problem; !strings.Contains(p, "ami-unknown") {
		t.Errorf("the problem %q does not name the image", p)
	}
}

func TestStartThatFailsStaysStoppedAndCanBeTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	w.cloud.set("i-1", "stopped")
	w.until("i-1", "stopped")
	w.factory.fail = errNoRoom
	w.cloud.set("i-1", "running")
	for !w.cloud.called("stop i-1") {
		w.until("i-1", "stopped")
	}
	w.factory.fail = nil
	w.until("i-1", "stopped")
	w.cloud.set("i-1", "running")
	w.until("i-1", "running")
}

func TestRebootIsRunningAllTheWhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	w.Reboot("i-1")
	if state, _ := w.State("i-1"); state != "running" {
		t.Errorf("state while rebooting: %s", state)
	}
	w.until("i-1", "running")
	if g := w.factory.guest(t, "i-1", 1); g.how != "poweroff" {
		t.Errorf("the guest ended by %s", g.how)
	}
	if m := w.Machines()[0]; m.Boots != 2 {
		t.Errorf("%d boots, want 2", m.Boots)
	}
	w.Reboot("i-none") // nobody: nothing happens
}

func TestSnapshotStacksLayers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	w.cloud.set("i-1", "stopped")
	w.until("i-1", "stopped")
	if err := w.Snapshot(t.Context(), "i-1", "ami-1", false); err != nil {
		t.Fatal(err)
	}
	if state, _ := w.State("i-1"); state != "stopped" {
		t.Errorf("a stopped instance is %s after its snapshot", state)
	}
	w.cloud.launch("i-2", "ami-1")
	w.until("i-2", "running")
	if err := w.Snapshot(t.Context(), "i-2", "ami-2", true); err != nil {
		t.Fatal(err)
	}
	layers := w.Images()["ami-2"]
	if len(layers) != 3 || layers[1] != w.Images()["ami-1"][0] || layers[2] != "/base" {
		t.Errorf("layers of the second image: %q", layers)
	}
	if g := w.factory.guest(t, "i-2", 1); g.how != "" {
		t.Errorf("no-reboot ended the guest by %s", g.how)
	}
}

func TestSnapshotRestartsARunningInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	w.factory.during = func() {
		if state, _ := w.State("i-1"); state != "running" {
			t.Errorf("EC2 shows %s during the snapshot", state)
		}
		if g := w.factory.guest(t, "i-1", 1); g.how != "poweroff" {
			t.Errorf("the disk is copied while the guest runs (%q)", g.how)
		}
	}
	if err := w.Snapshot(t.Context(), "i-1", "ami-1", false); err != nil {
		t.Fatal(err)
	}
	w.until("i-1", "running")
	w.factory.guest(t, "i-1", 2)
}

func TestSnapshotRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.Snapshot(t.Context(), "i-9", "ami-1", false); !errors.Is(err, ErrNotFound) {
		t.Errorf("snapshot of nobody: %v", err)
	}
	w.cloud.launch("i-1", "ami-base")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.lookOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.until("i-1", "running")
	w.mu.Lock()
	w.machines["i-1"].busy = true
	w.mu.Unlock()
	if err := w.Snapshot(ctx, "i-1", "ami-1", false); !errors.Is(err, context.Canceled) {
		t.Errorf("snapshot by a caller who left: %v", err)
	}
	if _, ok := w.Images()["ami-1"]; ok {
		t.Error("a refused snapshot left an image")
	}
}

func TestImageFilesGoWhenNobodyNeedsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	if err := w.Snapshot(t.Context(), "i-1", "ami-1", true); err != nil {
		t.Fatal(err)
	}
	if err := w.CopyImage("ami-1", "ami-copy"); err != nil {
		t.Fatal(err)
	}
	layer := w.Images()["ami-1"][0]
	w.cloud.launch("i-2", "ami-copy")
	w.until("i-2", "running")
	for step, drop := range []func(){
		func() { w.RemoveImage("ami-1") },
		func() { w.RemoveImage("ami-copy") },
	} {
		drop()
		if _, err := os.Stat(layer); err != nil {
			t.Errorf("step %d took a layer that is in use: %v", step, err)
		}
	}
	w.cloud.set("i-2", "terminated")
	w.until("i-2", "terminated")
	if _, err := os.Stat(layer); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the last user is gone, the layer is not: %v", err)
	}
	if err := w.CopyImage("ami-9", "ami-10"); err == nil {
		t.Error("an image without files was copied")
	}
}

func TestSpotInterruption(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	if err := w.Interrupt("i-1", "", 0); err == nil {
		t.Error("an on-demand instance was interrupted")
	}
	w.spot("i-1")
	w.until("i-1", "running")
	if err := w.Interrupt("i-1", "explode", 0); err == nil {
		t.Error("an unknown action was accepted")
	}
	if _, pending := w.Interrupting("i-1"); pending {
		t.Error("before any notice one is pending")
	}
	if err := w.Interrupt("i-1", "", time.Minute); err != nil {
		t.Fatal(err)
	}
	if action, pending := w.Interrupting("i-1"); !pending || action != "terminate" {
		t.Errorf("after the notice: %q, %v", action, pending)
	}
	n := w.Machines()[0].Notice
	if n == nil || n.Action != "terminate" || !n.At.Equal(w.clock.Now().Add(time.Minute)) {
		t.Errorf("the notice is %+v", n)
	}
	w.clock.Advance(59 * time.Second)
	if w.cloud.called("terminate i-1") {
		t.Error("interrupted before its time")
	}
	w.clock.Advance(time.Second)
	w.until("i-1", "terminated")
}

func TestPowerCutKeepsTheDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	if err := w.PowerCut(t.Context(), "i-1"); err != nil {
		t.Fatal(err)
	}
	w.until("i-1", "running")
	first, second := w.factory.guest(t, "i-1", 1), w.factory.guest(t, "i-1", 2)
	if first.how != "kill" || second.spec.Dir != first.spec.Dir {
		t.Errorf("the guest ended by %q and came back on %s, want it killed and back on %s", first.how, second.spec.Dir, first.spec.Dir)
	}
	if w.cloud.called("stop i-1") || w.cloud.called("terminate i-1") {
		t.Error("EC2 was told of a power cut")
	}
	w.cloud.set("i-1", "stopped")
	w.until("i-1", "stopped")
	if err := w.PowerCut(t.Context(), "i-1"); err == nil {
		t.Error("the power of a stopped instance was cut")
	}
	if err := w.PowerCut(t.Context(), "i-2"); err == nil {
		t.Error("the power of an unknown instance was cut")
	}
}

func TestClosingKillsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cloud.launch("i-1", "ami-base")
	w.until("i-1", "running")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.Run(ctx)
	if g := w.factory.guest(t, "i-1", 1); g.how != "kill" {
		t.Errorf("the guest ended by %q", g.how)
	}
	if w.cloud.called("stop i-1") {
		t.Error("the lab's own end was told to EC2")
	}
}
