package chefproxy

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
)

// between starts a server that counts what reaches it, and a proxy before it.
func between(t *testing.T, own string) (p *Proxy, reached *[]string, get func(path string) int) {
	t.Helper()
	var got []string
	up := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.URL.Path) }))
	t.Cleanup(up.Close)
	u, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	p = New(u, own)
	front := httptest.NewServer(p)
	t.Cleanup(front.Close)
	return p, &got, func(path string) int {
		resp, err := front.Client().Post(front.URL+path, "text/plain", nil)
		if err != nil {
			return 0
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
}

func TestTheNthCallFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fault   Fault
		codes   []int
		reached int
	}{
		{Throttle, []int{200, 429, 200}, 2},
		{Refuse, []int{200, 403, 403}, 1},
		{Lose, []int{200, 0, 200}, 3},
	} {
		p, reached, post := between(t, "127.0.0.1")
		hit := p.Set("POST clients", 2, c.fault)
		var codes []int
		for range 3 {
			codes = append(codes, post("/clients"))
		}
		if !slices.Equal(codes, c.codes) || len(*reached) != c.reached {
			t.Errorf("%s: answers %v, want %v; %d reached the server, want %d", c.fault, codes, c.codes, len(*reached), c.reached)
		}
		select {
		case <-hit:
		default:
			t.Errorf("%s: it is not told that the fault struck", c.fault)
		}
	}
}

func TestOtherCallsAndOtherHostsPass(t *testing.T) {
	t.Parallel()
	p, _, post := between(t, "127.0.0.1")
	p.Set("POST clients", 1, Refuse)
	if code := post("/nodes/bake-01x"); code != 200 {
		t.Errorf("another call is answered with %d", code)
	}
	p.Lift()
	if code := post("/organizations/o/clients"); code != 200 {
		t.Errorf("after the fault is lifted: %d", code)
	}
	post("/organizations/o/nodes/i-0123abc")
	if calls := p.Calls(); !slices.Equal(calls, []string{"POST nodes/BAKE", "POST clients", "POST nodes/INSTANCE"}) {
		t.Errorf("recorded %v", calls)
	}
	p, _, post = between(t, "10.0.0.1")
	p.Set("POST clients", 1, Refuse)
	if code := post("/clients"); code != 200 || len(p.Calls()) != 0 {
		t.Errorf("a guest's call is answered with %d", code)
	}
}
