// Package hypervisor makes EC2's state true: it looks at the instances that
// the emulator believes in and boots, stops and drops guests until what there
// is agrees with it. What to do next is a pure function (Decide); the rest of
// the package observes and carries out.
//
// It is also the one who knows: the gateway asks it for true states and
// snapshots, the metadata and DHCP servers for who a guest is.
package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/jonboulle/clockwork"
)

// Instance is one EC2 instance as EC2 describes it.
type Instance struct {
	ID          string
	State       string // EC2 state name, as the emulator has it
	Reservation string // id of the launch that it belongs to
	ImageID     string
	Address     netip.Addr
	MAC         net.HardwareAddr
	Detail      types.Instance // everything else
}

// Spot tells whether the instance may be interrupted.
func (i Instance) Spot() bool {
	return i.Detail.InstanceLifecycle == types.InstanceLifecycleTypeSpot
}

// Cloud is what the hypervisor asks of EC2, beside the gateway: its own calls
// are nobody's API calls and are not recorded.
type Cloud interface {
	Instances(ctx context.Context) ([]Instance, error)
	UserData(ctx context.Context, id string) ([]byte, error)
	// PublicKey returns a key pair's public half in authorized_keys form.
	PublicKey(ctx context.Context, keyName string) (string, error)
	// RootBytes returns the size of the instance's root volume.
	RootBytes(ctx context.Context, inst Instance) (int64, error)
	// ShutdownBehavior returns "stop" or "terminate".
	ShutdownBehavior(ctx context.Context, id string) (string, error)
	Stop(ctx context.Context, id string) error
	Terminate(ctx context.Context, id string) error
}

// Guest is a booted machine, or one that has ended. A reboot from inside is its
// own affair and no end.
type Guest interface {
	// Poweroff asks it to shut down and returns once it has ended; when ctx
	// ends first it is killed.
	Poweroff(ctx context.Context) error
	Kill() error
	Wait() error    // blocks until it has ended; the error says why it broke
	Close() error   // kills it and drops its disk
	LeaderPID() int // 0 when it does not run
	UpperDir() string
	ConsoleOutput() []byte
	Boots() int
}

// Spec is what a guest boots from and as.
type Spec struct {
	ID        string
	Dir       string   // its own directory, kept over stop and start
	Layers    []string // read-only root file systems, newest first
	MAC       net.HardwareAddr
	DiskBytes int64 // size of its root volume
}

// Factory boots guests and copies their disks.
type Factory interface {
	Boot(ctx context.Context, s Spec) (Guest, error)
	// Snapshot copies a guest's upper directory to the new directory layer.
	Snapshot(ctx context.Context, upper, layer string) error
}

// Config is what New needs; all but Base, Log and Poll are required.
type Config struct {
	Cloud   Cloud
	Factory Factory
	Clock   clockwork.Clock
	Dir     string              // instances/ and images/ are made below it
	Base    map[string][]string // AMIs known from the start, to their layers
	Log     io.Writer           // one line per decision; nil drops them
	Poll    time.Duration       // longest time between two looks; 0 means 500 ms
	// Grace bounds a shutdown before the plug is pulled: Stop for stopping,
	// Terminate for ending for good; 0 means 60 s and 2 s.
	Grace struct{ Stop, Terminate time.Duration }
}

// Hypervisor runs guests. Its methods are safe for concurrent use.
type Hypervisor struct {
	cfg    Config
	images *images
	poke   chan struct{} // an effect has ended: look again

	look sync.Mutex // one look at a time, so that no decision is taken twice
	work sync.WaitGroup

	mu       sync.Mutex // guards what follows
	machines map[string]*machine
	changed  chan struct{} // closed and replaced whenever a machine changes
	closed   bool
}

// machine is one instance's guest, disk and history.
type machine struct {
	inst     Instance
	phase    Phase
	busy     bool
	problem  string
	guest    Guest         // the last one, also when it has ended
	ended    chan struct{} // closed when guest has ended
	layers   []string      // of the image it was launched from
	userData []byte
	key      string // public, of the key pair it was launched with
	bootedAt time.Time
	earlier  int // boots of the guests before this one
	notice   *Notice
}

// New returns a hypervisor that does nothing before Run.
func New(cfg Config) (*Hypervisor, error) {
	if cfg.Cloud == nil || cfg.Factory == nil || cfg.Clock == nil || cfg.Dir == "" {
		return nil, errors.New("making hypervisor: cloud, factory, clock and directory are required")
	}
	if cfg.Log == nil {
		cfg.Log = io.Discard
	}
	if cfg.Poll == 0 {
		cfg.Poll = 500 * time.Millisecond
	}
	if cfg.Grace.Stop == 0 {
		cfg.Grace.Stop = time.Minute
	}
	if cfg.Grace.Terminate == 0 {
		cfg.Grace.Terminate = 2 * time.Second
	}
	return &Hypervisor{
		cfg:      cfg,
		images:   newImages(cfg.Dir, cfg.Base),
		poke:     make(chan struct{}, 1),
		machines: map[string]*machine{},
		changed:  make(chan struct{}),
	}, nil
}

// Run looks at EC2 until ctx ends, then kills every guest and returns.
func (h *Hypervisor) Run(ctx context.Context) {
	ticker := h.cfg.Clock.NewTicker(h.cfg.Poll)
	defer ticker.Stop()
	for {
		if err := h.lookOnce(ctx); err != nil && ctx.Err() == nil {
			h.logf("looking at EC2: %v", err)
		}
		select {
		case <-ctx.Done():
			h.killAll()
			h.work.Wait()
			return
		case <-ticker.Chan():
		case <-h.poke:
		}
	}
}

// lookOnce observes, decides and starts what was decided.
func (h *Hypervisor) lookOnce(ctx context.Context) error {
	h.look.Lock()
	defer h.look.Unlock()
	seen, err := h.cfg.Cloud.Instances(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	wanted := make([]Wanted, 0, len(seen))
	for _, inst := range seen {
		m := h.machines[inst.ID]
		if m == nil {
			m = &machine{}
			h.machines[inst.ID] = m
		}
		m.inst = inst
		wanted = append(wanted, Wanted{inst.ID, inst.State})
	}
	actual := make(map[string]Actual, len(h.machines))
	for id, m := range h.machines {
		actual[id] = Actual{m.phase, m.busy, m.problem}
	}
	for _, a := range Decide(wanted, actual) {
		h.logf("%s: %s (%s)", a.ID, a.Verb, a.Why)
		h.carryOut(context.WithoutCancel(ctx), h.machines[a.ID], a.Verb)
	}
	return nil
}

// killAll ends every guest at once; later looks start nothing.
func (h *Hypervisor) killAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for id, m := range h.machines {
		if guest := m.guest; guest != nil {
			h.work.Go(func() {
				if err := guest.Kill(); err != nil {
					h.logf("%s: %v", id, err)
				}
			})
		}
	}
}

// update changes machines under the lock, tells whoever waits, and asks for
// another look.
func (h *Hypervisor) update(change func()) {
	h.mu.Lock()
	change()
	close(h.changed)
	h.changed = make(chan struct{})
	h.mu.Unlock()
	select {
	case h.poke <- struct{}{}:
	default: // one is waiting already
	}
}

func (h *Hypervisor) logf(format string, args ...any) {
	stamp := h.cfg.Clock.Now().Format("15:04:05.000")
	fmt.Fprintf(h.cfg.Log, stamp+" "+format+"\n", args...)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
