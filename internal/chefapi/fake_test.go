package chefapi

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeServer is shaped like a Chef Infra server: one organisation, signatures
// of protocol 1.3, node rights for the creator only, a search that lags
// nothing but shows no more than searchCap hits.
type fakeServer struct {
	*httptest.Server
	org string // "/organizations/acme", or empty for a server without

	mu      sync.Mutex
	objects map[string]map[string]map[string]any // kind → name → object; cookbooks by NAME/VERSION
	keys    map[string]*rsa.PublicKey            // of clients and users
	users   map[string]bool                      // may do all
	creator map[string]string                    // of nodes
	files   map[string][]byte                    // by MD5
	faults  []fakeFault
	calls   []string // METHOD /path, of every request that arrived
	filler  int      // more nodes, nameless, that every search hits
	skew    time.Duration
}

// fakeFault spoils the next request that matches.
type fakeFault struct {
	call   string // prefix of "METHOD /path"
	status int    // 0: drop the connection
	after  bool   // let it take effect first
	header http.Header
	times  int
}

func newFake(t *testing.T, org string) *fakeServer {
	f := &fakeServer{org: org, objects: map[string]map[string]map[string]any{}, keys: map[string]*rsa.PublicKey{},
		users: map[string]bool{}, creator: map[string]string{}, files: map[string][]byte{}}
	for _, kind := range []string{"nodes", "clients", "roles", "environments", "cookbooks", "sandboxes"} {
		f.objects[kind] = map[string]map[string]any{}
	}
	f.objects["environments"]["_default"] = map[string]any{"name": "_default"}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Server.Close)
	return f
}

// user makes a user (not a client) with all rights and returns its Config.
func (f *fakeServer) user(t *testing.T, name string) Config {
	private, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys[name], f.users[name] = parsePublic(string(public)), true
	return Config{ServerURL: f.URL + f.org, ClientName: name, Key: private}
}

func (f *fakeServer) spoil(faults ...fakeFault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, faults...)
}

// count says how many requests of a kind arrived.
func (f *fakeServer) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if strings.HasPrefix(c, call) {
			n++
		}
	}
	return n
}

func parsePublic(text string) *rsa.PublicKey {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil
	}
	key, _ := x509.ParsePKIXPublicKey(block.Bytes)
	public, _ := key.(*rsa.PublicKey)
	return public
}

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	name := r.Method + " " + r.URL.Path
	f.calls = append(f.calls, name)
	w.Header().Set("Date", time.Now().Add(f.skew).UTC().Format(http.TimeFormat))
	for i := range f.faults {
		if ft := &f.faults[i]; ft.times > 0 && strings.HasPrefix(name, ft.call) {
			ft.times--
			if ft.after {
				f.route(httptest.NewRecorder(), r, body)
			}
			f.fail(w, *ft)
			return
		}
	}
	f.route(w, r, body)
}

func (f *fakeServer) fail(w http.ResponseWriter, ft fakeFault) {
	for k, v := range ft.header {
		w.Header()[k] = v
	}
	if ft.status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(ft.status)
	fmt.Fprint(w, "<html>the proxy is unhappy</html>")
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, text string) {
	reply(w, status, map[string]any{"error": []string{text}})
}

