//go:build lab

package chefproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/chefrepo"
	"bakehouse/test/lab/goiardi"
)

// front is the stand-in before a goiardi of the test's own.
type front struct {
	url   string
	admin Signer
	chef  *chefapi.Client
	lock  Lock
}

func openFront(t *testing.T) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	server, err := goiardi.Start(t.Context(), goiardi.Config{Dir: t.TempDir(), Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	key, err := os.ReadFile(server.AdminKey)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{lock: Lock{Name: "web", Group: "prod", RunList: []string{"recipe[harmless::default]"}, Cookbooks: map[string]string{"harmless": "0.1.0"}}}
	if f.admin, err = NewSigner(goiardi.AdminName, key); err != nil {
		t.Fatal(err)
	}
	up, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := New(up, "127.0.0.1")
	proxy.StandInForPolicies(f.admin)
	srv := httptest.NewServer(proxy)
	t.Cleanup(srv.Close)
	f.url = srv.URL
	f.chef = f.as(t, goiardi.AdminName, key)
	repo, err := chefrepo.Open("../../fixtures/chef-repo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.chef.Upload(t.Context(), repo); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *front) as(t *testing.T, name string, key []byte) *chefapi.Client {
	t.Helper()
	c, err := chefapi.New(chefapi.Config{ServerURL: f.url, ClientName: name, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// client makes a client that is no administrator.
func (f *front) client(t *testing.T, name string) (*chefapi.Client, Signer) {
	t.Helper()
	private, public, err := chefapi.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.chef.CreateClient(t.Context(), name, public); err != nil {
		t.Fatal(err)
	}
	signer, err := NewSigner(name, private)
	if err != nil {
		t.Fatal(err)
	}
	return f.as(t, name, private), signer
}

// send makes one signed call; spoil changes the request after it was signed.
func (f *front) send(t *testing.T, s Signer, method, path string, body map[string]any, spoil func(*http.Request)) (int, string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(req, text, time.Now()); err != nil {
		t.Fatal(err)
	}
	if spoil != nil {
		spoil(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(reply)
}

func TestAPolicyIsPushedAndRead(t *testing.T) {
	t.Parallel()
	f := openFront(t)
	if _, err := f.chef.Policy(t.Context(), "prod", "web"); !errors.Is(err, chefapi.ErrNotFound) {
		t.Errorf("before it is pushed: %v", err)
	}
	first, err := f.admin.Push(t.Context(), f.url, f.lock)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.chef.Policy(t.Context(), "prod", "web")
	if err != nil || p.Revision != first || p.Cookbooks["harmless"].Version != "0.1.0" || !isIdentifier(p.Cookbooks["harmless"].Identifier) {
		t.Errorf("it reads %+v, %v", p, err)
	}
	f.lock.Default = map[string]any{"x": 1}
	second, err := f.admin.Push(t.Context(), f.url, f.lock)
	if p2, err2 := f.chef.Policy(t.Context(), "prod", "web"); err != nil || err2 != nil || second == first || p2.Revision != second || p2.Cookbooks["harmless"] != p.Cookbooks["harmless"] {
		t.Errorf("pushed again, with other attributes: %+v, %v, %v", p2, err, err2)
	}
	for _, other := range [][2]string{{"prod", "nosuch"}, {"nosuch", "web"}} {
		if _, err := f.chef.Policy(t.Context(), other[0], other[1]); !errors.Is(err, chefapi.ErrNotFound) {
			t.Errorf("%v: %v", other, err)
		}
	}
}

func TestAnArtefactHoldsTheFilesOfTheChefServer(t *testing.T) {
	t.Parallel()
	f := openFront(t)
	if _, err := f.admin.Push(t.Context(), f.url, f.lock); err != nil {
		t.Fatal(err)
	}
	p, err := f.chef.Policy(t.Context(), "prod", "web")
	if err != nil {
		t.Fatal(err)
	}
	id := p.Cookbooks["harmless"].Identifier
	manifest, err := f.admin.call(t.Context(), http.MethodGet, f.url+"/cookbook_artifacts/harmless/"+id, nil)
	if err != nil {
		t.Fatal(err)
	}
	recipes, _ := manifest["recipes"].([]any)
	if len(recipes) != 2 || identifier(manifest) != id {
		t.Fatalf("the artefact is %v", manifest)
	}
	file := recipes[0].(map[string]any)
	resp, err := http.Get(file["url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("its file %v: %s", file["url"], resp.Status)
	}
	if code, _ := f.send(t, f.admin, "PUT", "/cookbook_artifacts/harmless/"+id, manifest, nil); code != http.StatusConflict {
		t.Errorf("an artefact is replaced: %d", code)
	}
	other := strings.Repeat("ab", 20)
	manifest["identifier"], file["checksum"] = other, strings.Repeat("0", 32)
	if code, says := f.send(t, f.admin, "PUT", "/cookbook_artifacts/harmless/"+other, manifest, nil); code != http.StatusBadRequest || !strings.Contains(says, "been uploaded") {
		t.Errorf("a file that nobody uploaded: %d %s", code, says)
	}
}

func TestANodeKeepsItsPolicyBehindTheStandIn(t *testing.T) {
	t.Parallel()
	f := openFront(t)
	own, _ := f.client(t, "i-1")
	want := chefapi.Node{Name: "i-1", PolicyName: "web", PolicyGroup: "prod"}
	if err := own.CreateNode(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := own.CreateNode(t.Context(), want); !errors.Is(err, chefapi.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	want.Normal = map[string]any{"a": true}
	if err := own.UpdateNode(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if n, err := f.chef.Node(t.Context(), "i-1"); err != nil || n.PolicyName != "web" || n.PolicyGroup != "prod" || n.Normal["a"] == nil {
		t.Errorf("%v: the node is %+v", err, n)
	}
	foreign, _ := f.client(t, "i-2")
	if err := foreign.UpdateNode(t.Context(), want); !errors.Is(err, chefapi.ErrForbidden) {
		t.Errorf("another client updates the node: %v", err)
	}
	if err := own.UpdateNode(t.Context(), chefapi.Node{Name: "i-1"}); err != nil {
		t.Fatal(err)
	}
	if n, err := f.chef.Node(t.Context(), "i-1"); err != nil || n.PolicyName != "" {
		t.Errorf("%v: saved without a policy it is %+v", err, n)
	}
	if err := own.UpdateNode(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := own.DeleteNode(t.Context(), "i-1"); err != nil {
		t.Fatal(err)
	}
	if err := own.CreateNode(t.Context(), chefapi.Node{Name: "i-1"}); err != nil {
		t.Fatal(err)
	}
	if n, err := f.chef.Node(t.Context(), "i-1"); err != nil || n.PolicyName != "" {
		t.Errorf("%v: a new node of the name of a deleted one is %+v", err, n)
	}
}

func TestTheStandInRefusesWhatAChefServerRefuses(t *testing.T) {
	t.Parallel()
	f := openFront(t)
	_, weak := f.client(t, "weak")
	foreign := weak
	foreign.Name = goiardi.AdminName // with a key that is not admin's
	const path = "/policy_groups/prod/policies/web"
	id := strings.Repeat("0f", 20)
	good := map[string]any{"name": "web", "revision_id": "1", "run_list": []string{"recipe[a::b]"},
		"cookbook_locks": map[string]any{"a": map[string]any{"identifier": id, "version": "1.0.0"}}}
	with := func(key string, value any) map[string]any {
		m := maps.Clone(good)
		m[key] = value
		return m
	}
	cases := map[string]struct {
		who    Signer
		method string
		path   string
		body   map[string]any
		spoil  func(*http.Request)
		code   int
		says   string
	}{
		"no headers":         {f.admin, "GET", path, nil, func(r *http.Request) { r.Header.Del("X-Ops-Userid") }, 401, "authentication header"},
		"unknown client":     {Signer{"nobody", weak.key}, "GET", path, nil, nil, 401, "nobody"},
		"a foreign key":      {foreign, "GET", path, nil, nil, 401, "Invalid signature"},
		"an old request":     {f.admin, "GET", path, nil, func(r *http.Request) { r.Header.Set("X-Ops-Timestamp", "2020-01-01T00:00:00Z") }, 401, "time"},
		"another path":       {f.admin, "GET", path, nil, func(r *http.Request) { r.URL.Path += "x" }, 401, "signature"},
		"another protocol":   {f.admin, "GET", path, nil, func(r *http.Request) { r.Header.Set("X-Ops-Sign", "version=0.9") }, 401, "version"},
		"another body":       {f.admin, "PUT", path, good, func(r *http.Request) { r.Header.Set("X-Ops-Content-Hash", "x") }, 401, "signature"},
		"no right":           {weak, "PUT", path, good, nil, 403, "permission"},
		"another name":       {f.admin, "PUT", path, with("name", "x"), nil, 400, "name"},
		"no revision":        {f.admin, "PUT", path, with("revision_id", ""), nil, 400, "revision_id"},
		"no run list":        {f.admin, "PUT", path, with("run_list", nil), nil, 400, "run_list"},
		"a role":             {f.admin, "PUT", path, with("run_list", []string{"role[a]"}), nil, 400, "role[a]"},
		"no identifier":      {f.admin, "PUT", path, with("cookbook_locks", map[string]any{"a": map[string]any{}}), nil, 400, "identifier"},
		"delete":             {f.admin, "DELETE", path, nil, nil, 405, "GET and PUT"},
		"a list":             {f.admin, "GET", "/policies", nil, nil, 404, "does not have /policies"},
		"artefact's name":    {f.admin, "PUT", "/cookbook_artifacts/a/" + id, map[string]any{"name": "b", "identifier": id}, nil, 400, "name"},
		"no such artefact":   {f.admin, "GET", "/cookbook_artifacts/a/" + id, nil, nil, 404, id},
		"half a node policy": {f.admin, "POST", "/nodes", map[string]any{"name": "n", "policy_name": "web"}, nil, 400, "together"},
		"a node, unsigned":   {f.admin, "POST", "/nodes", map[string]any{"name": "n"}, func(r *http.Request) { r.Header.Del("X-Ops-Userid") }, 401, "header"},
	}
	for name, c := range cases {
		if code, says := f.send(t, c.who, c.method, c.path, c.body, c.spoil); code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("%s: %d %s, want %d and %q", name, code, says, c.code, c.says)
		}
	}
	if _, err := f.chef.Policy(t.Context(), "prod", "web"); !errors.Is(err, chefapi.ErrNotFound) {
		t.Errorf("a refused policy is there: %v", err)
	}
}

func TestOnlyRSAKeysSign(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := NewSigner("x", []byte(bad)); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
		if _, err := publicKey(bad); err == nil {
			t.Errorf("%q is taken for a public key", bad)
		}
	}
}
