package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// bucket is an S3 server with the bucket "builds": conditional reads and writes,
// ranges and lists of two keys a page, with a clock of its own.
type bucket struct {
	mu      sync.Mutex
	clock   func() time.Time
	objects map[string]kept // by key
	calls   []string        // "GET key 304"
	// trouble answers in the place of S3 when it returns true.
	trouble func(out http.ResponseWriter, r *http.Request) bool
	url     string
}

type kept struct {
	body []byte
	at   time.Time
}

func (k kept) etag() string {
	sum := sha256.Sum256(k.body)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}

func newBucket(t *testing.T, clock func() time.Time) *bucket {
	t.Helper()
	b := &bucket{clock: clock, objects: map[string]kept{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

// client speaks to b as an instance does; its own retries are off.
func (b *bucket) client() *objects {
	return &objects{s3.New(s3.Options{Region: "eu-west-1", BaseEndpoint: &b.url, UsePathStyle: true, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")})}
}

// put stores an object as somebody else would.
func (b *bucket) put(key string, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = kept{body, b.clock().Truncate(time.Second)}
}

// ServeHTTP answers path-style requests.
func (b *bucket) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/builds"), "/")
	seen := &status{ResponseWriter: out, code: http.StatusOK}
	out.Header().Set("Date", b.clock().UTC().Format(http.TimeFormat))
	if b.trouble == nil || !b.trouble(seen, r) {
		b.answer(seen, r, key)
	}
	if key == "" {
		key = "?" + r.URL.Query().Get("prefix")
	}
	b.calls = append(b.calls, fmt.Sprint(r.Method, " ", key, " ", seen.code))
}

// status remembers what was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (b *bucket) answer(out http.ResponseWriter, r *http.Request, key string) {
	o, there := b.objects[key]
	match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
	switch {
	case r.Method == http.MethodGet && key == "":
		b.list(out, r.URL.Query().Get("prefix"), r.URL.Query().Get("continuation-token"))
	case r.Method == http.MethodPut && (there && none == "*" || there && match != "" && match != o.etag()):
		refuseS3(out, http.StatusPreconditionFailed, "PreconditionFailed")
	case r.Method == http.MethodPut && none != "*" && match == "":
		refuseS3(out, http.StatusForbidden, "AccessDenied") // the bucket policy wants a condition
	case r.Method == http.MethodPut:
		body, _ := io.ReadAll(r.Body)
		b.objects[key] = kept{body, b.clock().Truncate(time.Second)}
		out.Header().Set("ETag", b.objects[key].etag())
	case !there:
		refuseS3(out, http.StatusNotFound, "NoSuchKey")
	default:
		out.Header().Set("ETag", o.etag())
		http.ServeContent(out, r, "", o.at, strings.NewReader(string(o.body)))
	}
}

// list answers two keys at a time.
func (b *bucket) list(out io.Writer, prefix, after string) {
	var text strings.Builder
	n := 0
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if !strings.HasPrefix(key, prefix) || key <= after {
			continue
		}
		if n++; n > 2 {
			text.WriteString("<IsTruncated>true</IsTruncated><NextContinuationToken>" + after + "</NextContinuationToken>")
			break
		}
		after = key
		fmt.Fprintf(&text, "<Contents><Key>%s</Key><LastModified>%s</LastModified></Contents>", key, b.objects[key].at.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(out, "<ListBucketResult>%s</ListBucketResult>", text.String())
}

func TestPapersOverHTTP(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b, ctx := newBucket(t, func() time.Time { return at }), context.Background()
	c := b.client()
	if _, err := c.Read(ctx, "builds", "web/x", Paper{}, 10); err == nil || !strings.Contains(err.Error(), ErrNoObject.Error()) {
		t.Errorf("a missing object: %v", err)
	}
	if err := c.Write(ctx, "builds", "web/x", "", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := c.Write(ctx, "builds", "web/x", "", []byte("two")); err == nil || !strings.Contains(err.Error(), ErrTaken.Error()) {
		t.Errorf("written twice: %v", err)
	}
	first, err := c.Read(ctx, "builds", "web/x", Paper{}, 10)
	if err != nil || string(first.Body) != "one" || !first.Written.Equal(at) {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := c.Read(ctx, "builds", "web/x", first, 10); err != nil || string(again.Body) != "one" || !strings.HasSuffix(b.calls[len(b.calls)-1], " 304") {
		t.Errorf("read again: %+v, %v, %s", again, err, b.calls[len(b.calls)-1])
	}
	if err := c.Write(ctx, "builds", "web/x", first.ETag, []byte("a longer one")); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(ctx, "builds", "web/x", first, 5); err == nil || !strings.Contains(err.Error(), "longer than 5 bytes") {
		t.Errorf("too long: %v", err)
	}
	for i := range 4 {
		b.put(fmt.Sprint("web/y/", i), nil)
	}
	l, err := c.List(ctx, "builds", "web/y/")
	if err != nil || len(l.Written) != 4 || !l.Now.Equal(at) || !l.Written["web/y/3"].Equal(at) {
		t.Errorf("list: %+v, %v", l, err)
	}
	b.trouble = func(out http.ResponseWriter, _ *http.Request) bool {
		refuseS3(out, http.StatusForbidden, "AccessDenied")
		return true
	}
	_, listed := c.List(ctx, "builds", "web/y/")
	for want, err := range map[string]error{"s3:ListBucket on the bucket for s3:prefix web/y/": listed, "s3:PutObject on arn:aws:s3:::builds/web/x": c.Write(ctx, "builds", "web/x", "", nil)} {
		if !strings.Contains(fmt.Sprint(nextOf(err)), want) {
			t.Errorf("%v, next %q, want %q", err, nextOf(err), want)
		}
	}
}
