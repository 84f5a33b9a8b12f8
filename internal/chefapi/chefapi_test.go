package chefapi

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

func TestNewSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	private, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	good := Config{ServerURL: "https://chef.example/organizations/acme/", ClientName: "admin", Key: private}
	if c, err := New(good); err != nil || c.String() != "https://chef.example/organizations/acme as admin" {
		t.Fatalf("good configuration: %v, %v", c, err)
	}
	cases := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no URL", func(c *Config) { c.ServerURL = "" }, "no Chef server URL is set"},
		{"no scheme", func(c *Config) { c.ServerURL = "chef.example" }, `"chef.example" is not an http(s) URL`},
		{"wrong path", func(c *Config) { c.ServerURL = "https://chef.example/o/acme" }, "the path is not /organizations/NAME"},
		{"password", func(c *Config) { c.ServerURL = "https://u:hunter2@chef.example" }, "holds more than scheme, host and path"},
		{"no client", func(c *Config) { c.ClientName = "" }, `"" is not a client name`},
		{"no key", func(c *Config) { c.Key = nil }, "reading the key of Chef client admin: it is empty"},
		{"no PEM", func(c *Config) { c.Key = []byte("x") }, "it is not PEM"},
		{"public half", func(c *Config) { c.Key = public }, "it is the public half"},
		{"encrypted", func(c *Config) { c.Key = encrypted }, "it is encrypted"},
		{"garbage", func(c *Config) {
			c.Key = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte("x")})
		}, "it does not parse"},
		{"no CA file", func(c *Config) { c.CAFile = empty + "x" }, "reading the Chef server's CA file: open "},
		{"empty CA file", func(c *Config) { c.CAFile = empty }, "no certificate in " + empty},
	}
	for _, c := range cases {
		config := good
		c.change(&config)
		_, err := New(config)
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Usage || fault.NextOf(err) == "" {
			t.Errorf("%s: %v (next %q), want Usage that holds %q", c.name, err, fault.NextOf(err), c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is in the message", c.name)
		}
	}
}

func TestNamesThatWouldChangeThePathNeverLeave(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	c := client(t, f.user(t, "admin"))
	_, public, _ := GenerateKey()
	for _, name := range []string{"", ".", "..", "../clients/x", "a/b", "a b", "a?b", "a%2fb", "é"} {
		ctx := t.Context()
		_, nodeErr := c.Node(ctx, name)
		_, roleErr := c.Role(ctx, name)
		_, clientErr := c.ClientExists(ctx, name)
		_, envErr := c.EnvironmentExists(ctx, name)
		_, solveErr := c.SolveCookbooks(ctx, name, []string{"a"})
		for i, err := range []error{nodeErr, roleErr, clientErr, envErr, solveErr, c.DeleteNode(ctx, name), c.DeleteClient(ctx, name),
			c.CreateNode(ctx, Node{Name: name}), c.UpdateNode(ctx, Node{Name: name}), c.CreateClient(ctx, name, public)} {
			if fault.KindOf(err) != fault.Usage {
				t.Errorf("call %d with name %q: %v, want a usage error", i, name, err)
			}
		}
	}
	if n := f.count(""); n != 0 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestPassingTroubleIsRepeated(t *testing.T) {
	t.Parallel()
	f := newFake(t, "/organizations/acme")
	c := client(t, f.user(t, "admin"))
	var pauses []time.Duration
	c.pause = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
	for _, status := range []int{0, 429, 500, 502, 503, 504} {
		f.spoil(fakeFault{call: "GET", status: status, times: 2})
		if _, err := c.NodeNames(t.Context()); err != nil {
			t.Errorf("two times %d: %v", status, err)
		}
	}
	pauses = nil
	f.spoil(fakeFault{call: "GET", status: 429, times: 2, header: http.Header{"Retry-After": {"3600"}}})
	if _, err := c.NodeNames(t.Context()); err != nil || len(pauses) != 2 || min(pauses[0], pauses[1]) < maxPause || max(pauses[0], pauses[1]) > 2*maxPause || pauses[0] == pauses[1] {
		t.Errorf("Retry-After of an hour: %v, pauses %v, want two from %v to twice that, and not the same: all who are told to wait must not come back at once", err, pauses, maxPause)
	}
	f.spoil(fakeFault{call: "GET", status: 429, times: 2, header: http.Header{"Retry-After": {"-1"}}})
	if _, err := c.NodeNames(t.Context()); err != nil {
		t.Errorf("a Retry-After before now: %v", err)
	}
	before := f.count("GET")
	f.spoil(fakeFault{call: "GET", status: 503, times: 100})
	_, err := c.NodeNames(t.Context())
	if err == nil || !strings.Contains(err.Error(), "listing nodes: HTTP 503 on "+f.URL) || f.count("GET")-before != attempts {
		t.Errorf("503 for ever: %v after %d requests, want an error after %d", err, f.count("GET")-before, attempts)
	}
}

func TestRefusalsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 400, 401, 403, 404, 405, 413} {
		f := newFake(t, "")
		c := client(t, f.user(t, "admin"))
		f.spoil(fakeFault{call: "GET", status: status, times: 9, header: http.Header{"Location": {"https://elsewhere/"}}})
		_, err := c.NodeNames(t.Context())
		if err == nil || f.count("GET") != 1 || strings.Contains(err.Error(), "<html>") || fault.KindOf(err) != fault.Chef {
			t.Errorf("%d: %v after %d requests", status, err, f.count("GET"))
		}
	}
}

