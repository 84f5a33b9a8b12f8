//go:build linux

package control

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// Lab is what the control server needs of the running lab.
type Lab interface {
	Status(ctx context.Context) Status
	Console(instance string) []byte
	SpotInterrupt(instance string, s SpotInterrupt) error
	// PowerCut kills the guest and boots it again on its disk.
	PowerCut(ctx context.Context, instance string) error
	Shutdown()
}

// Handler serves lab; gateway answers everything under /gateway/ as /_lab/.
func Handler(lab Lab, gateway http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(lab.Status(r.Context())) // the asker left
	})
	mux.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		lab.Shutdown()
	})
	mux.HandleFunc("GET /instances/{id}/console", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(lab.Console(r.PathValue("id"))) // the asker left
	})
	mux.HandleFunc("POST /instances/{id}/spot-interrupt", func(w http.ResponseWriter, r *http.Request) {
		var s SpotInterrupt
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			http.Error(w, "reading the request: "+err.Error(), http.StatusBadRequest)
			return
		}
		if err := lab.SpotInterrupt(r.PathValue("id"), s); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	mux.HandleFunc("POST /instances/{id}/power-cut", func(w http.ResponseWriter, r *http.Request) {
		if err := lab.PowerCut(r.Context(), r.PathValue("id")); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	mux.HandleFunc("/gateway/", func(w http.ResponseWriter, r *http.Request) {
		inner := r.Clone(r.Context())
		inner.URL.Path = "/_lab/" + strings.TrimPrefix(r.URL.Path, "/gateway/")
		inner.RequestURI = inner.URL.RequestURI()
		gateway.ServeHTTP(w, inner)
	})
	return mux
}
