package chefapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"bakehouse/internal/fault"
)

// A Chef server's index gives no hit beyond number 10,000 whatever is asked.
const (
	searchPage = 1000
	searchCap  = 10000
)

// SearchNodes returns the nodes that match a search query ("" is all), sorted
// by name. More than 10,000 hits are an error, never a cut list. A search sees
// a node only some time after it was saved: never delete on its word alone.
//
// One page is the common case. When there are more, paging alone is not to be
// trusted, as goiardi reports a page's size as the total and sorts unstably
// over pages: the names are asked for in one piece, and what the pages did not
// show is fetched one by one.
func (c *Client) SearchNodes(ctx context.Context, query string) ([]Node, error) {
	query = cmp.Or(query, "*:*")
	found := map[string]Node{}
	total, err := c.searchInto(ctx, query, 0, found)
	if err != nil {
		return nil, err
	}
	if total >= searchPage {
		if err := c.searchOn(ctx, query, found); err != nil {
			return nil, err
		}
	}
	out := make([]Node, 0, len(found))
	for _, n := range found {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// searchInto adds one page to found and returns how many hits there are at least.
func (c *Client) searchInto(ctx context.Context, query string, start int, found map[string]Node) (int, error) {
	var page struct {
		Total int         `json:"total"`
		Rows  []*wireNode `json:"rows"` // null where the index holds a node that is deleted
	}
	k := call{what: "searching nodes for " + strconv.Quote(query), method: http.MethodGet, path: "search/node", query: pageQuery(query, start, searchPage)}
	if err := c.do(ctx, k, &page); err != nil {
		return 0, err
	}
	for _, w := range page.Rows {
		if w != nil && w.Name != "" {
			found[w.Name] = w.node()
		}
	}
	return max(page.Total, start+len(page.Rows)), nil
}

// searchOn completes found with what lies beyond the first page.
func (c *Client) searchOn(ctx context.Context, query string, found map[string]Node) error {
	names, err := c.searchNames(ctx, query)
	if err != nil {
		return err
	}
	for start := searchPage; start < len(names); start += searchPage {
		if _, err := c.searchInto(ctx, query, start, found); err != nil {
			return err
		}
	}
	for _, name := range names {
		if _, ok := found[name]; ok {
			continue
		}
		n, err := c.Node(ctx, name)
		if errors.Is(err, ErrNotFound) {
			continue // deleted since, or known to the index alone
		}
		if err != nil {
			return err
		}
		found[name] = n
	}
	return nil
}

// searchNames asks for the names alone of all hits, in one page.
func (c *Client) searchNames(ctx context.Context, query string) ([]string, error) {
	var page struct {
		Total int `json:"total"`
		Rows  []*struct {
			Data struct {
				Name string `json:"name"`
			} `json:"data"`
		} `json:"rows"`
	}
	k := call{what: "searching nodes for " + strconv.Quote(query), method: http.MethodPost, path: "search/node",
		query: pageQuery(query, 0, searchCap), body: map[string][]string{"name": {"name"}}}
	if err := c.do(ctx, k, &page); err != nil {
		return nil, err
	}
	if max(page.Total, len(page.Rows)) >= searchCap {
		return nil, fault.Newf(fault.Chef, "narrow the query, or list all nodes instead",
			"searching nodes for %q on %s: %d hits or more, and a Chef server shows no more than that", query, c, searchCap)
	}
	var names []string
	for _, r := range page.Rows {
		if r != nil && r.Data.Name != "" {
			names = append(names, r.Data.Name)
		}
	}
	return names, nil
}

func pageQuery(query string, start, rows int) url.Values {
	return url.Values{"q": {query}, "start": {strconv.Itoa(start)}, "rows": {strconv.Itoa(rows)}, "sort": {"X_CHEF_id_CHEF_X asc"}}
}