// verify checks the headers of signing protocol 1.3.
func (f *fakeServer) verify(r *http.Request, body []byte) error {
	h := r.Header
	sum := sha256.Sum256(body)
	hash := base64.StdEncoding.EncodeToString(sum[:])
	stamp, err := time.Parse(time.RFC3339, h.Get("X-Ops-Timestamp"))
	if err != nil || time.Until(stamp).Abs() > 15*time.Minute || f.skew.Abs() > 15*time.Minute {
		return fmt.Errorf("clock")
	}
	if h.Get("X-Ops-Content-Hash") != hash || h.Get("X-Ops-Sign") != "version=1.3" {
		return fmt.Errorf("hash or version")
	}
	content := fmt.Sprintf("Method:%s\nPath:%s\nX-Ops-Content-Hash:%s\nX-Ops-Sign:version=1.3\nX-Ops-Timestamp:%s\nX-Ops-UserId:%s\nX-Ops-Server-API-Version:%s",
		r.Method, r.URL.Path, hash, h.Get("X-Ops-Timestamp"), h.Get("X-Ops-UserId"), h.Get("X-Ops-Server-API-Version"))
	var text strings.Builder
	for i := 1; h.Get("X-Ops-Authorization-"+strconv.Itoa(i)) != ""; i++ {
		text.WriteString(h.Get("X-Ops-Authorization-" + strconv.Itoa(i)))
	}
	signature, err := base64.StdEncoding.DecodeString(text.String())
	key := f.keys[h.Get("X-Ops-UserId")]
	if err != nil || key == nil {
		return fmt.Errorf("no key")
	}
	digest := sha256.Sum256([]byte(content))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
}

func (f *fakeServer) route(w http.ResponseWriter, r *http.Request, body []byte) {
	if sum, ok := strings.CutPrefix(r.URL.Path, "/bookshelf/"); ok { // presigned, not signed
		f.store(w, r, sum, body)
		return
	}
	who := r.Header.Get("X-Ops-UserId")
	path, ok := strings.CutPrefix(r.URL.Path, f.org+"/")
	switch {
	case !ok:
		refuse(w, 404, "no such organisation")
		return
	case f.verify(r, body) != nil:
		refuse(w, 401, "Invalid signature for user or client '"+who+"'")
		return
	}
	kind, name, _ := strings.Cut(path, "/")
	var in map[string]any
	_ = json.Unmarshal(body, &in)
	switch {
	case kind == "search":
		f.search(w, r, in)
	case kind == "environments" && strings.HasSuffix(name, "/cookbook_versions"):
		f.solve(w, in)
	case kind == "sandboxes":
		f.sandbox(w, r, in)
	case strings.HasSuffix(name, "/keys/default"):
		name = strings.TrimSuffix(name, "/keys/default")
		reply(w, 200, map[string]any{"name": "default", "public_key": f.objects[kind][name]["public_key"]})
	case f.objects[kind] == nil:
		refuse(w, 404, "no such path")
	case name == "":
		f.collection(w, r, kind, who, in)
	default:
		f.object(w, r, kind, name, who, in)
	}
}

func (f *fakeServer) collection(w http.ResponseWriter, r *http.Request, kind, who string, in map[string]any) {
	if r.Method == http.MethodGet {
		out := map[string]string{}
		for name := range f.objects[kind] {
			out[name] = f.URL + r.URL.Path + "/" + name
		}
		reply(w, 200, out)
		return
	}
	name, _ := in["name"].(string)
	if f.objects[kind][name] != nil {
		refuse(w, 409, "Object already exists")
		return
	}
	if kind == "clients" && !f.users[who] && who != "validator" {
		refuse(w, 403, "missing create permission")
		return
	}
	f.objects[kind][name] = in
	if kind == "nodes" {
		f.creator[name] = who
	}
	if kind == "clients" {
		public, _ := in["public_key"].(string)
		f.keys[name] = parsePublic(public)
	}
	reply(w, 201, map[string]string{"uri": f.URL + r.URL.Path + "/" + name})
}

func (f *fakeServer) object(w http.ResponseWriter, r *http.Request, kind, name, who string, in map[string]any) {
	have := f.objects[kind][name]
	allowed := f.users[who] || r.Method == http.MethodGet && kind != "clients" ||
		kind == "nodes" && f.creator[name] == who || kind == "clients" && name == who
	switch {
	case have == nil && !(kind == "cookbooks" && r.Method == http.MethodPut):
		refuse(w, 404, kind+" '"+name+"' not found")
	case !allowed:
		refuse(w, 403, "missing permission")
	case r.Method == http.MethodDelete:
		delete(f.objects[kind], name)
		if kind == "clients" {
			delete(f.keys, name)
		}
		reply(w, 200, have)
	case r.Method == http.MethodPut && have["frozen?"] == true:
		refuse(w, 409, "The cookbook "+name+" is frozen. Use the 'force' option to override.")
	case r.Method == http.MethodPut:
		f.objects[kind][name] = in
		reply(w, 200, in)
	case kind == "clients":
		reply(w, 200, map[string]any{"name": name, "validator": false}) // API version 1: keys elsewhere
	default:
		reply(w, 200, have)
	}
}

