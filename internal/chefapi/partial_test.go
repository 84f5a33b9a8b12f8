package chefapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"testing"
)

func TestGroupsHoldEachNameOnceAndFitAPage(t *testing.T) {
	t.Parallel()
	var names []string
	for n := range 12_000 {
		names = append(names, fmt.Sprintf("i-0%016x", uint64(n)*0x9e3779b97f4a7c15))
	}
	names = append(names, "i-0", "web-1", "db.example.com")
	queries := groups(names)
	if len(queries) > 2*len(names)/partialPage+2 {
		t.Errorf("%d searches for %d names", len(queries), len(names))
	}
	for _, name := range names {
		hits := 0
		for _, q := range queries {
			for _, term := range strings.Split(q, " OR ") {
				if strings.HasPrefix(name, strings.NewReplacer("name:", "", `\`, "", "*", "").Replace(term)) {
					hits++
				}
			}
		}
		if want := 1; hits != want && name != "i-0" { // that one is a prefix of the others, and is fetched
			t.Fatalf("%s is found %d times, want once", name, hits)
		}
	}
	for _, q := range queries {
		total := 0
		for _, term := range strings.Split(q, " OR ") {
			head := strings.NewReplacer("name:", "", `\`, "", "*", "").Replace(term)
			for _, name := range names {
				if strings.HasPrefix(name, head) {
					total++
				}
			}
		}
		if total > partialPage {
			t.Errorf("a search is meant to find %d nodes: %.60s", total, q)
		}
	}
	if got := groups(nil); got != nil {
		t.Errorf("no names give %q", got)
	}
}

func TestNodeAttributesCountsWhatIsGone(t *testing.T) {
	t.Parallel()
	f := newFake(t, "/organizations/acme")
	c, err := New(f.user(t, "pivotal"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if err := c.CreateNode(ctx, Node{Name: "a", Normal: map[string]any{"x": map[string]any{"y": "z"}}}); err != nil {
		t.Fatal(err)
	}
	var seen []string
	cover, err := c.NodeAttributes(ctx, []string{"a", "ghost"}, map[string][]string{"k": {"x", "y"}}, func(name string, _ map[string]any) { seen = append(seen, name) })
	if want := (Coverage{Names: 2, Searched: 1, Gone: 1, Pages: 1}); err != nil || cover != want || !slices.Equal(seen, []string{"a"}) {
		t.Errorf("covered %+v, saw %v, %v; want %+v", cover, seen, err, want)
	}
}

// An index that is capped, lags and lies: rows that nobody asked for, rows twice,
// empty ones, and nodes that it does not show. Each name is told once all the same.
func TestNodeAttributesBelievesNoIndex(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch name := path.Base(r.URL.Path); {
		case r.Method == http.MethodPost:
			fmt.Fprint(w, `{"total":2,"rows":[{"data":{"name":"a","k":"1"}},null,{"data":{"name":"stranger","k":"9"}},{"data":{"name":"a","k":"2"}},{"data":{}}]}`)
		case name == "b":
			fmt.Fprint(w, `{"name":"b","normal":{"x":{"y":"3"}}}`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	conf := newFake(t, "/organizations/acme").user(t, "pivotal")
	conf.ServerURL = server.URL
	c, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]any{}
	cover, err := c.NodeAttributes(context.Background(), []string{"a", "b", "gone"}, map[string][]string{"k": {"x", "y"}}, func(name string, v map[string]any) {
		if seen[name] != nil {
			t.Errorf("%s is told twice", name)
		}
		seen[name] = v["k"]
	})
	if want := (Coverage{Names: 3, Searched: 1, Fetched: 1, Gone: 1, Pages: 1}); err != nil || cover != want || len(seen) != 2 || seen["a"] != "1" || seen["b"] != "3" {
		t.Errorf("covered %+v, saw %v, %v; want %+v", cover, seen, err, want)
	}
}

func TestRawObjectsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	f := newFake(t, "/organizations/acme")
	c, err := New(f.user(t, "pivotal"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.CreateClient(ctx, "a", public), c.CreateNode(ctx, Node{Name: "a", Normal: map[string]any{"x": map[string]any{"y": "z"}}})); err != nil {
		t.Fatal(err)
	}
	node, nodeErr := c.RawNode(ctx, "a")
	client, clientErr := c.RawClient(ctx, "a")
	if err := errors.Join(nodeErr, clientErr, c.DeleteNode(ctx, "a"), c.DeleteClient(ctx, "a"), c.RestoreClient(ctx, client), c.RestoreNode(ctx, node)); err != nil {
		t.Fatal(err)
	}
	again, err := c.RawNode(ctx, "a")
	if err != nil || !sameJSON(node, again) {
		t.Errorf("restored as %s, was %s (%v)", again, node, err)
	}
	if err := c.RestoreNode(ctx, node); !errors.Is(err, ErrExists) {
		t.Errorf("restoring twice gives %v", err)
	}
	if v, err := Pick(node, map[string][]string{"k": {"x", "y"}, "none": {"x", "n"}}); err != nil || v["k"] != "z" || v["none"] != nil {
		t.Errorf("picked %v, %v", v, err)
	}
}
