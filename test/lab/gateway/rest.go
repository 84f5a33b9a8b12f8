package gateway

import (
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// newStream returns the proxy for calls whose bodies stream: S3 objects are
// never held in memory here.
func newStream(upstream *url.URL, transport http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = upstream.Scheme, upstream.Host
			// moto builds Location and presigned hosts from the Host header.
			p.Out.Host = p.In.Host
			// The client was told to continue by this server already; moto's
			// server does not know the header.
			p.Out.Header.Del("Expect")
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(err, r.Context().Err()) {
				return // the client has left
			}
			c := &call{protocol: protoREST, id: newRequestID()}
			writeReply(w, renderError(c, asAPIError(upstreamFailed(err))))
		},
	}
}

// serveREST streams a call through. Writes of one S3 key are served one after
// the other, because moto checks If-Match and If-None-Match without a lock
// and two racing writers would both win.
func (g *Gateway) serveREST(out *tap, r *http.Request, c *call) {
	if c.service == "s3" && isKeyWrite(r) {
		unlock := g.keys.lock(r.URL.Path)
		defer unlock()
		if err := g.checkCompletion(r, c); err != nil {
			writeReply(out, renderError(c, asAPIError(err)))
			return
		}
	}
	g.stream.ServeHTTP(out, r)
}

func isKeyWrite(r *http.Request) bool {
	_, key := splitObjectPath(r.URL.Path)
	if key == "" {
		return false
	}
	q := r.URL.Query()
	switch r.Method {
	case http.MethodPut:
		return !q.Has("partNumber") // parts may be written side by side
	case http.MethodDelete:
		return true
	case http.MethodPost:
		return q.Has("uploadId")
	}
	return false
}

// checkCompletion is CompleteMultipartUpload's If-Match, which moto ignores.
func (g *Gateway) checkCompletion(r *http.Request, c *call) error {
	want := r.Header.Get("If-Match")
	if c.action != "CompleteMultipartUpload" || want == "" {
		return nil
	}
	u := *g.cfg.Upstream
	u.Path = r.URL.Path
	req, err := http.NewRequestWithContext(r.Context(), http.MethodHead, u.String(), nil)
	if err != nil {
		return upstreamFailed(err)
	}
	req.Header.Set("Authorization", c.authorization())
	res, err := g.client.Do(req)
	if err != nil {
		return upstreamFailed(err)
	}
	_ = res.Body.Close() // a HEAD has no body
	if res.StatusCode == http.StatusNotFound {
		return &apiError{Code: "NoSuchKey", Message: "The specified key does not exist.", Status: http.StatusNotFound}
	}
	if strings.Trim(res.Header.Get("Etag"), `"`) != strings.Trim(want, `"`) {
		return &apiError{
			Code: "PreconditionFailed", Status: http.StatusPreconditionFailed,
			Message: "At least one of the pre-conditions you specified did not hold",
		}
	}
	return nil
}

func splitObjectPath(path string) (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return bucket, key
}

// restAction names a REST call: S3's operations by their own names, the others
// by method and path.
func restAction(service string, r *http.Request) string {
	if service != "s3" && service != "" {
		return r.Method + " " + r.URL.Path
	}
	bucket, key := splitObjectPath(r.URL.Path)
	q := r.URL.Query()
	switch {
	case bucket == "":
		return "ListBuckets"
	case key == "":
		return bucketAction(r.Method, q)
	}
	return objectAction(r.Method, q, r.Header)
}

func bucketAction(method string, q url.Values) string {
	switch {
	case method == http.MethodHead:
		return "HeadBucket"
	case method == http.MethodPost && q.Has("delete"):
		return "DeleteObjects"
	case method == http.MethodGet && q.Has("uploads"):
		return "ListMultipartUploads"
	case method == http.MethodGet && q.Has("versions"):
		return "ListObjectVersions"
	}
	for _, sub := range []struct{ query, noun string }{
		{"policy", "BucketPolicy"}, {"versioning", "BucketVersioning"}, {"tagging", "BucketTagging"},
		{"lifecycle", "BucketLifecycleConfiguration"}, {"encryption", "BucketEncryption"},
		{"publicAccessBlock", "PublicAccessBlock"}, {"location", "BucketLocation"}, {"acl", "BucketAcl"},
	} {
		if q.Has(sub.query) {
			return verb(method) + sub.noun
		}
	}
	switch method {
	case http.MethodPut:
		return "CreateBucket"
	case http.MethodDelete:
		return "DeleteBucket"
	}
	if q.Get("list-type") == "2" {
		return "ListObjectsV2"
	}
	return "ListObjects"
}

func objectAction(method string, q url.Values, h http.Header) string {
	switch {
	case method == http.MethodHead:
		return "HeadObject"
	case method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case method == http.MethodPost && q.Has("uploadId"):
		return "CompleteMultipartUpload"
	case method == http.MethodDelete && q.Has("uploadId"):
		return "AbortMultipartUpload"
	case method == http.MethodPut && q.Has("partNumber"):
		return "UploadPart"
	case method == http.MethodGet && q.Has("uploadId"):
		return "ListParts"
	case q.Has("tagging"):
		return verb(method) + "ObjectTagging"
	case method == http.MethodGet && q.Has("attributes"):
		return "GetObjectAttributes"
	case method == http.MethodPut && h.Get("X-Amz-Copy-Source") != "":
		return "CopyObject"
	}
	return verb(method) + "Object"
}

func verb(method string) string {
	if method == "" {
		return ""
	}
	return method[:1] + strings.ToLower(method[1:])
}

// keyLocks hands out one lock per S3 key and forgets it when nobody holds it.
type keyLocks struct {
	mu   sync.Mutex
	held map[string]*keyLock
}

type keyLock struct {
	mu    sync.Mutex
	users int
}

// lock waits for key's lock and returns its release.
func (k *keyLocks) lock(key string) func() {
	k.mu.Lock()
	l, ok := k.held[key]
	if !ok {
		l = &keyLock{}
		k.held[key] = l
	}
	l.users++
	k.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(k.held, key)
		}
	}
}
