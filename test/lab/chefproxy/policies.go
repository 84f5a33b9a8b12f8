package chefproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// StandInHeader is on every reply that the stand-in makes itself.
const StandInHeader = "X-Bakehouse-Stand-In"

const (
	standIn = "the lab's stand-in for Chef Infra Server's policies"
	bodyCap = 8 << 20
)

// policies stands in for what Chef Infra Server has and goiardi has not: the
// policies of policy groups, cookbook artefacts, and nodes that have a policy.
// goiardi refuses nodes with policy keys, so that the stand-in checks their
// signature itself, sends the rest on as the administrator, and keeps the keys.
// It has no revisions beyond the group's, no lists, no search by policy.
type policies struct {
	upstream *url.URL
	admin    Signer
	pass     http.Handler
	client   *http.Client

	mu        sync.Mutex
	policies  map[string]map[string]any // by GROUP/NAME
	artefacts map[string]map[string]any // by NAME/IDENTIFIER
	nodes     map[string]nodePolicy
}

// nodePolicy is what goiardi does not keep of a node.
type nodePolicy struct{ name, group string }

// StandInForPolicies makes the proxy answer calls about policies, cookbook
// artefacts and nodes that have a policy. admin is a user of the server.
func (p *Proxy) StandInForPolicies(admin Signer) {
	p.next = &policies{upstream: p.server, admin: admin, pass: p.next, client: &http.Client{Timeout: 30 * time.Second},
		policies: map[string]map[string]any{}, artefacts: map[string]map[string]any{}, nodes: map[string]nodePolicy{}}
}

// refusal is a reply in the form of Chef Infra Server.
type refusal struct {
	status int
	what   string
}

func (r refusal) Error() string { return r.what }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// ServeHTTP answers what the Chef server cannot, and passes the rest on.
func (s *policies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case parts[0] == "policy_groups" || parts[0] == "policies" || parts[0] == "cookbook_artifacts":
		s.answer(w, r, parts)
	case parts[0] == "nodes" && len(parts) <= 2:
		s.node(w, r, parts)
	default:
		s.pass.ServeHTTP(w, r)
	}
}

// answer serves the two kinds of objects that the stand-in keeps.
func (s *policies) answer(w http.ResponseWriter, r *http.Request, parts []string) {
	body, who, err := s.authenticate(r)
	if err == nil && r.Method == http.MethodPut && !who.admin {
		err = refuse(http.StatusForbidden, "missing create permission")
	}
	var reply any
	status := http.StatusOK
	switch {
	case err != nil:
	case parts[0] == "policy_groups" && len(parts) == 4 && parts[2] == "policies":
		reply, status, err = s.serve(s.policies, r.Method, parts[1]+"/"+parts[3], body, true, func(o map[string]any) error { return checkPolicy(o, parts[3]) })
	case parts[0] == "cookbook_artifacts" && len(parts) == 3:
		reply, status, err = s.serve(s.artefacts, r.Method, parts[1]+"/"+parts[2], body, false, func(o map[string]any) error {
			return s.checkArtefact(r.Context(), o, parts[1], parts[2])
		})
	default:
		err = refuse(http.StatusNotFound, "%s does not have %s", standIn, r.URL.Path)
	}
	s.reply(w, status, reply, err)
}

// serve gets or puts one object. Artefacts are named by their content and are
// never replaced.
func (s *policies) serve(all map[string]map[string]any, method, name string, body []byte, replace bool, check func(map[string]any) error) (any, int, error) {
	s.mu.Lock()
	have, there := all[name]
	s.mu.Unlock()
	switch {
	case method == http.MethodGet && there:
		return have, http.StatusOK, nil
	case method == http.MethodGet:
		return nil, 0, refuse(http.StatusNotFound, "Cannot find %s", name)
	case method != http.MethodPut:
		return nil, 0, refuse(http.StatusMethodNotAllowed, "%s takes GET and PUT", standIn)
	case there && !replace:
		return nil, 0, refuse(http.StatusConflict, "%s exists already", name)
	}
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, 0, refuse(http.StatusBadRequest, "the body is not a JSON object")
	}
	if err := check(object); err != nil {
		return nil, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all[name] = object
	if there {
		return object, http.StatusOK, nil
	}
	return object, http.StatusCreated, nil
}

