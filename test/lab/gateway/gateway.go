package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"sync"
	"time"
)

// Machines is the hypervisor as the gateway sees it. All methods are called
// from many goroutines; only Snapshot may take long.
type Machines interface {
	// State returns the EC2 state name of the machine behind instanceID;
	// known is false while the hypervisor has not looked at it yet.
	State(instanceID string) (state string, known bool)
	// Snapshot copies the instance's root file system under imageID. It
	// blocks; the image shows as pending until it returns.
	Snapshot(ctx context.Context, instanceID, imageID string, noReboot bool) error
	// RemoveImage forgets the image's files; unknown ids are ignored.
	RemoveImage(imageID string)
	// Console returns what the guest wrote to its console so far.
	Console(instanceID string) []byte
	// Nudge says that EC2's state has changed and should be looked at now.
	Nudge()
}

// Rebooter is what a Machines may also offer: a guest's reboot, which moto
// does not show in any state. Without it RebootInstances does nothing.
type Rebooter interface {
	Reboot(instanceID string)
}

// ImageCopier is what a Machines may also offer: the files of image src under
// the id dst as well. Without it CopyImage is refused.
type ImageCopier interface {
	CopyImage(src, dst string) error
}

// Config is what a gateway needs. Upstream and Machines are required.
type Config struct {
	Upstream   *url.URL          // moto's address
	Machines   Machines          // the hypervisor
	Recorder   io.Writer         // one JSON line per call; nil records in memory only
	Parameters map[string]string // SSM parameters answered here, by full name
	// Scaling answers Auto Scaling and CloudWatch of a region; nil leaves both
	// to moto, which launches nothing for a group.
	Scaling func(region string) http.Handler
	// Caller names who calls, from the access key id and the source address;
	// nil or an empty name leaves the access key id to speak for itself.
	Caller func(accessKeyID string, source netip.Addr) string
	// Session tells whose role session an access key is; nil knows none.
	Session func(accessKeyID string) (Session, bool)
	// TerminatedFor is how long a terminated instance stays visible; 0 means
	// an hour, which is what EC2 documents.
	TerminatedFor time.Duration
	Now           func() time.Time // nil means time.Now
}

// Gateway is the handler. Close it to cancel snapshots under way.
type Gateway struct {
	cfg        Config
	client     *http.Client
	stream     *httputil.ReverseProxy
	handlers   map[string]handler
	recorder   *recorder
	faults     *faults
	keys       *keyLocks
	launches   launches
	fleet      fleet
	images     images
	templates  templates
	lifecycles lifecycles
	commands   commands
	draining   draining
	naming     sync.Mutex // held from the check of an image's name to its creation
	closing    chan struct{}
	closed     sync.Once
	work       sync.WaitGroup
}

// handler answers one action of a buffered protocol.
type handler func(ctx context.Context, c *call) (reply, error)

// New returns a gateway for cfg. It starts nothing and talks to nobody before
// its first request.
func New(cfg Config) (*Gateway, error) {
	if cfg.Upstream == nil || cfg.Machines == nil {
		return nil, errors.New("making gateway: upstream and machines are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.TerminatedFor == 0 {
		cfg.TerminatedFor = time.Hour
	}
	// DisableCompression: the client's own Accept-Encoding must decide.
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}
	g := &Gateway{
		cfg:        cfg,
		client:     &http.Client{Transport: transport},
		recorder:   newRecorder(cfg.Recorder),
		faults:     &faults{},
		keys:       &keyLocks{held: map[string]*keyLock{}},
		launches:   launches{byToken: map[string]launch{}},
		fleet:      fleet{starting: map[string]bool{}, gone: map[string]time.Time{}},
		commands:   commands{all: map[string]*invocation{}},
		images:     images{byID: map[string]*image{}},
		templates:  templates{data: map[string]url.Values{}, byToken: map[string]launch{}},
		lifecycles: lifecycles{byID: map[string]*Lifecycle{}, signals: map[string]Signal{}},
		closing:    make(chan struct{}),
	}
	g.stream = newStream(cfg.Upstream, transport)
	g.handlers = g.table()
	return g, nil
}