// A POST whose reply is lost took effect: repeating it meets "already exists",
// which must then not be reported as somebody else's object.
func TestCreateSurvivesALostReply(t *testing.T) {
	t.Parallel()
	f := newFake(t, "/organizations/acme")
	c := client(t, f.user(t, "admin"))
	_, mine, _ := GenerateKey()
	_, other, _ := GenerateKey()
	ctx := t.Context()
	for i, status := range []int{0, 502} {
		lost := func(call string) {
			f.spoil(fakeFault{call: "POST /organizations/acme/" + call, status: status, after: true, times: 1})
		}
		name := fmt.Sprintf("n%d", i)
		lost("clients")
		if err := c.CreateClient(ctx, name, mine); err != nil {
			t.Errorf("client, reply lost with %d: %v", status, err)
		}
		lost("nodes")
		if err := c.CreateNode(ctx, Node{Name: name, RunList: []string{"a"}, Normal: map[string]any{"x": 1}}); err != nil {
			t.Errorf("node, reply lost with %d: %v", status, err)
		}
		f.spoil(fakeFault{call: "POST", status: status, times: 1})
		if err := c.CreateClient(ctx, name, other); !errors.Is(err, ErrExists) {
			t.Errorf("client of another key: %v, want ErrExists", err)
		}
		f.spoil(fakeFault{call: "POST", status: status, times: 1})
		if err := c.CreateNode(ctx, Node{Name: name, RunList: []string{"b"}}); !errors.Is(err, ErrExists) {
			t.Errorf("node of another run list: %v, want ErrExists", err)
		}
		f.spoil(fakeFault{call: "DELETE", status: status, after: true, times: 1})
		if err := c.DeleteNode(ctx, name); err != nil {
			t.Errorf("delete, reply lost with %d: %v", status, err)
		}
	}
}

func TestCreateClientWantsAPublicKey(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	c := client(t, f.user(t, "admin"))
	private, _, _ := GenerateKey()
	if err := c.CreateClient(t.Context(), "x", private); err == nil || f.count("") != 0 {
		t.Errorf("a private key was sent: %v", err)
	}
}

func TestTheContextEndsACallAtOnce(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	c := client(t, f.user(t, "admin"))
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("caller has had enough")
	c.pause = func(ctx context.Context, _ time.Duration) error { cancel(stop); return context.Cause(ctx) }
	f.spoil(fakeFault{call: "GET", status: 503, times: 9})
	_, err := c.NodeNames(ctx)
	if !errors.Is(err, stop) || f.count("GET") != 1 {
		t.Errorf("cancelled while pausing: %v after %d requests", err, f.count("GET"))
	}
	if _, err = c.NodeNames(ctx); !errors.Is(err, stop) {
		t.Errorf("cancelled before: %v", err)
	}
	late, done := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer done()
	if _, err = c.NodeNames(late); fault.KindOf(err) != fault.Timeout {
		t.Errorf("deadline: %v of kind %v, want a time-out", err, fault.KindOf(err))
	}
}

func TestASlowServerIsGivenUp(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(hang) })
	config := newFake(t, "").user(t, "admin")
	config.ServerURL, config.Timeout = srv.URL, 5*time.Millisecond
	_, err := client(t, config).NodeNames(t.Context())
	if err == nil || !strings.Contains(err.Error(), "no answer in time") || fault.NextOf(err) == "" {
		t.Errorf("error %v, next %q", err, fault.NextOf(err))
	}
}

func TestUnreachableServerIsOneClearLine(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	config := newFake(t, "").user(t, "admin")
	config.ServerURL = "http://" + l.Addr().String()
	_, err = client(t, config).Node(t.Context(), "n")
	want := "fetching node n: reaching http://" + l.Addr().String() + " as admin: dial tcp " + l.Addr().String() + ": connect: connection refused"
	if err == nil || err.Error() != want || fault.KindOf(err) != fault.Chef || fault.NextOf(err) == "" {
		t.Errorf("error %v\nwant  %v", err, want)
	}
}

