package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/chefapi"
)

// httpSlots is how many requests the shedding server takes at a time.
const httpSlots = 25

// sheddingServer is shaped like a Chef server behind a proxy that sheds load:
// it takes 25 requests at a time, tells more of them 429 or 503, and resets a
// connection now and then, before or after the request took effect.
type sheddingServer struct {
	mu      sync.Mutex
	busy    int
	asked   map[string]int            // requests, by agent
	clients map[string]string         // name → public key
	nodes   map[string]map[string]any // name → node
	shed    int
	resets  int
	served  int
}

// closedTo says whose first requests are all refused: a server that is down
// while a quarter of the fleet starts. chefapi asks five times in a row.
func closedTo(agent string, asked int) bool { return strings.HasSuffix(agent, "0") && asked <= 5 }

func (s *sheddingServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in map[string]any
	body, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(body, &in)
	kind, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if name == "" {
		name, _ = in["name"].(string)
	}
	if !s.admit(w, name) {
		return
	}
	time.Sleep(5 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.served++
	switch {
	case s.served%17 == 0: // nothing happened
		s.reset(w)
		return
	case s.served%19 == 0: // it happened, and nobody was told
		s.handle(httptest.NewRecorder(), r, kind, name, in)
		s.reset(w)
		return
	}
	s.handle(w, r, kind, name, in)
}

// admit counts a request, and refuses it where there are too many.
func (s *sheddingServer) admit(w http.ResponseWriter, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[name]++
	if s.busy >= httpSlots || closedTo(name, s.asked[name]) {
		s.shed++
		w.WriteHeader([]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[s.shed%2])
		return false
	}
	s.busy++
	return true
}

func (s *sheddingServer) reset(w http.ResponseWriter) {
	s.resets++
	if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// handle does what a Chef server does for a registration and a report.
func (s *sheddingServer) handle(w http.ResponseWriter, r *http.Request, kind, name string, in map[string]any) {
	signer := r.Header.Get("X-Ops-UserId")
	status, out := http.StatusOK, any(map[string]any{})
	switch what := r.Method + " " + kind; {
	case r.Header.Get("X-Ops-Sign") == "" || signer != "v" && s.clients[signer] == "":
		status = http.StatusUnauthorized
	case what == "POST clients" && s.clients[name] != "", what == "POST nodes" && s.nodes[name] != nil:
		status = http.StatusConflict
	case what == "POST clients" && signer == "v":
		s.clients[name], status = fmt.Sprint(in["public_key"]), http.StatusCreated
	case what == "GET clients":
		out = map[string]any{"name": name, "public_key": s.clients[name]}
	case signer != name:
		status = http.StatusForbidden
	case what == "POST nodes":
		s.nodes[name], status = in, http.StatusCreated
	case what == "GET nodes":
		out = s.nodes[name]
	case what == "PUT nodes":
		s.nodes[name] = in
	default:
		status = http.StatusNotFound
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}

// hurried is a clock whose waits are a hundredth as long, and noted.
type hurried struct {
	SystemClock
	mu     *sync.Mutex
	pauses *[]time.Duration
}

func (h hurried) Sleep(ctx context.Context, d time.Duration) error {
	h.mu.Lock()
	*h.pauses = append(*h.pauses, d)
	h.mu.Unlock()
	return h.SystemClock.Sleep(ctx, d/100)
}

// TestFiveHundredAgentsRegisterOverHTTP starts a fleet at once through the real
// client of the Chef API.
func TestFiveHundredAgentsRegisterOverHTTP(t *testing.T) {
	t.Parallel()
	s := &sheddingServer{asked: map[string]int{}, clients: map[string]string{}, nodes: map[string]map[string]any{}}
	srv := httptest.NewUnstartedServer(s)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Config.SetKeepAlivesEnabled(false) // a connection each, as of 500 machines
	srv.Start()
	t.Cleanup(srv.Close)
	var pauses []time.Duration
	clock, root := hurried{mu: &sync.Mutex{}, pauses: &pauses}, memoryDir(t)
	var fleet sync.WaitGroup
	began := time.Now()
	for n := range massAgents {
		fleet.Go(func() {
			m := fleetMember{fmt.Sprintf("i-%017d", n)}
			if err := m.bootOver(filepath.Join(root, m.id), srv.URL, clock); err != nil {
				t.Errorf("%s: %v", m.id, err)
			}
		})
	}
	fleet.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judge(t, pauses, time.Since(began))
}

// bootOver is boot against a Chef server that speaks HTTP.
func (m fleetMember) bootOver(root, server string, clock Clock) error {
	return m.bootWith(root, agentconf.Chef{ServerURL: server, ValidationClient: "v", ValidatorKey: "ssm:/v", RunList: []string{"role[web]"}}, clock,
		func(c chefapi.Config) (Chef, error) {
			client, err := chefapi.New(c)
			return client, err
		})
}

func (s *sheddingServer) judge(t *testing.T, pauses []time.Duration, took time.Duration) {
	t.Helper()
	all, most := 0, 0
	for _, n := range s.asked {
		all, most = all+n, max(most, n)
	}
	t.Logf("%d agents in %s: %d requests (%.1f each, at most %d), %d shed, %d resets, %d waits of the agents' own",
		massAgents, took.Round(time.Millisecond), all, float64(all)/massAgents, most, s.shed, s.resets, len(pauses))
	if len(s.clients) != massAgents || len(s.nodes) != massAgents {
		t.Errorf("%d clients and %d nodes, want %d of each", len(s.clients), len(s.nodes), massAgents)
	}
	for name, n := range s.nodes {
		if marker, _ := n["normal"].(map[string]any)[markerKey].(map[string]any); marker["instance_id"] != name {
			t.Errorf("node %s is marked %v", name, marker)
		}
	}
	if s.shed < massAgents/2 || s.resets < massAgents/10 {
		t.Errorf("%d requests shed, %d connections reset: the server was no trouble", s.shed, s.resets)
	}
	if all > 25*massAgents || most > 100 {
		t.Errorf("%d requests, at most %d of one agent: the agents hammer the server", all, most)
	}
	spread(t, pauses)
}

// spread wants the first waits, which are random below patience's base, in all
// quarters alike: those of a fleet without jitter are all the same.
func spread(t *testing.T, pauses []time.Duration) {
	t.Helper()
	const base = 2 * time.Second
	var quarters [4]int
	for _, p := range pauses {
		if p < base {
			quarters[int(4*p/base)]++
		}
	}
	for i, n := range quarters {
		if n < 3 {
			t.Errorf("%d of %d waits are in quarter %d of %s: %v", n, len(pauses), i+1, base, quarters)
		}
	}
}
