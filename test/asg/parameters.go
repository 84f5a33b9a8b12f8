package asg

import (
	"encoding/json"
	"net/http"
	"strings"
)

// parameter is one parameter of Systems Manager.
type parameter struct {
	value   string
	version int
}

// SetParameter makes a parameter of Systems Manager known, or gives it a new
// version.
func (s *Service) SetParameter(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parameters[name] = parameter{value, s.parameters[name].version + 1}
}

// serveParameters answers GetParameters in JSON 1.1; up to ten names, as AWS
// takes.
func (s *Service) serveParameters(w http.ResponseWriter, r *http.Request, body []byte) {
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in struct{ Names []string }
	err := json.Unmarshal(body, &in)
	if err == nil {
		err = s.fault(action)
	}
	if err == nil && action != "GetParameters" {
		err = &refusal{"InvalidAction", "there is no action " + action, 400}
	}
	if err == nil && (len(in.Names) == 0 || len(in.Names) > 10) {
		err = &refusal{"ValidationException", "GetParameters takes 1 to 10 names", 400}
	}
	s.record("ssm", action, err)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if err != nil {
		code := "ValidationException"
		if refused, ok := err.(*refusal); ok {
			code = refused.code
		}
		w.WriteHeader(http.StatusBadRequest)
		// A caller that is gone needs no answer, here and below.
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": err.Error()})
		return
	}
	found, missing := []map[string]any{}, []string{}
	for _, name := range in.Names {
		if p, ok := s.parameters[name]; ok {
			found = append(found, map[string]any{"Name": name, "Type": "String", "Value": p.value, "Version": p.version})
		} else {
			missing = append(missing, name)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Parameters": found, "InvalidParameters": missing})
}