// Close cancels snapshots under way and waits for them.
func (g *Gateway) Close() error {
	g.closed.Do(func() { close(g.closing) })
	g.work.Wait()
	g.client.CloseIdleConnections()
	return nil
}

// ServeHTTP answers the lab's own control calls under /_lab/ and treats
// everything else as a call to AWS.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isControl(r) {
		g.control(w, r)
		return
	}
	started := g.cfg.Now()
	c, err := parseCall(r)
	if g.cfg.Caller != nil {
		c.caller = g.cfg.Caller(c.accessKey, c.source)
	}
	out := &tap{ResponseWriter: w, status: http.StatusOK}
	if err != nil {
		writeReply(out, renderError(c, &apiError{Code: "MalformedRequest", Message: err.Error(), Status: http.StatusBadRequest}))
	} else {
		g.serve(out, r, c)
	}
	g.recorder.add(c, out, started, g.cfg.Now())
}

// serve applies the first matching fault, then answers.
func (g *Gateway) serve(out *tap, r *http.Request, c *call) {
	f, hit := g.faults.match(c)
	if !hit {
		g.answer(out, r, c)
		return
	}
	out.fault = f.ID
	if d := f.replyLatency(); d > 0 {
		out.ResponseWriter = &late{ResponseWriter: out.ResponseWriter, wait: d, done: r.Context().Done(), begins: func() { g.faults.hold(f.ID) }}
	}
	if !pause(r.Context(), f.latency()) {
		return
	}
	switch {
	case f.Code != "" && !f.LostReply:
		writeReply(out, renderError(c, f.failure()))
	case f.LostReply:
		// The call takes effect; only its reply never arrives.
		unseen := &tap{ResponseWriter: discard{http.Header{}}, status: http.StatusOK}
		g.answer(unseen, r, c)
		cut(out)
		out.lost, out.status, out.head = true, unseen.status, unseen.head
	default:
		g.answer(out, r, c)
	}
}

// answer runs the call's handler, or forwards it as it is.
func (g *Gateway) answer(out *tap, r *http.Request, c *call) {
	if c.protocol == protoREST {
		g.serveREST(out, r, c)
		return
	}
	h, ok := g.handlers[c.service+":"+c.action]
	switch {
	case g.scaled(c):
		h = g.scale
	case !ok:
		h = g.forwardScrubbed
	}
	ctx := r.Context()
	if c.service == "ec2" { // a call that EC2 has read takes effect whole, whatever becomes of its caller
		ctx = context.WithoutCancel(ctx)
	}
	rep, err := g.slowly(ctx, c, h)
	if err == nil {
		rep, err = c.translateReply(rep)
	}
	if err != nil {
		rep = renderError(c, asAPIError(err))
	}
	rep.header.Set("X-Amzn-Requestid", c.id) // the record's, not moto's
	writeReply(out, rep)
}

// pause waits for d and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut ends the client's connection without a reply. Behind a writer that
// cannot be hijacked (HTTP/2, a test's recorder) the client sees a 500.
func cut(out *tap) {
	hijacker, ok := out.ResponseWriter.(http.Hijacker)
	if ok {
		if conn, _, err := hijacker.Hijack(); err == nil {
			_ = conn.Close() // the point is that the client gets nothing
			return
		}
	}
	writeReply(out, reply{status: http.StatusInternalServerError})
}

// background runs fn in its own goroutine with a context that ends at Close,
// or when the returned cancel is called.
func (g *Gateway) background(ctx context.Context, fn func(context.Context)) context.CancelFunc {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g.work.Add(2)
	go func() {
		defer g.work.Done()
		select {
		case <-g.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	go func() {
		defer g.work.Done()
		defer cancel()
		fn(ctx)
	}()
	return cancel
}

// upstreamFailed is what a tool sees when moto itself is not there.
func upstreamFailed(err error) error {
	return &apiError{
		Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable,
		Message: fmt.Sprintf("the lab's emulator (moto) does not answer: %v", err),
	}
}
