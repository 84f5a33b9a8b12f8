package inventory

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/fault"
)

// fakeS3 is a server with objects and conditional puts.
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string]string // by path
	refuse  int               // a status for every call
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, there := f.objects[r.URL.Path]
	switch {
	case f.refuse != 0:
		w.WriteHeader(f.refuse)
	case r.Method == http.MethodPut && r.Header.Get("If-None-Match") != "*":
		w.WriteHeader(http.StatusBadRequest)
	case r.Method == http.MethodPut && there:
		w.WriteHeader(http.StatusPreconditionFailed)
		io.WriteString(w, "<Error><Code>PreconditionFailed</Code></Error>")
	case r.Method == http.MethodPut:
		b, _ := io.ReadAll(r.Body)
		f.objects[r.URL.Path] = string(b)
	case !there:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
	default:
		io.WriteString(w, body)
	}
}

// newStore is a store with a bucket; its folder is new.
func newStore(t *testing.T, f *fakeS3) Store {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), UsePathStyle: true,
		RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired})
	return Store{Dir: t.TempDir(), S3: client, Bucket: Bucket{"b", "inv"}}
}

func TestAnInventoryIsFoundHereOrInS3(t *testing.T) {
	t.Parallel()
	f := &fakeS3{objects: map[string]string{}}
	s := newStore(t, f)
	b, err := sample(t).JSON()
	if err != nil {
		t.Fatal(err)
	}
	id := sample(t).BakeID
	for range 2 { // a put whose reply was lost comes again
		if err := s.Put(t.Context(), id, b); err != nil {
			t.Fatal(err)
		}
	}
	if f.objects["/b/inv/"+id+".json"] != string(b) {
		t.Errorf("S3 holds %v", f.objects)
	}
	elsewhere := Store{Dir: t.TempDir(), S3: s.S3, Bucket: s.Bucket}
	for name, from := range map[string]Store{"this machine": {Dir: s.Dir}, "another": elsewhere} {
		if i, err := from.Get(t.Context(), id, Digest(b)); err != nil || i.BakeID != id {
			t.Errorf("%s: %+v, %v", name, i.BakeID, err)
		}
	}
	if _, err := s.Get(t.Context(), id, "0123"); fault.KindOf(err) != fault.Check {
		t.Errorf("an inventory of another digest: %v", err)
	}
	for _, from := range []Store{elsewhere, {Dir: t.TempDir()}} {
		if _, err := from.Get(t.Context(), "01JZ0000000000000000000009", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("one that is not there: %v", err)
		}
	}
	if got := strings.Join(elsewhere.Places("ID"), " "); got != elsewhere.Dir+"/inventories/ID.json s3://b/inv/ID.json" {
		t.Errorf("it looks in %s", got)
	}
}

func TestAStoreThatRefusesSaysSo(t *testing.T) {
	t.Parallel()
	s := newStore(t, &fakeS3{objects: map[string]string{}, refuse: http.StatusForbidden})
	if err := s.Put(t.Context(), "ID", []byte("{}")); fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "s3://b/inv") {
		t.Errorf("a put that S3 refuses: %v", err)
	}
	if _, err := s.Get(context.Background(), "OTHER", ""); fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "s3://b/inv/OTHER.json") {
		t.Errorf("a get that S3 refuses: %v", err)
	}
	file := s.Dir + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Store{Dir: file}).Put(t.Context(), "ID", nil); fault.KindOf(err) != fault.Usage {
		t.Errorf("a folder that cannot be: %v", err)
	}
}

func TestPlacesInS3(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"s3://bucket": "ID.json", "s3://bucket/": "ID.json", "s3://bucket/a/b": "a/b/ID.json", "s3://bucket/a/": "a/ID.json"} {
		if b, err := ParseBucket(text); err != nil || b.key("ID") != want || b.Name != "bucket" {
			t.Errorf("%s: %+v, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "bucket", "s3:/bucket", "s3://", "s3://B", "https://bucket/x", "s3://bucket/a b", "s3://bucket/\n"} {
		if b, err := ParseBucket(text); err == nil {
			t.Errorf("%q passes as %+v", text, b)
		}
	}
}