// checkPolicy refuses a lock that Chef Infra Server would not take.
func checkPolicy(o map[string]any, name string) error {
	if o["name"] != name {
		return refuse(http.StatusBadRequest, "Field 'name' invalid : %v does not match %s", o["name"], name)
	}
	if revision, _ := o["revision_id"].(string); revision == "" {
		return refuse(http.StatusBadRequest, "Field 'revision_id' missing")
	}
	list, ok := o["run_list"].([]any)
	locks, isMap := o["cookbook_locks"].(map[string]any)
	if !ok || !isMap {
		return refuse(http.StatusBadRequest, "Field 'run_list' or 'cookbook_locks' missing")
	}
	item := regexp.MustCompile(`^recipe\[[A-Za-z0-9_.-]+::[A-Za-z0-9_.-]+\]$`)
	for _, i := range list {
		if text, _ := i.(string); !item.MatchString(text) {
			return refuse(http.StatusBadRequest, "Field 'run_list' is not a valid run list: %v", i)
		}
	}
	for book, l := range locks {
		lock, _ := l.(map[string]any)
		if !isIdentifier(lock["identifier"]) || lock["version"] == nil {
			return refuse(http.StatusBadRequest, "Field 'cookbook_locks' invalid : %s has no identifier or version", book)
		}
	}
	return nil
}

func isIdentifier(v any) bool {
	text, _ := v.(string)
	return regexp.MustCompile(`^[a-f0-9]{40}$`).MatchString(text)
}

// checkArtefact refuses a manifest with files that the Chef server does not
// hold, and gives the others their address there.
func (s *policies) checkArtefact(ctx context.Context, o map[string]any, name, id string) error {
	if o["name"] != name || o["identifier"] != id || !isIdentifier(id) {
		return refuse(http.StatusBadRequest, "Field 'name' or 'identifier' invalid : %v, %v", o["name"], o["identifier"])
	}
	for _, list := range o {
		files, _ := list.([]any)
		for _, f := range files {
			file, ok := f.(map[string]any)
			if !ok {
				continue
			}
			sum, _ := file["checksum"].(string)
			address := s.upstream.JoinPath("file_store", sum).String()
			if !s.holds(ctx, sum, address) {
				return refuse(http.StatusBadRequest, "Manifest has checksum %s but it hasn't yet been uploaded", sum)
			}
			file["url"] = address
		}
	}
	return nil
}

func (s *policies) holds(ctx context.Context, sum, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if sum == "" || err != nil {
		return false
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

// caller is who signed a request.
type caller struct {
	name      string
	admin     bool
	validator bool
}

// authenticate reads a request's body and checks its signature against the key
// that the Chef server has of the client or user.
func (s *policies) authenticate(r *http.Request) ([]byte, caller, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyCap))
	if err != nil {
		return nil, caller{}, refuse(http.StatusBadRequest, "reading the body: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	name := r.Header.Get("X-Ops-Userid")
	if !regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`).MatchString(name) {
		return nil, caller{}, refuse(http.StatusUnauthorized, "missing required authentication header(s)")
	}
	for _, kind := range []string{"clients", "users"} {
		var known struct {
			Key       string `json:"public_key"`
			Admin     bool   `json:"admin"`
			Validator bool   `json:"validator"`
		}
		status, text, err := s.asAdmin(r.Context(), http.MethodGet, "/"+kind+"/"+name, nil)
		if err != nil {
			return nil, caller{}, err
		}
		if status != http.StatusOK || json.Unmarshal(text, &known) != nil {
			continue
		}
		key, err := publicKey(known.Key)
		if err == nil {
			err = verify(r, body, key, time.Now())
		}
		if err != nil {
			return nil, caller{}, refuse(http.StatusUnauthorized, "Invalid signature for user or client '%s': %v", name, err)
		}
		return body, caller{name, known.Admin, known.Validator}, nil
	}
	return nil, caller{}, refuse(http.StatusUnauthorized, "Failed to authenticate as '%s'", name)
}

// asAdmin asks the Chef server itself.
func (s *policies) asAdmin(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.upstream.JoinPath(path).String(), bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Content-Type", "application/json")
		err = s.admin.Sign(req, body, time.Now())
	}
	if err != nil {
		return 0, nil, refuse(http.StatusInternalServerError, "%s: %v", standIn, err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, refuse(http.StatusBadGateway, "%s: %v", standIn, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, bodyCap))
	if err != nil {
		return 0, nil, refuse(http.StatusBadGateway, "%s: %v", standIn, err)
	}
	return resp.StatusCode, text, nil
}

// reply writes an object, or an error as Chef Infra Server words it.
func (s *policies) reply(w http.ResponseWriter, status int, object any, err error) {
	var no refusal
	if errors.As(err, &no) {
		status, object = no.status, map[string]any{"error": []string{no.what}}
	}
	w.Header().Set(StandInHeader, standIn)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object) // a caller that has gone needs no reply
}

// keep notes, or forgets, the policy of a node.
func (s *policies) keep(node string, p nodePolicy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p == (nodePolicy{}) {
		delete(s.nodes, node)
		return
	}
	s.nodes[node] = p
}