// search knows "*:*" and "name:VALUE".
func (f *fakeServer) search(w http.ResponseWriter, r *http.Request, in map[string]any) {
	q := r.URL.Query()
	start, _ := strconv.Atoi(q.Get("start"))
	rows, _ := strconv.Atoi(q.Get("rows"))
	var hits []map[string]any
	for _, n := range f.objects["nodes"] {
		if q.Get("q") == "*:*" || q.Get("q") == "name:"+n["name"].(string) {
			hits = append(hits, n)
		}
	}
	slices.SortFunc(hits, func(a, b map[string]any) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	hits = append(hits, make([]map[string]any, f.filler)...)
	total := len(hits)
	hits = hits[:min(total, searchCap)]
	hits = hits[min(start, len(hits)):min(start+rows, len(hits))]
	out := make([]any, len(hits))
	for i, h := range hits {
		if out[i] = h; h == nil {
			out[i] = nil
		} else if in != nil {
			out[i] = map[string]any{"url": "u", "data": map[string]any{"name": h["name"]}}
		}
	}
	reply(w, 200, map[string]any{"total": total, "start": start, "rows": out})
}

// solve takes the highest version (as text) of each cookbook, without dependencies.
func (f *fakeServer) solve(w http.ResponseWriter, in map[string]any) {
	out := map[string]any{}
	for _, item := range in["run_list"].([]any) {
		name, _, _ := strings.Cut(item.(string), "::")
		for _, cb := range f.objects["cookbooks"] {
			have, _ := out[name].(map[string]any)
			if cb["cookbook_name"] == name && (have == nil || have["version"].(string) < cb["version"].(string)) {
				out[name] = cb
			}
		}
		if out[name] == nil {
			reply(w, 412, map[string]any{"error": []any{map[string]any{"message": "Run list contains invalid items: no such cookbook " + name + "."}}})
			return
		}
	}
	reply(w, 200, out)
}

func (f *fakeServer) sandbox(w http.ResponseWriter, r *http.Request, in map[string]any) {
	if r.Method == http.MethodPut {
		for sum := range f.objects["sandboxes"][strings.TrimPrefix(r.URL.Path, f.org+"/sandboxes/")] {
			if f.files[sum] == nil {
				refuse(w, 503, "a file of the sandbox is missing")
				return
			}
		}
		reply(w, 200, map[string]any{"is_completed": true})
		return
	}
	id, slots := "box"+strconv.Itoa(len(f.objects["sandboxes"])), map[string]any{}
	wanted, _ := in["checksums"].(map[string]any)
	f.objects["sandboxes"][id] = wanted
	for sum := range wanted {
		slots[sum] = map[string]any{"url": f.URL + "/bookshelf/" + sum, "needs_upload": f.files[sum] == nil}
	}
	reply(w, 201, map[string]any{"sandbox_id": id, "uri": f.URL + r.URL.Path + "/" + id, "checksums": slots})
}

func (f *fakeServer) store(w http.ResponseWriter, r *http.Request, sum string, body []byte) {
	got := md5.Sum(body)
	sent, _ := base64.StdEncoding.DecodeString(r.Header.Get("Content-MD5"))
	if fmt.Sprintf("%x", got) != sum || !bytes.Equal(got[:], sent) || r.Header.Get("Content-Type") != "application/x-binary" {
		refuse(w, 403, "the presigned headers do not match")
		return
	}
	f.files[sum] = append([]byte{}, body...)
	reply(w, 200, map[string]any{})
}
