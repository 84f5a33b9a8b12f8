package chefapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	wholePage    = 5000 // up to so many nodes are read by one search for all
	partialPage  = 1000 // nodes that one partial search is meant to find
	partialSlack = 200  // more rows than that are asked for: nodes may have come since
	maxTerms     = 40   // prefixes in one query; it travels in the URL
	fetchers     = 8    // parallel GETs of what the search did not show
)

// Coverage says how NodeAttributes came by its answers.
type Coverage struct {
	Names    int // asked for
	Searched int // found by search
	Fetched  int // not in the index, and fetched one by one
	Gone     int // listed, but not there any more
	Pages    int // searches made
}

// NodeAttributes reads a few attributes of the named nodes and calls add once
// for each node, from one goroutine at a time. keys maps a name of the
// caller's to an attribute path; an attribute that a node lacks is nil.
//
// It costs one partial search for about a thousand names, not one call a node.
// Paging is not used: goiardi's pages overlap, and a Chef server's index shows
// no hit beyond number 10,000. Instead the names, which the caller has listed,
// are cut into groups by prefix, and each group fits into one page. What the
// index does not know yet is fetched directly. A search may show a node as it
// was some time ago: read a node again before acting on it.
func (c *Client) NodeAttributes(ctx context.Context, names []string, keys map[string][]string, add func(name string, values map[string]any)) (Coverage, error) {
	cover := Coverage{Names: len(names)}
	missing := make(map[string]bool, len(names))
	for _, n := range names {
		missing[n] = true
	}
	rows := partialPage + partialSlack
	if len(names) <= wholePage {
		rows = len(names) + partialSlack
	}
	for _, query := range groups(names) {
		cover.Pages++
		err := c.partial(ctx, query, rows, keys, func(name string, values map[string]any) {
			if missing[name] { // not the ones that came since, and each once
				delete(missing, name)
				cover.Searched++
				add(name, values)
			}
		})
		if err != nil {
			return cover, err
		}
	}
	return cover, c.fetchMissing(ctx, missing, keys, &cover, add)
}

// partial runs one partial search.
func (c *Client) partial(ctx context.Context, query string, rows int, keys map[string][]string, add func(string, map[string]any)) error {
	body := map[string][]string{"name": {"name"}}
	for k, path := range keys {
		body[k] = path
	}
	var page struct {
		Rows []*struct {
			Data map[string]any `json:"data"`
		} `json:"rows"`
	}
	k := call{what: "searching nodes", method: http.MethodPost, path: "search/node",
		query: pageQuery(query, 0, rows), body: body}
	if err := c.do(ctx, k, &page); err != nil {
		return err
	}
	for _, r := range page.Rows {
		if r == nil {
			continue // the index holds a node that is deleted
		}
		if name, ok := r.Data["name"].(string); ok {
			add(name, r.Data)
		}
	}
	return nil
}

// fetchMissing GETs the nodes that no search showed.
func (c *Client) fetchMissing(ctx context.Context, missing map[string]bool, keys map[string][]string, cover *Coverage, add func(string, map[string]any)) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(fetchers)
	var mu sync.Mutex
	for name := range missing {
		g.Go(func() error {
			var w wireNode
			err := c.get(ctx, "node", name, &w)
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrNotFound) {
				cover.Gone++
				return nil
			}
			if err == nil {
				cover.Fetched++
				add(name, w.pick(keys))
			}
			return err
		})
	}
	return g.Wait()
}

// Pick returns the attributes of a node's JSON as NodeAttributes gives them.
func Pick(node []byte, keys map[string][]string) (map[string]any, error) {
	var w wireNode
	if err := unmarshal(node, &w); err != nil {
		return nil, err
	}
	return w.pick(keys), nil
}

// pick merges the attribute levels as a partial search does: the strongest
// level that has the path wins.
// https://docs.chef.io/attribute_precedence/
func (w wireNode) pick(keys map[string][]string) map[string]any {
	out := map[string]any{"name": w.Name}
	for key, path := range keys {
		for _, level := range []map[string]any{w.Automatic, w.Override, w.Normal, w.Default} {
			if v := dig(level, path); v != nil {
				out[key] = v
				break
			}
		}
	}
	return out
}

func dig(level map[string]any, path []string) any {
	var at any = level
	for _, p := range path {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = m[p]
	}
	return at
}

// groups returns queries that together find all names, each of them no more
// than partialPage.
// Prefixes are slow on goiardi (seconds each, measured): one search for all
// goes as far as an index is sure to show it in one page.
func groups(names []string) []string {
	switch {
	case len(names) == 0:
		return nil
	case len(names) <= wholePage:
		return []string{"*:*"}
	}
	var queries, terms []string
	held := 0
	for _, p := range prefixes(names, "") {
		if held+p.names > partialPage || len(terms) == maxTerms {
			queries, terms, held = append(queries, strings.Join(terms, " OR ")), nil, 0
		}
		terms, held = append(terms, "name:"+escape(p.text)+"*"), held+p.names
	}
	return append(queries, strings.Join(terms, " OR "))
}

// prefix is how many of the names begin with text.
type prefix struct {
	text  string
	names int
}

// prefixes cuts names, which all begin with head, into prefixes of at most
// partialPage names each. A name that ends in head is one of its own.
func prefixes(names []string, head string) []prefix {
	if len(names) <= partialPage {
		return []prefix{{head, len(names)}}
	}
	var out []prefix
	next := map[byte][]string{}
	var order []byte
	for _, n := range names {
		if len(n) == len(head) {
			continue // its longer siblings' queries do not find it; it is fetched
		}
		b := n[len(head)]
		if next[b] == nil {
			order = append(order, b)
		}
		next[b] = append(next[b], n)
	}
	for _, b := range order {
		out = append(out, prefixes(next[b], head+string(b))...)
	}
	return out
}

// escape takes their meaning from the query language's characters that names
// may hold.
func escape(s string) string {
	return strings.NewReplacer(":", `\:`, "-", `\-`).Replace(s)
}

// String reads as a sentence.
func (c Coverage) String() string {
	return strconv.Itoa(c.Names) + " listed, " + strconv.Itoa(c.Searched) + " found by search, " +
		strconv.Itoa(c.Fetched) + " fetched, " + strconv.Itoa(c.Gone) + " gone meanwhile"
}
