package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// isControl reports whether r is for the lab and not for AWS.
func isControl(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/_lab/") }

// control answers
//
//	GET    /_lab/calls?since=SEQ|RFC3339   recorded calls, one JSON object a line
//	GET    /_lab/faults                    the rules with their counts
//	POST   /_lab/faults                    sets a Rule, answers with its id
//	DELETE /_lab/faults[?id=N]             drops one rule or all
//	GET    /_lab/lifecycle                 instances of groups, what they told their hooks, and stack signals
func (g *Gateway) control(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /_lab/calls":
		g.showCalls(w, r)
	case "GET /_lab/faults":
		answerJSON(w, http.StatusOK, g.faults.list())
	case "POST /_lab/faults":
		g.setFault(w, r)
	case "DELETE /_lab/faults":
		id, err := strconv.Atoi(r.URL.Query().Get("id"))
		if err != nil && r.URL.Query().Has("id") {
			answerJSON(w, http.StatusBadRequest, problem{"reading id: no number"})
			return
		}
		g.faults.clear(id)
		w.WriteHeader(http.StatusNoContent)
	case "GET /_lab/lifecycle":
		g.lifecycle(w)
	default:
		answerJSON(w, http.StatusNotFound, problem{"no such control call: " + r.Method + " " + r.URL.Path})
	}
}

// problem is what a refused control call answers with.
type problem struct {
	Error string `json:"error"`
}

func (g *Gateway) showCalls(w http.ResponseWriter, r *http.Request) {
	seq, from, err := parseSince(r.URL.Query().Get("since"))
	if err != nil {
		answerJSON(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	calls, err := g.recorder.since(seq, from)
	if err != nil {
		answerJSON(w, http.StatusInternalServerError, problem{fmt.Sprintf("writing records: %v", err)})
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, rec := range calls {
		if err := enc.Encode(rec); err != nil {
			answerJSON(w, http.StatusInternalServerError, problem{err.Error()})
			return
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	_, _ = w.Write(b.Bytes())
}

func parseSince(v string) (seq int64, from time.Time, err error) {
	if v == "" {
		return 0, time.Time{}, nil
	}
	if seq, err = strconv.ParseInt(v, 10, 64); err == nil {
		return seq, time.Time{}, nil
	}
	if from, err = time.Parse(time.RFC3339Nano, v); err != nil {
		return 0, time.Time{}, fmt.Errorf("reading since: %q is neither a sequence number nor an RFC 3339 time", v)
	}
	return 0, from, nil
}

func (g *Gateway) setFault(w http.ResponseWriter, r *http.Request) {
	var rule Rule
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	err := dec.Decode(&rule)
	if err == nil {
		err = rule.validate()
	}
	if err != nil {
		answerJSON(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	answerJSON(w, http.StatusCreated, g.faults.add(rule))
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
