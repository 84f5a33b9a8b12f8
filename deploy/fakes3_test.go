package deploy

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fakeS3 is an S3 server with one bucket, "builds": objects, conditional
// writes, multipart uploads and delimited lists, as far as publishing uses
// them. The suite that runs against it runs against moto, too (tag lab).
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string]object
	parts   map[string]map[int][]byte // by upload id
	calls   []string                  // "PUT key"
	// before runs ahead of a call; when it answers, the call does nothing.
	before     func(w http.ResponseWriter, r *http.Request) (answered bool)
	clock      func() time.Time // nil: start
	versioning string           // what is in the bucket's VersioningConfiguration
	page       int              // keys of one answer of a list; 0: all
	// lost drops the reply of the next PUT of that key after it took effect.
	lost string
}

// now is when an object is written; tests set clock to have old ones.
func (f *fakeS3) now() time.Time {
	if f.clock != nil {
		return f.clock()
	}
	return start()
}

type object struct {
	body    []byte
	sha256  string
	written time.Time
}

func (o object) etag() string { return fmt.Sprintf("%q", hex.EncodeToString(md5sum(o.body))) }

func md5sum(b []byte) []byte { s := md5.Sum(b); return s[:] }

func newFakeS3() *fakeS3 {
	return &fakeS3{objects: map[string]object{}, parts: map[string]map[int][]byte{}}
}

// ServeHTTP answers path-style requests.
func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, r.Method+" "+key)
	if f.before != nil && f.before(w, r) {
		return
	}
	q := r.URL.Query()
	switch {
	case bucket != "builds":
		refuse(w, 404, "NoSuchBucket", "The specified bucket does not exist")
	case r.Method == "GET" && key == "" && q.Has("versioning"):
		reply(w, `<VersioningConfiguration>%s</VersioningConfiguration>`, f.versioning)
	case r.Method == "GET" && key == "":
		f.list(w, q.Get("prefix"), q.Get("delimiter"), q.Get("continuation-token"))
	case r.Method == "DELETE" && !q.Has("uploadId"):
		delete(f.objects, key)
		w.WriteHeader(204)
	case r.Method == "GET", r.Method == "HEAD":
		f.get(w, r, key)
	case r.Method == "POST" && q.Has("uploads"):
		id := strconv.Itoa(len(f.parts) + 1)
		f.parts[id] = map[int][]byte{}
		reply(w, `<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>`, id)
	case r.Method == "PUT" && q.Has("uploadId"):
		n, _ := strconv.Atoi(q.Get("partNumber"))
		body, _ := io.ReadAll(r.Body)
		f.parts[q.Get("uploadId")][n] = body
		w.Header().Set("ETag", fmt.Sprintf("%q", hex.EncodeToString(md5sum(body))))
	case r.Method == "POST" && q.Has("uploadId"):
		f.complete(w, r, key, q.Get("uploadId"))
	case r.Method == "DELETE" && q.Has("uploadId"):
		delete(f.parts, q.Get("uploadId"))
		w.WriteHeader(204)
	case r.Method == "PUT":
		f.put(w, r, key)
	default:
		refuse(w, 501, "NotImplemented", r.Method+" "+r.URL.String())
	}
}

func (f *fakeS3) get(w http.ResponseWriter, r *http.Request, key string) {
	o, ok := f.objects[key]
	if !ok {
		refuse(w, 404, "NoSuchKey", "The specified key does not exist.")
		return
	}
	w.Header().Set("ETag", o.etag())
	w.Header().Set("Content-Length", strconv.Itoa(len(o.body)))
	if o.sha256 != "" && r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		w.Header().Set("X-Amz-Checksum-Sha256", o.sha256)
	}
	if r.Method == "GET" {
		_, _ = w.Write(o.body)
	}
}

// allowed checks the condition of a write.
func (f *fakeS3) allowed(w http.ResponseWriter, r *http.Request, key string) bool {
	o, there := f.objects[key]
	match := r.Header.Get("If-Match")
	switch {
	case r.Header.Get("If-None-Match") == "*" && there, match != "" && there && match != o.etag():
		refuse(w, 412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
		return false
	case match != "" && !there:
		refuse(w, 404, "NoSuchKey", "The specified key does not exist.")
		return false
	}
	return true
}

func (f *fakeS3) put(w http.ResponseWriter, r *http.Request, key string) {
	body, _ := io.ReadAll(r.Body)
	if !f.allowed(w, r, key) {
		return
	}
	sum := sha256.Sum256(body)
	if want := r.Header.Get("X-Amz-Checksum-Sha256"); want != base64.StdEncoding.EncodeToString(sum[:]) {
		refuse(w, 400, "BadDigest", "the x-amz-checksum-sha256 is missing or wrong: "+want)
		return
	}
	f.objects[key] = object{body, base64.StdEncoding.EncodeToString(sum[:]), f.now()}
	if f.lost == key {
		f.lost = ""
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("ETag", f.objects[key].etag())
}

func (f *fakeS3) complete(w http.ResponseWriter, r *http.Request, key, id string) {
	if !f.allowed(w, r, key) {
		return
	}
	var list struct{ Part []struct{ PartNumber int } }
	if err := xml.NewDecoder(r.Body).Decode(&list); err != nil {
		refuse(w, 400, "MalformedXML", err.Error())
		return
	}
	var body []byte
	for _, p := range list.Part {
		body = append(body, f.parts[id][p.PartNumber]...)
	}
	delete(f.parts, id)
	f.objects[key] = object{body, "composite-" + strconv.Itoa(len(list.Part)), f.now()}
	reply(w, `<CompleteMultipartUploadResult><ETag>%s</ETag></CompleteMultipartUploadResult>`, strings.Trim(f.objects[key].etag(), `"`))
}

// list answers a page of keys, and of directories where there is a delimiter.
func (f *fakeS3) list(w http.ResponseWriter, prefix, delimiter, after string) {
	found := map[string]string{}
	for key, o := range f.objects {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if dir, _, deeper := strings.Cut(rest, delimiter); deeper && delimiter != "" {
			dir = prefix + dir + delimiter
			found[dir] = "<CommonPrefixes><Prefix>" + dir + "</Prefix></CommonPrefixes>"
		} else {
			found[key] = fmt.Sprintf("<Contents><Key>%s</Key><Size>%d</Size><LastModified>%s</LastModified></Contents>",
				key, len(o.body), o.written.UTC().Format(time.RFC3339))
		}
	}
	var b strings.Builder
	n := 0
	for _, k := range slices.Sorted(maps.Keys(found)) {
		if k <= after {
			continue
		}
		if n++; f.page > 0 && n > f.page {
			fmt.Fprintf(&b, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", after)
			break
		}
		b.WriteString(found[k])
		after = k
	}
	reply(w, "<ListBucketResult>%s</ListBucketResult>", b.String())
}

func reply(w http.ResponseWriter, format string, args ...any) {
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprintf(w, format, args...)
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, message)
}
