package agent

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// overHTTP serves the world's bucket over HTTP to S3's own client, through
// trouble: it answers the n-th request, from 1, or leaves it to the bucket. The
// client's own retries are off; the agent's go by the world's clock.
func (w *world) overHTTP(trouble func(n int, out http.ResponseWriter, r *http.Request) bool) (a *Agent, asked *atomic.Int64) {
	asked = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if trouble(int(asked.Add(1)), out, r) {
			return
		}
		b, ok := w.store["s3:/"+r.URL.Path]
		if !ok {
			refuseS3(out, http.StatusNotFound, "NoSuchKey")
			return
		}
		out.Header().Set("ETag", `"one"`)
		http.ServeContent(out, r, "", time.Time{}, bytes.NewReader(b))
	}))
	w.t.Cleanup(server.Close)
	return w.reading(server.URL, http.DefaultClient), asked
}

// reading is an agent whose bucket is at url.
func (w *world) reading(url string, client *http.Client) *Agent {
	store := &objects{s3.New(s3.Options{Region: "eu-west-1", BaseEndpoint: &url, UsePathStyle: true, HTTPClient: client, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")})}
	a := w.agent()
	a.deps.Cloud = func(context.Context, string) (Cloud, error) {
		return Cloud{Secrets: w, Store: store, Groups: &w.groups, Stacks: &w.groups}, nil
	}
	return a
}

func refuseS3(out http.ResponseWriter, status int, code string) {
	out.WriteHeader(status)
	fmt.Fprintf(out, `<?xml version="1.0"?><Error><Code>%s</Code><Message>m</Message></Error>`, code)
}

// troubles are what S3 may do to a deploy.
func troubles() map[string]struct {
	do   func(out http.ResponseWriter, r *http.Request)
	kind fault.Kind
	want string // in the message
	next string
	once bool // another attempt cannot cure it
} {
	type trouble = struct {
		do   func(out http.ResponseWriter, r *http.Request)
		kind fault.Kind
		want string
		next string
		once bool
	}
	return map[string]trouble{
		"503-ing": {func(out http.ResponseWriter, _ *http.Request) {
			refuseS3(out, http.StatusServiceUnavailable, "SlowDown")
		},
			fault.AWS, "SlowDown", "fewer requests", false},
		"broken": {func(out http.ResponseWriter, _ *http.Request) {
			refuseS3(out, http.StatusInternalServerError, "InternalError")
		},
			fault.AWS, "InternalError", "the route to S3", false},
		"cut off": {func(out http.ResponseWriter, _ *http.Request) {
			if conn, _, err := http.NewResponseController(out).Hijack(); err == nil {
				conn.Close()
			}
		}, fault.AWS, "EOF", "the route to S3", false},
		"slow": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			fault.AWS, "Client.Timeout exceeded", "the route to S3", false},
		"in another region": {func(out http.ResponseWriter, _ *http.Request) {
			refuseS3(out, http.StatusMovedPermanently, "PermanentRedirect")
		}, fault.Usage, "another region", "set region", true},
		"signed for another region": {func(out http.ResponseWriter, _ *http.Request) {
			refuseS3(out, http.StatusBadRequest, "AuthorizationHeaderMalformed")
		}, fault.Usage, "another region", "set region", true},
	}
}

func TestS3TroubleIsRetriedThenClear(t *testing.T) {
	t.Parallel()
	for name, tc := range troubles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.boot()
			old := release.ID(w.journal().Build)
			w.push("second build")
			a, asked := w.overHTTP(func(_ int, out http.ResponseWriter, r *http.Request) bool { tc.do(out, r); return true })
			if name == "slow" {
				a = w.reading(urlOf(t, a), &http.Client{Timeout: 20 * time.Millisecond})
			}
			began := w.Now()
			err := a.Deploy(context.Background())
			if fault.KindOf(err) != tc.kind || !strings.Contains(fmt.Sprint(err), tc.want) || !strings.Contains(fault.NextOf(err), tc.next) || !strings.Contains(fmt.Sprint(err), "channel production of web") {
				t.Errorf("error is %v (kind %d, next %q), want %q and next %q", err, fault.KindOf(err), fault.NextOf(err), tc.want, tc.next)
			}
			if text := fmt.Sprint(err); strings.ContainsRune(text, 0x0a) || strings.Contains(text, "RequestID") {
				t.Errorf("error is not terse: %v", err)
			}
			if n := asked.Load(); tc.once != (n == 1) || w.Now().Sub(began) > 2*time.Minute {
				t.Errorf("asked %d times in %s", n, w.Now().Sub(began))
			}
			w.serving(old)
		})
	}
}

