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
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/internal/chefapi"
	"bakehouse/reap"
	"bakehouse/test/lab/goiardi"
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

const emulatorImage = "ami-0123456789abcdef0"

// emulator is a moto of a test's own, which it may end and start again: all
// its data is in memory.
type emulator struct {
	server *moto.Server
	config moto.Config
}

func startEmulator(ctx context.Context, t *testing.T) *emulator {
	t.Helper()
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
	e := &emulator{config: moto.Config{Command: command, Dir: t.TempDir(), Port: port,
		Image: moto.Image{ID: emulatorImage, Name: "base", OwnerID: "099720109477", Architecture: "x86_64", RootDevice: "/dev/sda1"}}}
	if e.server, err = moto.Start(ctx, e.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.server.Stop(time.Second) })
	return e
}

// restart ends the process and starts it again on its port.
func (e *emulator) restart(ctx context.Context, t *testing.T) {
	t.Helper()
	err := e.server.Stop(time.Second)
	if err == nil {
		e.server, err = moto.Start(ctx, e.config)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// launch starts n instances in it.
func (e *emulator) launch(ctx context.Context, t *testing.T, n int32) (ids []string) {
	t.Helper()
	cloud := ec2.NewFromConfig(s.world.AWS, func(o *ec2.Options) { o.BaseEndpoint = aws.String(e.server.URL().String()) })
	out, err := cloud.RunInstances(ctx, &ec2.RunInstancesInput{ImageId: aws.String(emulatorImage), InstanceType: "t3.small", MinCount: &n, MaxCount: &n})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range out.Instances {
		ids = append(ids, aws.ToString(i.InstanceId))
	}
	return ids
}

// TestReaperStopsWhenEC2ComesBackEmpty restarts the emulator between two runs:
// all instances are gone without a word, and no node may follow them.
func TestReaperStopsWhenEC2ComesBackEmpty(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	cloud, chef, state := startEmulator(ctx, t), startChef(ctx, t, false), t.TempDir()
	ids := cloud.launch(ctx, t, 6)
	bookkeeper(ctx, t, chef.client(), home(), ids...)
	run := func(args ...string) story.Outcome {
		tool := reaper(state, "run", append([]string{"--once", "--grace", "1ms", "--chef-server", chef.server.URL,
			"--chef-client", goiardi.AdminName, "--chef-key", chef.server.AdminKey}, args...)...)
		tool.Env = []string{"AWS_ENDPOINT_URL=" + cloud.server.URL().String()}
		return runTool(t, tool)
	}
	if o := run(); o.Code != 0 {
		t.Fatalf("the first run: exit %d\n%s", o.Code, o.Stderr)
	}
	cloud.restart(ctx, t)
	// The floor alone would stop it; without one, the many that vanished at once do.
	for _, args := range [][]string{nil, {"--min-live", "0"}, {"--min-live", "0"}} {
		if o := run(args...); o.Code != 4 || !strings.Contains(o.Stderr, "breaker") || !strings.Contains(o.Stderr, "nothing was deleted") {
			t.Errorf("%v: exit %d, want 4:\n%s%s", args, o.Code, o.Stdout, o.Stderr)
		}
	}
	slices.Sort(ids)
	if nodes, clients := chef.names(ctx); !slices.Equal(nodes, ids) || !slices.Equal(clients, ids) {
		t.Errorf("nodes %v and clients %v are left of %v", nodes, clients, ids)
	}
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
	end, cancel := ending(10 * time.Second)
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