func TestCertificateOfAnotherAuthority(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	config := f.user(t, "admin")
	srv := httptest.NewUnstartedServer(f)
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	config.ServerURL = srv.URL
	_, err := client(t, config).NodeNames(t.Context())
	if err == nil || !strings.Contains(fault.NextOf(err), "chef.ca_file") {
		t.Errorf("unknown authority: %v, next %q", err, fault.NextOf(err))
	}
	config.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(config.CAFile, ca, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client(t, config).NodeNames(t.Context()); err != nil {
		t.Errorf("with its CA file: %v", err)
	}
}

func TestAWrongClockIsNamed(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	f.skew = time.Hour
	_, err := client(t, f.user(t, "admin")).NodeNames(t.Context())
	if !errors.Is(err, ErrUnauthorized) || !strings.Contains(err.Error(), "clock is 1h0m0s off") && !strings.Contains(err.Error(), "clock is 59m59s off") {
		t.Errorf("error %v", err)
	}
	if fault.NextOf(err) != "set this machine's clock" {
		t.Errorf("next step %q", fault.NextOf(err))
	}
}

func TestOnlyTheOwnerMayTouchAClient(t *testing.T) {
	t.Parallel()
	f := newFake(t, "/organizations/acme")
	admin := client(t, f.user(t, "admin"))
	key, public, _ := GenerateKey()
	for _, name := range []string{"a", "b"} {
		if err := admin.CreateClient(t.Context(), name, public); err != nil {
			t.Fatal(err)
		}
	}
	a := client(t, Config{ServerURL: f.URL + f.org, ClientName: "a", Key: key})
	if err := a.DeleteClient(t.Context(), "b"); !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "missing permission") {
		t.Errorf("deleting a foreign client: %v, want ErrForbidden in the server's words", err)
	}
	if err := a.DeleteClient(t.Context(), "a"); err != nil {
		t.Errorf("deleting itself: %v", err)
	}
	if err := admin.Ping(t.Context()); err != nil {
		t.Errorf("a user, who is no client, pings: %v", err)
	}
}

func TestSearchIsWholeOrAnError(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	c := client(t, f.user(t, "admin"))
	f.mu.Lock()
	for i := range 2 * searchPage {
		name := fmt.Sprintf("n%04d", i)
		f.objects["nodes"][name] = map[string]any{"name": name}
	}
	f.mu.Unlock()
	if found, err := c.SearchNodes(t.Context(), ""); err != nil || len(found) != 2*searchPage || found[0].Name != "n0000" {
		t.Errorf("two pages: %d nodes, %v", len(found), err)
	}
	if found, err := c.SearchNodes(t.Context(), "name:n0007"); err != nil || len(found) != 1 || found[0].Environment != "_default" {
		t.Errorf("one node: %+v, %v", found, err)
	}
	f.mu.Lock()
	f.filler = 5 // nodes that are deleted but still in the index
	f.mu.Unlock()
	if found, err := c.SearchNodes(t.Context(), ""); err != nil || len(found) != 2*searchPage {
		t.Errorf("with a stale index: %d nodes, %v", len(found), err)
	}
	f.mu.Lock()
	f.filler = searchCap
	f.mu.Unlock()
	if _, err := c.SearchNodes(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "10000 hits or more") {
		t.Errorf("beyond the cap: %v", err)
	}
}

func TestSearchQueriesArriveWhole(t *testing.T) {
	t.Parallel()
	const query = "role:web AND tags:a+b && name:x*"
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.URL.Query().Get("q")
		fmt.Fprint(w, `{"total":0,"rows":[]}`)
	}))
	t.Cleanup(srv.Close)
	config := newFake(t, "").user(t, "admin")
	config.ServerURL = srv.URL
	if _, err := client(t, config).SearchNodes(t.Context(), query); err != nil {
		t.Fatal(err)
	}
	if q := <-got; q != query {
		t.Errorf("the server saw %q, want %q", q, query)
	}
}

func TestTheServersWordsInEveryShape(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		`{"error":["a","b"]}`:                          "a; b",
		`{"error":"one\n two"}`:                        "one two",
		`{"error":[{"message":"m","x":[1]}]}`:          "m",
		`{"error":["{\"message\":\"inner\"}"]}`:        "inner",
		`{"error":{"message":["list"]}}`:               "list",
		`{"errors":1}`:                                 "",
		`<html>`:                                       "",
		`{"error":"` + strings.Repeat("x", 999) + `"}`: strings.Repeat("x", 300) + "…",
	}
	for body, want := range cases {
		if got := message([]byte(body)); got != want {
			t.Errorf("%.40s = %q, want %q", body, got, want)
		}
	}
}
