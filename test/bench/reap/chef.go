//go:build bench

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
)

// chefServer is shaped like a Chef Infra server: partial search that shows no
// hit beyond number 10,000, lists, single objects, deletes. It checks no
// signature: that is the server's time, not the tool's.
type chefServer struct {
	mu    sync.Mutex
	names []string // sorted
	gone  map[string]bool
	calls map[string]int
}

const searchCap = 10_000

func (c *chefServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kind, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/organizations/acme/"), "/")
	what := r.Method + " " + kind
	if name != "" && kind != "search" {
		what += "/NAME"
	}
	c.calls[what]++
	w.Header().Set("Content-Type", "application/json")
	switch {
	case kind == "search":
		c.search(w, r)
	case name == "":
		c.list(w, r)
	case c.gone[kind+name] || !c.has(name):
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":["not found"]}`)
	case r.Method == http.MethodDelete:
		c.gone[kind+name] = true
		fmt.Fprint(w, `{}`)
	case kind == "clients":
		fmt.Fprintf(w, `{"name":%q,"validator":false,"public_key":"KEY"}`, name)
	default:
		fmt.Fprintf(w, `{"name":%q,"chef_environment":"_default","run_list":["role[web]"],"normal":{"bakehouse":%s},"automatic":{"ohai_time":1.7e9,"padding":%q}}`,
			name, marker(name), strings.Repeat("x", 20_000)) // a small node; real ones have 50 to 500 kB
	}
}

func marker(name string) string {
	return fmt.Sprintf(`{"instance_id":%q,"account":%q,"region":%q}`, name, account, region)
}

func (c *chefServer) has(name string) bool {
	i := sort.SearchStrings(c.names, name)
	return i < len(c.names) && c.names[i] == name
}

func (c *chefServer) list(w http.ResponseWriter, r *http.Request) {
	kind := strings.TrimPrefix(r.URL.Path, "/organizations/acme/")
	all := map[string]string{}
	for _, n := range c.names {
		if !c.gone[kind+n] {
			all[n] = "https://chef.example.com" + r.URL.Path + "/" + n
		}
	}
	_ = json.NewEncoder(w).Encode(all)
}

// search understands "*:*" and "name:PREFIX* OR name:PREFIX*".
func (c *chefServer) search(w http.ResponseWriter, r *http.Request) {
	q, rows := r.URL.Query(), 0
	_, _ = fmt.Sscan(q.Get("rows"), &rows)
	var hits []string
	for _, term := range strings.Split(q.Get("q"), " OR ") {
		prefix := strings.NewReplacer(`\`, "", "*:*", "", "name:", "", "*", "").Replace(term)
		for i := sort.SearchStrings(c.names, prefix); i < len(c.names) && strings.HasPrefix(c.names[i], prefix); i++ {
			if !c.gone["nodes"+c.names[i]] {
				hits = append(hits, c.names[i])
			}
		}
	}
	fmt.Fprintf(w, `{"total":%d,"start":0,"rows":[`, len(hits))
	for i, n := range hits[:min(rows, len(hits), searchCap)] {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, `{"url":"https://chef.example.com/nodes/%s","data":{"name":%q,"id":%q,"account":%q,"region":%q,"bake":null,"oid":null,"oaccount":null,"oregion":null,"seen":1.7e9}}`,
			n, n, n, account, region)
	}
	fmt.Fprint(w, "]}")
}
