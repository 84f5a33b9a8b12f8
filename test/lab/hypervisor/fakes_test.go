package hypervisor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/jonboulle/clockwork"
)

// fakeCloud is EC2 as moto plays it: states jump at once.
type fakeCloud struct {
	mu        sync.Mutex
	instances map[string]*Instance
	behavior  string
	calls     []string
}

func (c *fakeCloud) launch(id, image string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := byte(len(c.instances) + 4)
	c.instances[id] = &Instance{ID: id, State: "running", ImageID: image,
		Address: netip.AddrFrom4([4]byte{172, 31, 0, n}),
		MAC:     net.HardwareAddr{2, 0, 0, 0, 0, n}}
}

func (c *fakeCloud) set(id, state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instances[id].State = state
}

func (c *fakeCloud) Instances(context.Context) ([]Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Instance
	for _, id := range sortedKeys(c.instances) {
		all = append(all, *c.instances[id])
	}
	return all, nil
}

func (c *fakeCloud) UserData(_ context.Context, id string) ([]byte, error) {
	return []byte("#cloud-config of " + id), nil
}

func (c *fakeCloud) RootBytes(context.Context, Instance) (int64, error) { return 1 << 30, nil }

func (c *fakeCloud) PublicKey(_ context.Context, name string) (string, error) {
	return "ssh-ed25519 AAAA " + name, nil
}

func (c *fakeCloud) ShutdownBehavior(context.Context, string) (string, error) { return c.behavior, nil }

func (c *fakeCloud) Stop(_ context.Context, id string) error {
	c.note("stop " + id)
	c.set(id, "stopped")
	return nil
}

func (c *fakeCloud) Terminate(_ context.Context, id string) error {
	c.note("terminate " + id)
	c.set(id, "terminated")
	return nil
}

func (c *fakeCloud) note(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = append(c.calls, call)
}

func (c *fakeCloud) called(call string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.calls, call)
}

// fakeGuest ends when it is told to.
type fakeGuest struct {
	spec Spec
	how  string // "poweroff", "kill" or "inside"
	end  sync.Once
	done chan struct{}
}

func (g *fakeGuest) stop(how string) {
	g.end.Do(func() { g.how = how; close(g.done) })
}
func (g *fakeGuest) Poweroff(context.Context) error { g.stop("poweroff"); return nil }
func (g *fakeGuest) Kill() error                    { g.stop("kill"); return nil }
func (g *fakeGuest) Wait() error                    { <-g.done; return nil }
func (g *fakeGuest) Close() error                   { g.stop("kill"); return os.RemoveAll(g.spec.Dir) }
func (g *fakeGuest) LeaderPID() int                 { return 4711 }
func (g *fakeGuest) UpperDir() string               { return filepath.Join(g.spec.Dir, "upper") }
func (g *fakeGuest) ConsoleOutput() []byte          { return []byte("login: ") }
func (g *fakeGuest) Boots() int                     { return 1 }

// fakeFactory boots fake guests; a disk is a directory with a file per boot.
type fakeFactory struct {
	mu     sync.Mutex
	guests map[string][]*fakeGuest // by instance, oldest first
	fail   error
	during func() // runs inside Snapshot
}

func (f *fakeFactory) Boot(_ context.Context, s Spec) (Guest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return nil, f.fail
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "upper"), 0o755); err != nil {
		return nil, err
	}
	g := &fakeGuest{spec: s, done: make(chan struct{})}
	f.guests[s.ID] = append(f.guests[s.ID], g)
	return g, nil
}

func (f *fakeFactory) Snapshot(_ context.Context, upper, layer string) error {
	if f.during != nil {
		f.during()
	}
	return os.CopyFS(layer, os.DirFS(upper))
}

// guest returns the nth guest of an instance, from 1.
func (f *fakeFactory) guest(t *testing.T, id string, n int) *fakeGuest {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.guests[id]) < n {
		t.Fatalf("%s was booted %d times, want %d", id, len(f.guests[id]), n)
	}
	return f.guests[id][n-1]
}

// world is a hypervisor among fakes.
type world struct {
	*Hypervisor
	t       *testing.T
	cloud   *fakeCloud
	factory *fakeFactory
	clock   *clockwork.FakeClock
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t,
		cloud:   &fakeCloud{instances: map[string]*Instance{}, behavior: "stop"},
		factory: &fakeFactory{guests: map[string][]*fakeGuest{}},
		clock:   clockwork.NewFakeClock()}
	h, err := New(Config{Cloud: w.cloud, Factory: w.factory, Clock: w.clock, Dir: t.TempDir(),
		Base: map[string][]string{"ami-base": {"/base"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.Hypervisor = h
	t.Cleanup(func() { h.killAll(); h.work.Wait() })
	return w
}

// until looks again after every change, until the instance is in state and
// nothing is under way.
func (w *world) until(id, state string) {
	w.t.Helper()
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if err := w.lookOnce(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.mu.Lock()
		m := w.machines[id]
		got, busy := stateName(m), m.busy || m.phase == Exited
		w.mu.Unlock()
		if got == state && !busy {
			return
		}
		select {
		case <-changed:
		case <-w.t.Context().Done():
			w.t.Fatal("the test ended before the instance was " + state)
		}
	}
}

func (w *world) spot(id string) {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	w.cloud.instances[id].Detail.InstanceLifecycle = types.InstanceLifecycleTypeSpot
}

var errNoRoom = errors.New("no room")
