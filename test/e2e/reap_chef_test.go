//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/reap"
	"bakehouse/test/lab/goiardi"
)

// ownChef is a goiardi of a test's own, which it may end and start again.
type ownChef struct {
	t      *testing.T
	config goiardi.Config
	server *goiardi.Server
	once   sync.Once
}

func startChef(ctx context.Context, t *testing.T, keep bool) *ownChef {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &ownChef{t: t, config: goiardi.Config{Dir: t.TempDir(), Listen: netip.MustParseAddrPort(l.Addr().String()), Keep: keep}}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if c.server, err = goiardi.Start(ctx, c.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end, cancel := ending(10 * time.Second)
		defer cancel()
		_ = c.server.Stop(end)
	})
	return c
}

// client signs as the server's administrator of this moment.
func (c *ownChef) client() *chefapi.Client {
	c.t.Helper()
	key, err := os.ReadFile(c.server.AdminKey)
	if err != nil {
		c.t.Fatal(err)
	}
	chef, err := chefapi.New(chefapi.Config{ServerURL: c.server.URL, ClientName: goiardi.AdminName, Key: key})
	if err != nil {
		c.t.Fatal(err)
	}
	return chef
}

// restart ends the process and starts it again, once.
func (c *ownChef) restart(ctx context.Context) {
	c.once.Do(func() {
		err := c.server.Stop(ctx)
		if err == nil {
			c.server, err = goiardi.Start(ctx, c.config)
		}
		if err != nil {
			c.t.Error(err)
		}
	})
}

