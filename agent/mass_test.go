package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

const (
	massAgents  = 500
	serverSlots = 10                     // requests that the server takes at a time; more are told 503
	serverTime  = 250 * time.Millisecond // that each takes
)

// busyServer is a Chef server that can do little at a time. It sleeps in the
// bubble's time, so that the whole start costs a second of ours.
type busyServer struct {
	mu      sync.Mutex
	slots   int
	refused int
	lost    int // replies that never arrived although the request took effect
	served  int
	clients map[string]string
	nodes   map[string]int
}

// busyCaller is the server as one of the agents sees it.
type busyCaller struct {
	*busyServer
	name, public string
}

var errBusy = fault.New(fault.Chef, "try later", errors.New("503 Service Unavailable"))

// serve takes one request: a slot, time, effect, and now and then a lost reply.
func (s *busyServer) serve(ctx context.Context, effect func() error) error {
	s.mu.Lock()
	if s.slots == 0 {
		s.refused++
		s.mu.Unlock()
		return errBusy
	}
	s.slots--
	s.mu.Unlock()
	if err := (SystemClock{}).Sleep(ctx, serverTime); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots++
	err := effect()
	if s.served++; err == nil && s.served%17 == 0 {
		s.lost++
		return fmt.Errorf("reading the reply: %w", os.ErrDeadlineExceeded)
	}
	return err
}

func (c *busyCaller) CreateClient(ctx context.Context, name string, public []byte) error {
	return c.serve(ctx, func() error {
		if _, ok := c.clients[name]; ok {
			return chefapi.ErrExists
		}
		c.clients[name] = string(public)
		return nil
	})
}

func (c *busyCaller) ClientExists(ctx context.Context, name string) (there bool, err error) {
	err = c.serve(ctx, func() error {
		if c.clients[name] != c.public {
			return chefapi.ErrUnauthorized
		}
		there = true
		return nil
	})
	return there, err
}

func (c *busyCaller) CreateNode(ctx context.Context, n chefapi.Node) error {
	return c.serve(ctx, func() error {
		if c.clients[c.name] != c.public {
			return chefapi.ErrUnauthorized
		}
		if c.nodes[n.Name]++; c.nodes[n.Name] > 1 {
			c.nodes[n.Name]--
			return chefapi.ErrExists
		}
		return nil
	})
}

func (c *busyCaller) Node(ctx context.Context, name string) (n chefapi.Node, err error) {
	return chefapi.Node{Name: name}, c.serve(ctx, func() error { return nil })
}

func (c *busyCaller) UpdateNode(ctx context.Context, _ chefapi.Node) error {
	return c.serve(ctx, func() error { return nil })
}

func (c *busyCaller) SetNormal(context.Context, string, string, map[string]any) error { return nil }

func (c *busyCaller) DeleteNode(context.Context, string) error   { return nil }
func (c *busyCaller) DeleteClient(context.Context, string) error { return nil }

// fleetMember is what an agent of the fleet needs beside the Chef server.
type fleetMember struct{ id string }

func (m fleetMember) InstanceID(context.Context) (string, error) { return m.id, nil }
func (m fleetMember) Identity(context.Context) (Identity, error) {
	return Identity{InstanceID: m.id, Region: "eu-west-1"}, nil
}
func (fleetMember) Notice(context.Context) (Notice, error) { return Notice{}, nil }
func (fleetMember) Fetch(context.Context, string) ([]byte, error) {
	return []byte(testKeys()[0]), nil
}
func (fleetMember) Run(context.Context, Command) error       { return nil }
func (fleetMember) Do(*http.Request) (*http.Response, error) { return nil, errors.New("no app") }
func (fleetMember) StageStarted(Stage)                       {}
func (fleetMember) StageDone(Stage, time.Duration, error)    {}
func (fleetMember) Note(string)                              {}
func (fleetMember) Output() io.Writer                        { return io.Discard }

// boot runs one agent's first boot in a root of its own.
func (m fleetMember) boot(root string, server *busyServer) error {
	conf := agentconf.Chef{ServerURL: "http://chef.test", ValidationClient: "v", ValidatorKey: "ssm:/v", RunList: []string{"role[web]"}}
	return m.bootWith(root, conf, SystemClock{}, func(c chefapi.Config) (Chef, error) {
		public, _, err := publicOf(c.Key)
		return &busyCaller{server, c.ClientName, string(public)}, err
	})
}

func (m fleetMember) bootWith(root string, conf agentconf.Chef, clock Clock, dial func(chefapi.Config) (Chef, error)) error {
	chef := filepath.Join(root, "usr/bin/chef-client")
	if err := errors.Join(os.MkdirAll(filepath.Dir(chef), 0o755), os.WriteFile(chef, nil, 0o755)); err != nil {
		return err
	}
	a, err := New(agentconf.Config{Role: "web", Chef: conf}, Deps{
		Root: root, Metadata: m, Path: []string{"/usr/bin"}, Runner: m, HTTP: m, Disk: Filesystem{}, Clock: clock,
		ClockSet: func() (bool, error) { return true, nil }, Events: m,
		Cloud:  func(context.Context, string) (Cloud, error) { return Cloud{Secrets: m}, nil },
		Chef:   dial,
		NewKey: func() ([]byte, []byte, error) { return []byte(testKeys()[1]), nil, nil },
	})
	if err != nil {
		return err
	}
	return a.FirstBoot(context.Background())
}

// TestFiveHundredAgentsAtOnceAllRegister starts a whole fleet in the same
// instant against a server that takes ten requests at a time and loses replies.
func TestFiveHundredAgentsAtOnceAllRegister(t *testing.T) {
	t.Parallel()
	testKeys() // made outside the bubble: it costs real time
	root := memoryDir(t)
	synctest.Test(t, func(t *testing.T) {
		server := &busyServer{slots: serverSlots, clients: map[string]string{}, nodes: map[string]int{}}
		began := time.Now()
		var failed atomic.Int32
		var fleet sync.WaitGroup
		for n := range massAgents {
			fleet.Go(func() {
				id := fmt.Sprintf("i-%017x", n)
				if err := (fleetMember{id}).boot(filepath.Join(root, id), server); err != nil {
					failed.Add(1)
					t.Logf("%s: %v", id, err)
				}
			})
		}
		fleet.Wait()
		took := time.Since(began)
		t.Logf("%d agents registered in %s; %d requests served, %d refused, %d replies lost", massAgents, took.Round(time.Second), server.served, server.refused, server.lost)
		if failed.Load() > 0 || len(server.nodes) != massAgents || len(server.clients) != massAgents {
			t.Errorf("%d agents failed; %d nodes, %d clients; want %d of each", failed.Load(), len(server.nodes), len(server.clients), massAgents)
		}
		if took > defaultRegister {
			t.Errorf("it took %s, longer than one agent may try", took)
		}
		// Each agent needs two requests; what is refused is the price of no queue.
		if perAgent := (server.served + server.refused) / massAgents; perAgent > 20 {
			t.Errorf("%d requests per agent: the agents hammer the server", perAgent)
		}
	})
}
