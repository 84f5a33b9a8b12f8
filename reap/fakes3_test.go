package reap

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// fakeS3 is an S3 server with one bucket: objects, conditional writes, lists
// of two keys a page.
type fakeS3 struct {
	mu        sync.Mutex
	objects   map[string][]byte
	lost      int    // PUTs that take effect and lose their reply
	conflicts int    // PUTs that are answered with 409
	refuse    string // code that every call is answered with
}

// newFakeS3 starts one, and opens its bucket as a Store.
func newFakeS3(t *testing.T) (*fakeS3, Bucket) {
	t.Helper()
	f := &fakeS3{objects: map[string][]byte{}}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, Bucket{Name: "acme", Prefix: "reaper/", S3: s3.New(s3.Options{Region: region, BaseEndpoint: aws.String(server.URL), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("A", "S", ""), DisableLogOutputChecksumValidationSkipped: true})}
}

func etagOf(b []byte) string { return fmt.Sprintf("\"%x\"", sha256.Sum256(b)) }

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, there := f.objects[key]
	switch {
	case f.refuse != "":
		refuseS3(w, http.StatusForbidden, f.refuse)
	case bucket != "acme":
		refuseS3(w, http.StatusNotFound, "NoSuchBucket")
	case r.Method == http.MethodPut:
		f.put(w, r, key)
	case key == "":
		f.list(w, r.URL.Query().Get("prefix"), r.URL.Query().Get("continuation-token"))
	case !there:
		refuseS3(w, http.StatusNotFound, "NoSuchKey")
	default:
		w.Header().Set("ETag", etagOf(body))
		_, _ = w.Write(body)
	}
}

func (f *fakeS3) put(w http.ResponseWriter, r *http.Request, key string) {
	now, there := f.objects[key]
	match := r.Header.Get("If-Match")
	switch {
	case f.conflicts > 0:
		f.conflicts--
		refuseS3(w, http.StatusConflict, "ConditionalRequestConflict")
		return
	case match != "" && !there:
		refuseS3(w, http.StatusNotFound, "NoSuchKey")
		return
	case r.Header.Get("If-None-Match") == "*" && there, match != "" && match != etagOf(now):
		refuseS3(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	body, _ := io.ReadAll(r.Body)
	f.objects[key] = body
	if f.lost > 0 {
		f.lost--
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", etagOf(body))
}

func (f *fakeS3) list(w http.ResponseWriter, prefix, after string) {
	const page = 2
	var out strings.Builder
	n, last := 0, ""
	for _, k := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(k, prefix) || k <= after {
			continue
		}
		if n++; n > page {
			fmt.Fprintf(&out, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", last)
			break
		}
		fmt.Fprintf(&out, "<Contents><Key>%s</Key></Contents>", k)
		last = k
	}
	fmt.Fprintf(w, "<ListBucketResult>%s</ListBucketResult>", out.String())
}

func refuseS3(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}
