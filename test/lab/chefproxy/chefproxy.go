// Package chefproxy stands before the lab's Chef server and makes it fail on
// demand: the nth call of a kind is throttled, refused, loses its reply or is
// held back. Chef's signatures cover method and path, not the host, so that
// requests pass through as they are. On demand it also stands in for the parts
// of Chef Infra Server that policies need and goiardi lacks.
package chefproxy

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Fault is what happens to a call.
type Fault string

// The faults.
const (
	Throttle Fault = "throttle" // answered with 429 once; the call has no effect
	Refuse   Fault = "refuse"   // answered with 403, this time and every later one
	Lose     Fault = "lose"     // takes effect once; the connection is cut instead of the reply
	Hold     Fault = "hold"     // takes effect; the reply waits until Release or the caller's end
)

// Proxy is the handler. Only calls of its own host are counted and failed:
// those of guests pass.
type Proxy struct {
	server *url.URL
	next   http.Handler // the server, or the stand-in for policies before it
	own    string       // address of the host

	mu    sync.Mutex
	calls []string
	call  string
	nth   int
	fault Fault
	seen  int
	hit   chan struct{} // closed when the fault has struck
}

// New makes a proxy for upstream that fails calls from the address own.
func New(upstream *url.URL, own string) *Proxy {
	return &Proxy{server: upstream, next: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.Out.Host = r.In.Host
	}}, own: own, hit: make(chan struct{})}
}

// Set makes the nth call (from 1) of a kind fail; kinds are those of Calls.
// The channel it returns closes when that has happened. Set once per Proxy.
func (p *Proxy) Set(call string, nth int, f Fault) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.call, p.nth, p.fault = call, nth, f
	return p.hit
}

// Lift ends the fault.
func (p *Proxy) Lift() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = ""
}

// Calls lists the calls so far, each as method and kind of object.
func (p *Proxy) Calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.calls...)
}

// ServeHTTP passes a call on, or fails it.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	fault := Fault("")
	if host == p.own {
		fault = p.count(Kind(r))
	}
	switch fault {
	case Throttle:
		http.Error(w, `{"error":["slow down: a fault set in the lab"]}`, http.StatusTooManyRequests)
	case Refuse:
		http.Error(w, `{"error":["not allowed: a fault set in the lab"]}`, http.StatusForbidden)
	case Lose:
		p.next.ServeHTTP(&unseen{http.Header{}}, r)
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close() // the caller gets nothing
		}
	case Hold:
		p.next.ServeHTTP(&unseen{http.Header{}}, r)
		p.strike()
		select {
		case <-r.Context().Done():
		case <-time.After(holdTime):
		}
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	default:
		p.next.ServeHTTP(w, r)
		return
	}
	p.strike()
}

// holdTime bounds how long a reply is held back.
const holdTime = 10 * time.Second

func (p *Proxy) strike() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.hit:
	default:
		close(p.hit)
	}
}

// count books a call and says what becomes of it.
func (p *Proxy) count(call string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call)
	if call != p.call {
		return ""
	}
	p.seen++
	if p.seen == p.nth || (p.fault == Refuse && p.seen > p.nth) {
		return p.fault
	}
	return ""
}

// Kind names a call by method and kind of object: names of objects differ
// from bake to bake.
func Kind(r *http.Request) string {
	path := regexp.MustCompile(`^/organizations/[^/]+`).ReplaceAllString(r.URL.Path, "")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if len(parts) > 1 && strings.HasPrefix(parts[1], "bake-") {
		parts[1] = "BAKE"
	}
	if len(parts) > 1 && strings.HasPrefix(parts[1], "i-") {
		parts[1] = "INSTANCE" // whose node has its name
	}
	return r.Method + " " + strings.Join(parts, "/")
}

// unseen swallows a reply.
type unseen struct{ header http.Header }

// Header serves http.ResponseWriter.
func (u *unseen) Header() http.Header { return u.header }

// Write drops b.
func (*unseen) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader drops the status.
func (*unseen) WriteHeader(int) {}