// urlOf is where an agent of overHTTP reads.
func urlOf(t *testing.T, a *Agent) string {
	t.Helper()
	cloud, err := a.deps.Cloud(context.Background(), "eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	return *cloud.Store.(*objects).s3.Options().BaseEndpoint
}

func TestS3TroubleThatPassesIsNotFelt(t *testing.T) {
	t.Parallel()
	for name, tc := range troubles() {
		if tc.once || name == "slow" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.boot()
			id := w.push("second build")
			a, _ := w.overHTTP(func(n int, out http.ResponseWriter, r *http.Request) bool {
				if n%2 == 1 { // every second request, be it for channel, manifest or build
					tc.do(out, r)
				}
				return n%2 == 1
			})
			if err := a.Deploy(context.Background()); err != nil {
				t.Fatal(err)
			}
			w.serving(id)
		})
	}
}

func TestS3OutOfReachIsRetriedThenClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	old := release.ID(w.journal().Build)
	w.push("second build")
	began := w.Now()
	err := w.reading("http://127.0.0.1:1", http.DefaultClient).Deploy(context.Background())
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fmt.Sprint(err), "connection refused") || !strings.Contains(fault.NextOf(err), "the route to S3") {
		t.Errorf("error is %v (next %q)", err, fault.NextOf(err))
	}
	if tries := strings.Count(strings.Join(w.notes, "\n"), "trying again"); tries != 4 || w.Now().Equal(began) {
		t.Errorf("tried again %d times, want 4 with pauses", tries)
	}
	w.serving(old)
}

// Each document and the build itself, spoilt in each way.
func TestNothingSpoiltIsServed(t *testing.T) {
	t.Parallel()
	stranger, err := release.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	corrupt := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/3] ^= 1; return b }
	truncated := func(b []byte) []byte { return bytes.Clone(b[:len(b)/2]) }
	channel := func(release.ID) string { return release.ChannelKey("web", "production") }
	manifest := func(id release.ID) string { return release.ManifestKey("web", id) }
	build := func(id release.ID) string { return release.ArtifactKey("web", id) }
	set := func(key func(release.ID) string, change func([]byte) []byte) func(*world, release.ID, release.ID) {
		return func(w *world, id, _ release.ID) {
			at := "s3://builds/" + key(id)
			w.store[at] = change(w.store[at])
		}
	}
	swap := func(key func(release.ID) string) func(*world, release.ID, release.ID) {
		return func(w *world, id, old release.ID) { w.store["s3://builds/"+key(id)] = w.store["s3://builds/"+key(old)] }
	}
	resign := func(kind release.Kind, key func(release.ID) string) func(*world, release.ID, release.ID) {
		return func(w *world, id, _ release.ID) { w.replaced(kind, key(id), stranger) }
	}
	for name, spoil := range map[string]func(w *world, id, old release.ID){
		"corrupt channel": set(channel, corrupt), "corrupt manifest": set(manifest, corrupt), "corrupt build": set(build, corrupt),
		"truncated channel": set(channel, truncated), "truncated manifest": set(manifest, truncated), "truncated build": set(build, truncated),
		"swapped channel": func(w *world, id, _ release.ID) {
			w.promote("staging", id)
			w.store["s3://builds/"+channel(id)] = w.store["s3://builds/"+release.ChannelKey("web", "staging")]
		},
		"swapped manifest": swap(manifest), "swapped build": swap(build),
		"re-signed channel": resign(release.ChannelKind, channel), "re-signed manifest": resign(release.ManifestKind, manifest),
		// A build has no signature of its own: one that was packed anew has another
		// digest, which only a manifest signed anew could name.
		"re-signed build": func(w *world, id, old release.ID) {
			w.store["s3://builds/"+build(id)] = w.store["s3://builds/"+build(old)]
			m, err := release.ParseManifest(w.store["s3://builds/"+manifest(old)])
			if err != nil {
				w.t.Fatal(err)
			}
			m.ID = id
			b, err := m.Marshal()
			if err == nil {
				b, err = stranger.Sign(release.ManifestKind, b)
			}
			if err != nil {
				w.t.Fatal(err)
			}
			w.store["s3://builds/"+manifest(id)] = b
		},
		// An older manifest or build has a key of its own; only the channel brings it back.
		"replayed channel": func(w *world, id, _ release.ID) {
			w.deploys()
			w.store["s3://builds/"+channel(id)] = w.store["kept channel"]
		},
		"replayed manifest": swap(manifest), "replayed build": swap(build),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.boot()
			old := release.ID(w.journal().Build)
			w.store["kept channel"] = w.store["s3://builds/"+channel(old)]
			id := w.push("second build, a little longer than the first")
			spoil(w, id, old)
			live := release.ID(w.journal().Build)
			err := w.agent().Deploy(context.Background())
			if fault.KindOf(err) != fault.Check || fault.NextOf(err) == "" {
				t.Errorf("error is %v (kind %d, next %q), want a refusal and a next step", err, fault.KindOf(err), fault.NextOf(err))
			}
			w.serving(live)
		})
	}
}