// names are those of all nodes, and of the clients that look like instances.
func (c *ownChef) names(ctx context.Context) (nodes, clients []string) {
	c.t.Helper()
	chef := c.client()
	nodes, err := chef.NodeNames(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	clients, err = chef.ClientNames(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	clients = slices.DeleteFunc(clients, func(n string) bool { return !strings.HasPrefix(n, "i-") })
	slices.Sort(nodes)
	slices.Sort(clients)
	return nodes, clients
}

// TestReaperOutlivesARestartOfChef ends the Chef server's process in the
// middle of a run and starts it again, with its data and without.
func TestReaperOutlivesARestartOfChef(t *testing.T) {
	theStory(t)
	for _, c := range []struct {
		what, method, path string
		nth                int // the restart comes before that request is passed on
		keep               bool
		codes              []int
	}{
		{"at the list of nodes", "GET", "/nodes", 1, true, []int{0, 3}},
		{"at the search", "POST", "/search/node", 1, true, []int{0, 3}},
		{"at the third delete", "DELETE", "/", 3, true, []int{0, 7}},
		{"at the third delete, and its data is lost", "DELETE", "/", 3, false, []int{0, 3, 7}},
	} {
		t.Run(c.what, func(t *testing.T) {
			ctx := deadline(t, time.Minute)
			chef := startChef(ctx, t, c.keep)
			place := reap.Place{Account: ownAccount, Region: "eu-west-1"}
			ids := bare(ctx, t, place, 6)
			live, dead := slices.Sorted(slices.Values(ids[:2])), ids[2:]
			bookkeeper(ctx, t, chef.client(), place, ids...)
			state := t.TempDir()
			var mu sync.Mutex
			seen := -1000 // not in the first look
			proxy := proxyTo(t, chef.server.URL, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if r.Method == c.method && strings.HasPrefix(r.URL.Path, c.path) {
					mu.Lock()
					defer mu.Unlock()
					if seen++; seen == c.nth {
						chef.restart(ctx)
					}
				}
				return false
			})
			args := []string{"--region", place.Region, "--chef-server", proxy, "--chef-client", goiardi.AdminName, "--chef-key", chef.server.AdminKey}
			if st, o := reapOnce(t, state, args...); o.Code != 0 || st.Outcome != "looked" {
				t.Fatalf("the first run: exit %d, %+v\n%s", o.Code, st, o.Stderr)
			}
			kill(ctx, t, place, dead...)
			mu.Lock()
			seen = 0
			mu.Unlock()
			st, o := reapOnce(t, state, args...)
			t.Logf("the run in which the server was restarted: exit %d, %+v", o.Code, st)
			if !slices.Contains(c.codes, o.Code) {
				t.Errorf("exit %d, want one of %v\n%s", o.Code, c.codes, o.Stderr)
			}
			nodes, clients := chef.names(ctx)
			if c.keep && (!contains(nodes, live) || !contains(clients, live)) {
				t.Errorf("a live instance's node or client is gone: %v, %v", nodes, clients)
			}
			if st, o := reapOnce(t, state, args...); o.Code != 0 {
				t.Errorf("the next run: exit %d, %+v\n%s", o.Code, st, o.Stderr)
			}
			nodes, clients = chef.names(ctx)
			if !c.keep {
				live = nil // the restart took them, not the reaper
			}
			if !slices.Equal(nodes, live) || !slices.Equal(clients, live) {
				t.Errorf("after the next run: nodes %v, clients %v, want the live ones %v", nodes, clients, live)
			}
		})
	}
}

func contains(all, some []string) bool {
	return !slices.ContainsFunc(some, func(n string) bool { return !slices.Contains(all, n) })
}

// TestReaperWithoutRightsSaysWhichOne signs as a client of goiardi's that is
// no administrator, and as a user of a Chef server who may read and no more.
func TestReaperWithoutRightsSaysWhichOne(t *testing.T) {
	theStory(t)
	ctx := deadline(t, 2*time.Minute)
	state := bucketState(t)
	looked(t, state)
	id := deadNode(ctx, t)
	private, public, err := chefapi.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.world.Chef.CreateClient(ctx, "weak", public); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { forget("weak") })
	key := filepath.Join(t.TempDir(), "weak.pem")
	if err := os.WriteFile(key, private, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, o := reapOnce(t, state, "--chef-client", "weak", "--chef-key", key); o.Code != 3 || !strings.Contains(o.Stderr, "right") || !strings.Contains(o.Stderr, "client") {
		t.Errorf("a client without rights: exit %d, want 3:\n%s", o.Code, o.Stderr)
	}
	mustBe(t, id, true)
	// goiardi has no access lists: the proxy refuses as a Chef server does.
	for _, kind := range []string{"client", "node"} {
		proxy := chefProxy(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			refuse := r.Method == http.MethodDelete && strings.HasPrefix(r.URL.Path, "/"+kind)
			if refuse {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"error":["missing delete permission"]}`)
			}
			return refuse
		})
		_, o := reapOnce(t, state, "--chef-server", proxy)
		if o.Code != 3 || !strings.Contains(o.Stderr, "DELETE right on "+kind+"s") {
			t.Errorf("without the right to delete %ss: exit %d, want 3:\n%s", kind, o.Code, o.Stderr)
		}
		if node, client := isRegistered(t, id); !node || client != (kind == "client") {
			t.Errorf("without the right to delete %ss: node there: %v, client there: %v", kind, node, client)
		}
	}
}

// TestASignalLeavesNoHalf sends SIGTERM, as systemd and containers do, while
// the first delete is on its way.
func TestASignalLeavesNoHalf(t *testing.T) {
	ctx := deadline(t, time.Minute)
	chef, state := startChef(ctx, t, false), t.TempDir()
	place := reap.Place{Account: ownAccount, Region: "eu-west-1"}
	ids := bare(ctx, t, place, 30)
	bookkeeper(ctx, t, chef.client(), place, ids...)
	process, signalled := make(chan *os.Process, 1), sync.Once{}
	proxy := proxyTo(t, chef.server.URL, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodDelete {
			signalled.Do(func() {
				if err := (<-process).Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			})
		}
		return false
	})
	args := []string{"--region", place.Region, "--chef-server", proxy, "--chef-client", goiardi.AdminName, "--chef-key", chef.server.AdminKey}
	if _, o := reapOnce(t, state, args...); o.Code != 0 {
		t.Fatalf("the first run: exit %d\n%s", o.Code, o.Stderr)
	}
	kill(ctx, t, place, ids[:29]...)
	tool := reaper(state, "run", append([]string{"--once"}, args...)...)
	tool.Started = func(p *os.Process) { process <- p }
	o := runTool(t, tool)
	nodes, clients := chef.names(ctx)
	t.Logf("%d of %d nodes were removed before it ended", len(ids)-len(nodes), len(ids)-1)
	if o.Code != 143 || !slices.Equal(nodes, clients) || len(nodes) == len(ids) {
		t.Errorf("exit %d, want 143; nodes %v, clients %v\n%s", o.Code, nodes, clients, o.Stderr)
	}
	if _, o := reapOnce(t, state, args...); o.Code != 0 {
		t.Errorf("the next run: exit %d\n%s", o.Code, o.Stderr)
	}
	if nodes, clients := chef.names(ctx); !slices.Equal(nodes, ids[29:]) || !slices.Equal(clients, ids[29:]) {
		t.Errorf("after the next run: nodes %v, clients %v, want %v", nodes, clients, ids[29:])
	}
}
