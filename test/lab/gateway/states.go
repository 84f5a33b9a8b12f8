package gateway

import (
	"context"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// EC2's instance states and their codes, from the InstanceState type of the
// EC2 API reference.
const (
	pending      = "pending"
	running      = "running"
	shuttingDown = "shutting-down"
	terminated   = "terminated"
	stopping     = "stopping"
	stopped      = "stopped"
)

func stateCode(name string) string {
	codes := map[string]int{pending: 0, running: 16, shuttingDown: 32, terminated: 48, stopping: 64, stopped: 80}
	return strconv.Itoa(codes[name])
}

// trueState joins moto's word, which jumps to the end of every transition at
// once, with the hypervisor's. started says that StartInstances was accepted
// and the hypervisor has not acted on it yet.
func trueState(moto, machine string, known, started bool) string {
	switch moto {
	case terminated:
		if !known || machine == terminated {
			return terminated
		}
		return shuttingDown
	case stopped:
		if !known || machine == stopped {
			return stopped
		}
		if machine == shuttingDown || machine == terminated {
			return machine
		}
		return stopping
	case running:
		if !known {
			return pending
		}
		if started && (machine == stopped || machine == stopping) {
			return pending
		}
		return machine // a guest that powers itself off leads, moto follows
	}
	return moto
}

// fleet is what the gateway remembers about instances.
type fleet struct {
	mu       sync.Mutex
	starting map[string]bool      // accepted StartInstances
	gone     map[string]time.Time // when first seen terminated
}

// stateOf is the instance's true state, given moto's.
func (g *Gateway) stateOf(id, moto string) string {
	machine, known := g.cfg.Machines.State(id)
	g.fleet.mu.Lock()
	defer g.fleet.mu.Unlock()
	if machine == pending || machine == running {
		delete(g.fleet.starting, id)
	}
	state := trueState(moto, machine, known, g.fleet.starting[id])
	if _, seen := g.fleet.gone[id]; state == terminated && !seen {
		g.fleet.gone[id] = g.cfg.Now()
	}
	return state
}

// vanished reports whether the instance was terminated so long ago that EC2
// would not know it any more.
func (g *Gateway) vanished(id string) bool {
	g.fleet.mu.Lock()
	defer g.fleet.mu.Unlock()
	at, seen := g.fleet.gone[id]
	return seen && g.cfg.Now().Sub(at) >= g.cfg.TerminatedFor
}

func (g *Gateway) markStarting(ids []string, is bool) {
	g.fleet.mu.Lock()
	defer g.fleet.mu.Unlock()
	for _, id := range ids {
		if is {
			g.fleet.starting[id] = true
		} else {
			delete(g.fleet.starting, id)
		}
	}
}

// refuseVanished is EC2's answer to ids it has forgotten.
func (g *Gateway) refuseVanished(ids []string) error {
	for _, id := range ids {
		if g.vanished(id) {
			return refuse("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
		}
	}
	return nil
}

// instances are moto's instance elements with their true state written in, by
// id; with no ids, all of them.
func (g *Gateway) instances(ctx context.Context, c *call, ids ...string) (map[string]*node, error) {
	form := url.Values{}
	for i, id := range ids {
		form.Set("InstanceId."+strconv.Itoa(i+1), id)
	}
	if len(ids) == 0 {
		form.Set("MaxResults", "1000") // moto's page is 100 by default
	}
	out := map[string]*node{}
	for {
		doc, err := g.ask(ctx, c, "DescribeInstances", form)
		if err != nil {
			return nil, err
		}
		for _, r := range doc.items("reservationSet") {
			for _, n := range r.items("instancesSet") {
				g.writeState(n)
				out[n.value("instanceId")] = n
			}
		}
		token := doc.value("nextToken")
		if token == "" {
			return out, nil
		}
		form.Set("NextToken", token)
	}
}

// writeState puts the true state into an instance or status element.
func (g *Gateway) writeState(n *node) {
	state := g.stateOf(n.value("instanceId"), n.value("instanceState", "name"))
	setState(n.make("instanceState"), state)
}

func setState(n *node, state string) {
	n.set(stateCode(state), "code")
	n.set(state, "name")
}
