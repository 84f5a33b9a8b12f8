//go:build e2e

package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/reap"
	"bakehouse/test/lab/moto"
	"bakehouse/test/story"
)

// bookkeeper makes nodes and clients on a server as agents would, of
// that place.
func bookkeeper(ctx context.Context, t *testing.T, chef *chefapi.Client, p reap.Place, ids ...string) {
	t.Helper()
	_, public, err := chefapi.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := chef.CreateClient(ctx, id, public); err != nil {
			t.Fatal(err)
		}
		err := chef.CreateNode(ctx, chefapi.Node{Name: id, Normal: map[string]any{"bakehouse": map[string]any{
			"instance_id": id, "account": p.Account, "region": p.Region}}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// emptyAWS is an emulator as it is after a restart: it knows no instance.
func emptyAWS(t *testing.T) string {
	t.Helper()
	ctx := deadline(t, time.Minute)
	command, err := moto.Find(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	empty, err := moto.Start(ctx, moto.Config{Command: command, Dir: t.TempDir(), Port: port,
		Image: moto.Image{ID: "ami-0123456789abcdef0", Name: "base", OwnerID: "099720109477", Architecture: "x86_64", RootDevice: "/dev/sda1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = empty.Stop(time.Second) })
	return empty.URL().String()
}

func TestReaperStopsWhenEC2ComesBackEmpty(t *testing.T) {
	r := theStory(t)
	state := t.TempDir()
	looked(t, state)
	tool := reaper(state, "run", "--once")
	tool.Env = []string{"AWS_ENDPOINT_URL=" + emptyAWS(t)}
	o := runTool(t, tool)
	if o.Code != 4 || !strings.Contains(o.Stderr, "breaker") || !strings.Contains(o.Stderr, "nothing was deleted") {
		t.Errorf("exit %d, want 4:\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
	mustBe(t, r.inst.ID, true)
}

// chefProxy stands before the lab's Chef server; spoil answers a request in
// its own way, or returns false.
func chefProxy(t *testing.T, spoil func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool) string {
	t.Helper()
	return proxyTo(t, os.Getenv("CHEF_SERVER_URL"), spoil)
}

// proxyTo is such a proxy before any server.
func proxyTo(t *testing.T, server string, spoil func(w http.ResponseWriter, r *http.Request, pass http.Handler) bool) string {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !spoil(w, r, pass) {
			pass.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL
}

// deadNode makes a terminated instance with node and client.
func deadNode(ctx context.Context, t *testing.T) string {
	t.Helper()
	inst := launch(ctx, t, story.Launch{UserData: "#cloud-config\nbootcmd: [[systemctl, mask, --runtime, bakehouse-first-boot.service]]\n"})
	if err := s.world.Terminate(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	bookkeeper(ctx, t, s.world.Chef, home(), inst.ID)
	t.Cleanup(func() { forget(inst.ID) })
	return inst.ID
}

// forget removes node and client of a name from the lab's Chef server.
func forget(name string) {
	end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = s.world.Chef.DeleteNode(end, name)
	_ = s.world.Chef.DeleteClient(end, name)
}

func TestReaperSurvivesALostReply(t *testing.T) {
	theStory(t)
	ctx := deadline(t, 2*time.Minute)
	state := bucketState(t)
	looked(t, state)
	id := deadNode(ctx, t)
	var lost atomic.Int32
	proxy := chefProxy(t, func(_ http.ResponseWriter, r *http.Request, pass http.Handler) bool {
		if r.Method == http.MethodDelete && lost.Add(1) <= 2 {
			pass.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		return false
	})
	st, o := reapOnce(t, state, "--chef-server", proxy)
	if o.Code != 0 || st.Removed != 1 || lost.Load() < 2 {
		t.Errorf("exit %d, %+v, %d replies lost\n%s", o.Code, st, lost.Load(), o.Stderr)
	}
	mustBe(t, id, false)
}
