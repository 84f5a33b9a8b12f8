//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/test/lab/moto"
	"bakehouse/test/story"
)

// placeWithoutInstances stands before the lab's AWS and answers for EC2 in
// regions and accounts where nothing runs, which the lab's emulator cannot:
// with its own list of images, moto 5.2.1 serves one region of one account.
func placeWithoutInstances(t *testing.T) string {
	t.Helper()
	return proxyTo(t, os.Getenv("AWS_ENDPOINT_URL"), func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		body, err := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		empty := err == nil && bytes.Contains(body, []byte("Action=DescribeInstances"))
		if empty {
			w.Header().Set("Content-Type", "text/xml")
			fmt.Fprint(w, `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>0</requestId><reservationSet/></DescribeInstancesResponse>`)
		}
		return empty
	})
}

func TestReaperDoesNothingWhereItDoesNotBelong(t *testing.T) {
	r := theStory(t)
	state, config := t.TempDir(), filepath.Join(t.TempDir(), "bakehouse.yaml")
	looked(t, state)
	lab, err := os.ReadFile(s.world.Config)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := placeWithoutInstances(t)
	const other = "reaper:\n  accounts:\n    other: {id: \"%s\", role_arn: \"arn:aws:iam::222222222222:role/bakehouse-reaper\"}\n"
	for _, c := range []struct {
		what, yaml string
		region     string
		code       int
		says       string
	}{
		{"a wrong region", "", "eu-west-1", 0, "other-place"},
		{"a wrong account", fmt.Sprintf(other, "222222222222"), "us-east-1", 0, "other-place"},
		{"a role of another account than configured", fmt.Sprintf(other, "333333333333"), "us-east-1", 2, "333333333333"},
	} {
		write(t, config, string(lab)+c.yaml)
		tool := reaper(state, "run", "--once", "--config", config, "--region", c.region)
		tool.Env = []string{"AWS_ENDPOINT_URL=" + elsewhere}
		o := runTool(t, tool)
		if o.Code != c.code || !strings.Contains(o.Stdout+o.Stderr, c.says) || strings.Contains(o.Stdout, `"removed":1`) {
			t.Errorf("%s: exit %d, want %d:\n%s%s", c.what, o.Code, c.code, o.Stdout, o.Stderr)
		}
		mustBe(t, r.inst.ID, true)
	}
}

// bookkeeper makes nodes and clients on a server as agents would, of
// instances that nobody ever launched.
func bookkeeper(ctx context.Context, t *testing.T, chef *chefapi.Client, ids ...string) {
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
			"instance_id": id, "account": "123456789012", "region": "us-east-1"}}})
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
	bookkeeper(ctx, t, s.world.Chef, inst.ID)
	t.Cleanup(func() {
		end, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.world.Chef.DeleteNode(end, inst.ID)
		_ = s.world.Chef.DeleteClient(end, inst.ID)
	})
	return inst.ID
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

func TestReaperFinishesWhatARestartOfChefLeft(t *testing.T) {
	r := theStory(t)
	ctx := deadline(t, 2*time.Minute)
	state := bucketState(t)
	looked(t, state)
	id := deadNode(ctx, t)
	var deletes atomic.Int32
	down := chefProxy(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodDelete { // the client goes, then the server does
			deletes.Add(1)
		}
		if deletes.Load() > 1 {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	st, o := reapOnce(t, state, "--chef-server", down)
	if o.Code != 7 || st.Removed != 0 {
		t.Errorf("exit %d, want 7; %+v\n%s", o.Code, st, o.Stderr)
	}
	if node, client := isRegistered(t, id); !node || client {
		t.Errorf("half done should be: no client, but the node; node %v, client %v", node, client)
	}
	if _, o := reapOnce(t, state); o.Code != 0 {
		t.Errorf("the next run: exit %d\n%s", o.Code, o.Stderr)
	}
	mustBe(t, id, false)
	mustBe(t, r.inst.ID, true)
}

func TestReaperWithoutRightsSaysWhichOne(t *testing.T) {
	theStory(t)
	ctx := deadline(t, 2*time.Minute)
	state := bucketState(t)
	looked(t, state)
	id := deadNode(ctx, t)
	// goiardi has no access lists: the proxy refuses as a Chef server does.
	proxy := chefProxy(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"error":["missing delete permission"]}`)
		}
		return r.Method == http.MethodDelete
	})
	_, o := reapOnce(t, state, "--chef-server", proxy)
	if o.Code != 3 || !strings.Contains(o.Stderr, "DELETE right on clients") {
		t.Errorf("exit %d, want 3:\n%s", o.Code, o.Stderr)
	}
	mustBe(t, id, true)
}
