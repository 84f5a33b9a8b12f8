package chefapi

import (
	"context"
	"net/http"

	"bakehouse/internal/fault"
)

// Policy is one revision of a policy (Policyfile), as a policy group has it.
type Policy struct {
	Revision  string
	RunList   []string
	Cookbooks map[string]PolicyCookbook
}

// PolicyCookbook is a cookbook that a policy has locked. Identifier is the hash
// of its content, by which the server keeps it as a cookbook artefact.
type PolicyCookbook struct {
	Version    string `json:"version"`
	Identifier string `json:"identifier"`
}

// Policy fetches the revision of a policy that a group runs (Chef Infra Server
// API, /policy_groups/GROUP/policies/NAME). One that is not there is
// ErrNotFound. goiardi has no policies and answers with something else.
func (c *Client) Policy(ctx context.Context, group, name string) (Policy, error) {
	for kind, n := range map[string]string{"policy": name, "policy group": group} {
		if err := checkName(kind, n); err != nil {
			return Policy{}, err
		}
	}
	var w struct {
		Revision string                    `json:"revision_id"`
		RunList  []string                  `json:"run_list"`
		Locks    map[string]PolicyCookbook `json:"cookbook_locks"`
	}
	what := "fetching policy " + name + " of group " + group
	err := c.do(ctx, call{what: what, method: http.MethodGet, path: "policy_groups/" + group + "/policies/" + name}, &w)
	if err != nil {
		return Policy{}, hint(err, http.StatusNotFound, "push it (chef push "+group+" "+name+".rb), or correct --policy or --policy-group")
	}
	if w.Revision == "" {
		return Policy{}, fault.Newf(fault.Chef, "name a Chef Infra Server, which has policies (goiardi has none), or bake a role", "%s: the reply names no revision, so it is no policy", what)
	}
	return Policy{Revision: w.Revision, RunList: w.RunList, Cookbooks: w.Locks}, nil
}
