package bake

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/chefrepo"
	"bakehouse/internal/host"
)

// stoppedClock moves only when somebody sleeps.
type stoppedClock struct {
	mu     sync.Mutex
	now    time.Time
	sleeps int
}

func (c *stoppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stoppedClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	if c.sleeps++; c.sleeps > 1000 {
		return errors.New("slept a thousand times: nothing ends this")
	}
	return context.Cause(ctx)
}

// fakeChef keeps nodes and clients.
type fakeChef struct {
	mu      sync.Mutex
	roles   map[string]chefrepo.Role
	names   []string // client NAME, node NAME
	refuse  string   // the next method of this name fails
	asOwner string
	// content is that of all cookbooks, attribute the environment's.
	content, attribute string
	node               chefapi.Node
}

func (c *fakeChef) fail(method string) error {
	if c.refuse == method {
		return chefapi.ErrForbidden
	}
	return nil
}

func (c *fakeChef) Role(_ context.Context, name string) (chefrepo.Role, error) {
	r, ok := c.roles[name]
	if !ok {
		return r, chefapi.ErrNotFound
	}
	return r, c.fail("Role")
}

func (c *fakeChef) EnvironmentExists(_ context.Context, name string) (bool, error) {
	return name == "prod", c.fail("EnvironmentExists")
}

func (c *fakeChef) SolveCookbooks(context.Context, string, []string) (map[string]string, error) {
	return map[string]string{"web": "1.2.3"}, c.fail("SolveCookbooks")
}

func (c *fakeChef) Policy(_ context.Context, group, name string) (chefapi.Policy, error) {
	if group != "prod" || name != "web" {
		return chefapi.Policy{}, chefapi.ErrNotFound
	}
	return chefapi.Policy{Revision: "rev" + c.attribute, RunList: []string{"recipe[web::default]"},
		Cookbooks: map[string]chefapi.PolicyCookbook{"web": {Version: "1.2.3", Identifier: "id" + c.content}}}, c.fail("Policy")
}

