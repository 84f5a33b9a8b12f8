package chefproxy

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// node handles the calls about single nodes. What holds no policy reaches the
// Chef server with the caller's own signature.
func (s *policies) node(w http.ResponseWriter, r *http.Request, parts []string) {
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		body, who, err := s.authenticate(r)
		object := map[string]any{}
		if err == nil && json.Unmarshal(body, &object) != nil {
			err = refuse(http.StatusBadRequest, "the body is not a JSON object")
		}
		if err != nil {
			s.reply(w, 0, nil, err)
			return
		}
		if object["policy_name"] != nil || object["policy_group"] != nil {
			s.writeNode(w, r, who, object)
			return
		}
	}
	if len(parts) != 2 {
		s.pass.ServeHTTP(w, r)
		return
	}
	s.passNode(w, r, parts[1])
}

// writeNode stores a node that has a policy: the policy here, the rest there.
func (s *policies) writeNode(w http.ResponseWriter, r *http.Request, who caller, object map[string]any) {
	var p nodePolicy
	name, _ := object["name"].(string)
	p.name, _ = object["policy_name"].(string)
	p.group, _ = object["policy_group"].(string)
	switch {
	case p.name == "" || p.group == "":
		s.reply(w, 0, nil, refuse(http.StatusBadRequest, "policy_name and policy_group must be specified together"))
		return
	case !who.admin && (who.validator || r.Method == http.MethodPut && who.name != name):
		s.reply(w, 0, nil, refuse(http.StatusForbidden, "missing create or update permission"))
		return
	}
	delete(object, "policy_name")
	delete(object, "policy_group")
	body, err := json.Marshal(object)
	if err != nil {
		s.reply(w, 0, nil, refuse(http.StatusBadRequest, "%v", err))
		return
	}
	status, text, err := s.asAdmin(r.Context(), r.Method, r.URL.Path, body)
	if err != nil {
		s.reply(w, 0, nil, err)
		return
	}
	if status < http.StatusMultipleChoices {
		s.keep(name, p)
	}
	w.Header().Set(StandInHeader, standIn)
	s.amended(w, status, text, name)
}

// passNode passes a call on and adds the node's policy to the reply.
func (s *policies) passNode(w http.ResponseWriter, r *http.Request, name string) {
	r.Header.Del("Accept-Encoding") // the reply is read
	got := &held{header: http.Header{}, status: http.StatusOK}
	s.pass.ServeHTTP(got, r)
	for k, v := range got.header {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	if r.Method != http.MethodGet && got.status < http.StatusMultipleChoices {
		s.keep(name, nodePolicy{}) // it was deleted, or saved without one
	}
	s.amended(w, got.status, got.body.Bytes(), name)
}

// amended writes a reply about a node, with its policy where the reply is the
// node itself.
func (s *policies) amended(w http.ResponseWriter, status int, body []byte, name string) {
	s.mu.Lock()
	p, has := s.nodes[name]
	s.mu.Unlock()
	node := map[string]any{}
	if has && status == http.StatusOK && json.Unmarshal(body, &node) == nil && node["name"] == name {
		node["policy_name"], node["policy_group"] = p.name, p.group
		if with, err := json.Marshal(node); err == nil {
			body = with
			w.Header().Set(StandInHeader, standIn)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a caller that has gone needs no reply
}

// held keeps a reply until it is written.
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header serves http.ResponseWriter.
func (h *held) Header() http.Header { return h.header }

// Write keeps b.
func (h *held) Write(b []byte) (int, error) { return h.body.Write(b) }

// WriteHeader keeps the status.
func (h *held) WriteHeader(status int) { h.status = status }
