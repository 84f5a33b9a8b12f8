package scaling

import (
	"net/http"
	"net/http/httptest"
)

// handed is an HTTP client that hands requests to a service of this process:
// what groups ask of themselves is no call that anybody made.
type handed struct{ to func() http.Handler }

// Do answers r.
func (h handed) Do(r *http.Request) (*http.Response, error) {
	said := httptest.NewRecorder()
	h.to().ServeHTTP(said, r)
	return said.Result(), nil
}