func (c *fakeChef) CreateClient(_ context.Context, name string, _ []byte) error {
	if err := c.fail("CreateClient"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = append(c.names, "client "+name)
	return nil
}

func (c *fakeChef) CreateNode(_ context.Context, n chefapi.Node) error {
	if err := c.fail("CreateNode"); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node = n
	c.names = append(c.names, "node "+n.Name)
	return nil
}

func (c *fakeChef) DeleteClient(_ context.Context, name string) error {
	return c.drop("DeleteClient", "client "+name)
}
func (c *fakeChef) DeleteNode(_ context.Context, name string) error {
	return c.drop("DeleteNode", "node "+name)
}

func (c *fakeChef) drop(method, what string) error {
	if err := c.fail(method); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = slices.DeleteFunc(c.names, func(n string) bool { return n == what })
	return nil
}

// fakeInventory is what a small machine says it holds.
const fakeInventory = "[os]\nID=ubuntu\nVERSION_ID=\"24.04\"\n[arch]\namd64\n[base]\nserial: 20260101\n[kernel]\n6.8.0-1-aws\n[agent]\nboot-agent 1\n[chef]\nchef\t18.4.2-1\n" +
	"[packages]\nnginx\t1.24.0-2ubuntu7\tamd64\tinstalled\tnginx\t1.24.0-2ubuntu7\n[end]\n"

// fakeMachine answers the bake's scripts.
type fakeMachine struct {
	mu      sync.Mutex
	files   map[string]string
	scripts []string
	// on may answer a script; handled false leaves it to the default.
	on     func(ctx context.Context, script string, out io.Writer) (handled bool, err error)
	boots  int
	copied func(path string) error
}

func (m *fakeMachine) Run(ctx context.Context, c host.Command) error {
	m.mu.Lock()
	m.scripts = append(m.scripts, c.Script)
	m.mu.Unlock()
	out := c.Stdout
	if out == nil {
		out = io.Discard
	}
	if c.Stdin != nil {
		if _, err := io.Copy(io.Discard, c.Stdin); err != nil {
			return err
		}
	}
	if m.on != nil {
		if handled, err := m.on(ctx, c.Script, out); handled {
			return err
		}
	}
	switch {
	case strings.Contains(c.Script, "status --wait"):
		io.WriteString(out, `{"status":"done","errors":[]}`)
	case strings.Contains(c.Script, "command -v cinc-client"):
		io.WriteString(out, "/usr/bin/chef-client\n")
	case strings.Contains(c.Script, "boot_id"):
		io.WriteString(out, strings.Repeat("x", m.boots)+"\n")
	case strings.Contains(c.Script, "dpkg-query"):
		io.WriteString(out, fakeInventory)
	case strings.Contains(c.Script, "verify.sh"):
		io.WriteString(out, "VERIFIED\n")
	}
	return ctx.Err()
}

func (m *fakeMachine) Output(ctx context.Context, c host.Command) ([]byte, error) {
	var b strings.Builder
	c.Stdout = &b
	err := m.Run(ctx, c)
	return []byte(b.String()), err
}

func (m *fakeMachine) Copy(_ context.Context, c host.CopySpec) error {
	b, err := io.ReadAll(c.Content)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[c.Path] = string(b)
	if m.copied != nil {
		return m.copied(c.Path)
	}
	return nil
}

func (m *fakeMachine) Close() error { return nil }

// fakeReporter keeps what it is told.
type fakeReporter struct {
	mu    sync.Mutex
	infos []string
	steps []string
	start func(step string)
}

func (r *fakeReporter) StepStarted(name string) {
	r.mu.Lock()
	r.steps = append(r.steps, name)
	r.mu.Unlock()
	if r.start != nil {
		r.start(name)
	}
}
func (*fakeReporter) StepProgress(string, string)           {}
func (*fakeReporter) StepLog(string, string)                {}
func (*fakeReporter) StepDone(string, time.Duration, error) {}
func (r *fakeReporter) Info(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.infos = append(r.infos, line)
}

// fakes is a whole world to bake in, with its parts in reach.
type fakes struct {
	World
	ec2      *fakeEC2
	chef     *fakeChef
	machine  *fakeMachine
	reporter *fakeReporter
	connects int
	in       Inputs
}

func newFakes(t *testing.T) *fakes {
	t.Helper()
	f := &fakes{reporter: &fakeReporter{}, machine: &fakeMachine{files: map[string]string{}},
		chef: &fakeChef{roles: map[string]chefrepo.Role{"web": {Name: "web", RunList: []string{"recipe[web]"}}}}}
	api, client := newFakeEC2(t)
	f.ec2 = api
	f.World = World{EC2: client, Chef: f.chef, Reporter: f.reporter, Clock: &stoppedClock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)},
		Identity:  func(context.Context) (Identity, error) { return Identity{"1", "arn:aws:iam::1:user/me"}, nil },
		ChefLogin: func(name string, _ []byte) (NodeMaker, error) { f.chef.asOwner = name; return f.chef, nil },
		Connect: func(ctx context.Context, _ host.Target) (Machine, error) {
			f.connects++
			return f.machine, ctx.Err()
		},
		PublicAddr: func(context.Context) (netip.Addr, error) { return netip.ParseAddr("198.51.100.7") },
		LocalAddr:  func(netip.Addr) (netip.Addr, error) { return netip.ParseAddr("172.31.0.1") },
		StateDir:   t.TempDir()}
	self, err := os.Executable() // a Linux program of this machine's kind
	if err != nil {
		t.Fatal(err)
	}
	f.in = Inputs{Role: "web", Base: "ami-base", Region: "us-east-1", ChefServerURL: "http://chef", AgentBinary: self,
		Prove: ProveInputs{Skip: true},
		Agent: agentconf.Config{Chef: agentconf.Chef{ValidatorKey: "ssm:/v"}}}
	return f
}

// plan resolves, and fails the test when that fails.
func (f *fakes) plan(t *testing.T) Plan {
	t.Helper()
	p, err := f.Resolve(t.Context(), f.in)
	if err != nil {
		t.Fatalf("resolving: %v", err)
	}
	return p
}

// left lists everything that still exists, the journals of bakes included.
func (f *fakes) left(t *testing.T) []string {
	t.Helper()
	out := append(f.ec2.owned(), f.chef.names...)
	journals, err := filepath.Glob(filepath.Join(f.StateDir, "bakes", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(out, journals...)
}

var errBoom = errors.New("boom")
