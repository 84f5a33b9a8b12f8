//go:build linux

package control

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type fakeLab struct {
	down chan struct{}
	spot SpotInterrupt
	cut  string
}

func (f *fakeLab) Status(context.Context) Status {
	return Status{Instances: []Instance{{ID: "i-1", State: "running"}}}
}
func (f *fakeLab) Console(id string) []byte { return []byte("console of " + id) }
func (f *fakeLab) PowerCut(_ context.Context, id string) error {
	f.cut = id
	return nil
}
func (f *fakeLab) Shutdown() { close(f.down) }
func (f *fakeLab) SpotInterrupt(id string, s SpotInterrupt) error {
	if id != "i-1" {
		return errors.New("no spot instance " + id)
	}
	f.spot = s
	return nil
}

// serve runs a control server in a directory too deep for a socket address.
func serve(t *testing.T, lab Lab) *Client {
	t.Helper()
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep", 30))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body))
	})
	srv := &http.Server{Handler: Handler(lab, echo)}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return NewClient(dir)
}

func TestClientReachesTheLab(t *testing.T) {
	t.Parallel()
	lab := &fakeLab{down: make(chan struct{})}
	c, ctx := serve(t, lab), t.Context()
	s, err := c.Status(ctx)
	if err != nil || len(s.Instances) != 1 || s.Instances[0].State != "running" {
		t.Errorf("Status = %+v, %v", s, err)
	}
	if out, err := c.Console(ctx, "i-1"); err != nil || string(out) != "console of i-1" {
		t.Errorf("Console = %q, %v", out, err)
	}
	if err := c.SpotInterrupt(ctx, "i-1", SpotInterrupt{Action: "stop", After: time.Second}); err != nil {
		t.Error(err)
	}
	if lab.spot.Action != "stop" || lab.spot.After != time.Second {
		t.Errorf("the lab was told %+v", lab.spot)
	}
	if err := c.PowerCut(ctx, "i-1"); err != nil || lab.cut != "i-1" {
		t.Errorf("PowerCut = %v, and the lab cut the power of %q", err, lab.cut)
	}
	if err := c.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	<-lab.down
}

func TestGatewayPathsAreHandedOver(t *testing.T) {
	t.Parallel()
	c := serve(t, &fakeLab{})
	out, err := c.Do(t.Context(), http.MethodPost, "/gateway/faults", map[string]int{"n": 1})
	if err != nil || strings.TrimSpace(string(out)) != `POST /_lab/faults {"n":1}` {
		t.Errorf("the gateway saw %q, %v", out, err)
	}
}

func TestRefusalsCarryTheLabsWords(t *testing.T) {
	t.Parallel()
	c := serve(t, &fakeLab{})
	err := c.SpotInterrupt(t.Context(), "i-9", SpotInterrupt{})
	if err == nil || !strings.Contains(err.Error(), "no spot instance i-9") {
		t.Errorf("got %v", err)
	}
}

func TestNoLabIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := NewClient(t.TempDir()).Status(t.Context()); err == nil {
		t.Error("a status came from nowhere")
	}
}
