package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// front is a gateway before a fake upstream.
func front(t *testing.T, m Machines, upstream http.HandlerFunc) (*Gateway, *httptest.Server) {
	t.Helper()
	back := httptest.NewServer(upstream)
	t.Cleanup(back.Close)
	u, err := url.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(Config{Upstream: u, Machines: m})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return g, server
}

func s3Request(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/s3/aws4_request, Signature=0")
	return req
}

// TestObjectsAreNotHeldInMemory sends the second half of an object only after
// the upstream has seen the first: a gateway that buffers would hang.
func TestObjectsAreNotHeldInMemory(t *testing.T) {
	t.Parallel()
	half := bytes.Repeat([]byte("x"), 1<<20)
	seen := make(chan error, 1)
	_, server := front(t, noMachines{}, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadFull(r.Body, make([]byte, len(half)))
		seen <- err
		_, _ = io.Copy(w, r.Body)
	})
	in, out := io.Pipe()
	go func() {
		_, _ = out.Write(half)
		err := <-seen
		_, _ = out.Write([]byte("the end"))
		_ = out.CloseWithError(err)
	}()
	res, err := http.DefaultClient.Do(s3Request(t, http.MethodPut, server.URL+"/b/k", in))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err != nil || string(got) != "the end" {
		t.Errorf("came through as %q, %v", got, err)
	}
}

func TestHeadersOfObjectsComeThroughUntouched(t *testing.T) {
	t.Parallel()
	got := make(chan http.Header, 1)
	_, server := front(t, noMachines{}, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Clone()
		w.Header().Set("Etag", `"e"`)
	})
	req := s3Request(t, http.MethodPut, server.URL+"/b/k", strings.NewReader("x"))
	want := map[string]string{
		"If-None-Match": "*", "Content-Encoding": "aws-chunked", "X-Amz-Trailer": "x-amz-checksum-crc32",
		"X-Amz-Checksum-Sha256": "abc", "X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
	}
	for name, value := range want {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	h := <-got
	for name, value := range want {
		if h.Get(name) != value {
			t.Errorf("%s arrived as %q", name, h.Get(name))
		}
	}
	if h.Get("Accept-Encoding") != "gzip" { // the Go client's own, not the gateway's
		t.Errorf("Accept-Encoding arrived as %q", h.Get("Accept-Encoding"))
	}
	if res.Header.Get("Etag") != `"e"` {
		t.Errorf("ETag came back as %q", res.Header.Get("Etag"))
	}
}

func TestLostReplyOfAnObject(t *testing.T) {
	t.Parallel()
	var took atomic.Int32
	g, server := front(t, noMachines{}, func(_ http.ResponseWriter, r *http.Request) {
		if n, _ := io.Copy(io.Discard, r.Body); n == 4 {
			took.Add(1)
		}
	})
	g.faults.add(Rule{Action: "PutObject", LostReply: true})
	res, err := http.DefaultClient.Do(s3Request(t, http.MethodPut, server.URL+"/b/k", strings.NewReader("body")))
	if err == nil {
		res.Body.Close()
		t.Errorf("a lost reply arrived: HTTP %d", res.StatusCode)
	}
	if took.Load() != 1 {
		t.Error("the call took no effect")
	}
}

// rebooting is a hypervisor that can reboot.
type rebooting struct {
	noMachines
	rebooted chan string
}

func (r rebooting) State(string) (string, bool) { return running, true }
func (r rebooting) Reboot(id string)            { r.rebooted <- id }

func TestRebootReachesTheMachine(t *testing.T) {
	t.Parallel()
	m := rebooting{rebooted: make(chan string, 1)}
	g, _ := front(t, m, func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("Action") == "DescribeInstances" {
			_, _ = io.WriteString(w, `<R><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>`+
				`<instanceState><code>16</code><name>running</name></instanceState></item></instancesSet></item></reservationSet></R>`)
		}
	})
	c := &call{service: "ec2", action: "RebootInstances", protocol: protoEC2, form: url.Values{"Action": {"RebootInstances"}, "InstanceId.1": {"i-1"}}}
	if _, err := g.rebootInstances(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	if id := <-m.rebooted; id != "i-1" {
		t.Errorf("rebooted %s", id)
	}
}

func TestImagesAreNotCopiedByAHypervisorThatCannot(t *testing.T) {
	t.Parallel()
	g, _ := front(t, noMachines{}, func(http.ResponseWriter, *http.Request) { t.Error("the copy reached moto") })
	_, err := g.copyImage(context.Background(), &call{protocol: protoEC2, form: url.Values{}})
	var e *apiError
	if !errors.As(err, &e) || e.Code != "UnsupportedOperation" {
		t.Errorf("copyImage: %v", err)
	}
}

// slowMachines never finishes a snapshot by itself.
type slowMachines struct {
	noMachines
	began chan struct{}
}

func (s slowMachines) Snapshot(ctx context.Context, _, _ string, _ bool) error {
	close(s.began)
	<-ctx.Done()
	return ctx.Err()
}

func TestCloseCancelsSnapshots(t *testing.T) {
	t.Parallel()
	m := slowMachines{began: make(chan struct{})}
	g, _ := front(t, m, func(http.ResponseWriter, *http.Request) {})
	g.images.edit("ami-1", func(im *image) { im.state = "pending" })
	g.background(context.Background(), func(ctx context.Context) { g.snapshot(ctx, "i-1", "ami-1", false) })
	<-m.began
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if im, _ := g.images.get("ami-1"); im.state != "failed" || im.reason == "" {
		t.Errorf("image is %+v", im)
	}
}
