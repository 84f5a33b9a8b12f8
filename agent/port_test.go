package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

// host plays systemd with an app that really listens: the file web of a release
// names its address. An app that cannot listen is started again and again.
type host struct {
	*world
	mu     sync.Mutex
	server *http.Server
	failed bool
}

func (h *host) systemctl(args []string, out io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch args[0] {
	case "show":
		state := "ActiveState=active\nSubState=running\nResult=success\nExecMainStatus=0\nNRestarts=0\n"
		if h.failed {
			state = "ActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=1\nNRestarts=3\n"
		}
		fmt.Fprint(out, "LoadState=loaded\nConditionResult=yes\n"+state)
	case "restart":
		h.stop()
		l, err := net.Listen("tcp", h.read("/srv/web/current/web"))
		if h.failed = err != nil; h.failed {
			h.said = "web: error: " + err.Error() + "\n"
			return nil // the program was started; what came of it is not systemctl's
		}
		id := h.read("/srv/web/current/RELEASE")
		h.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, id) })}
		go func() { _ = h.server.Serve(l) }() // ends with the server
	}
	return nil
}

func (h *host) stop() {
	if h.server != nil {
		_ = h.server.Close()
		h.server = nil
	}
}

// get asks whoever listens on an address.
func get(t *testing.T, address string) string {
	t.Helper()
	res, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A build whose port another program holds does not start, although that
// program answers the health check well; the old one serves on.
func TestAPortInUseIsToldAndTheOldReleaseServes(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	squatter := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "somebody else") })}
	go func() { _ = squatter.Serve(other) }() // ends with the server
	defer squatter.Close()
	w := newWorld(t)
	h := &host{world: w}
	defer h.stop()
	w.conf.App.Health = agentconf.Health{URL: "http://" + other.Addr().String(), Timeout: agentconf.Duration(3 * time.Second)}
	w.systemctl = h.systemctl
	w.health = func(int) (int, error) {
		res, err := http.Get(w.conf.App.Health.URL)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	own := free(t)
	good := w.push(own)
	w.boot()
	w.push(other.Addr().String())
	err = w.agent().Deploy(context.Background())
	if fault.KindOf(err) != fault.Check || !strings.Contains(fault.NextOf(err), "journalctl -u web.service") {
		t.Fatalf("error is %v (next %q), want a check fault that leads to the journal", err, fault.NextOf(err))
	}
	for _, words := range []string{"listen tcp " + other.Addr().String() + ": bind: address already in use", "auto-restart", "rolled back to build " + good.Short()} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("error does not say %q: %v", words, err)
		}
	}
	w.serving(good)
	if got := get(t, own); got != string(good)+"\n" {
		t.Errorf("on the port of the good build answers %q", got)
	}
	if got := get(t, other.Addr().String()); got != "somebody else" {
		t.Errorf("on the other port answers %q", got)
	}
}
