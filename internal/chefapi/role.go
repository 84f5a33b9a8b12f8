package chefapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"bakehouse/internal/chefrepo"
	"bakehouse/internal/fault"
)

// Role fetches a role; it makes Client a chefrepo.RoleSource. A missing role
// is ErrNotFound.
func (c *Client) Role(ctx context.Context, name string) (chefrepo.Role, error) {
	var r chefrepo.Role
	err := c.get(ctx, "role", name, &r)
	return r, hint(err, http.StatusNotFound, "upload roles/"+name+".json to the Chef server, or correct the name")
}

// EnvironmentExists says whether an environment of that name exists.
func (c *Client) EnvironmentExists(ctx context.Context, name string) (bool, error) {
	return c.exists(ctx, "environment", name)
}

// SolveCookbooks asks the server which cookbook versions a node with that
// environment and run list would get: name → version, dependencies included.
// Roles in the run list are expanded first. A cookbook that is missing or
// whose constraints cannot be met is a fault.Chef that names it.
func (c *Client) SolveCookbooks(ctx context.Context, environment string, runList []string) (map[string]string, error) {
	if err := checkName("environment", environment); err != nil {
		return nil, err
	}
	expansion, err := chefrepo.Expand(ctx, c, environment, runList)
	if err != nil || len(expansion.Recipes) == 0 {
		return map[string]string{}, err
	}
	var solved map[string]struct {
		Version string `json:"version"`
	}
	err = c.do(ctx, call{
		what:   "solving the cookbooks of environment " + environment,
		method: http.MethodPost, path: "environments/" + environment + "/cookbook_versions",
		body: map[string]any{"run_list": expansion.Recipes},
	}, &solved)
	out := map[string]string{}
	for name, v := range solved {
		out[name] = v.Version
	}
	return out, hint(err, http.StatusPreconditionFailed, "upload the cookbook to the Chef server, or correct the run list")
}

// canonical turns v into what its JSON decodes to.
func canonical(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		return err
	}
	return out
}

// hint adds a next step to an error that came from a reply of that status.
func hint(err error, status int, next string) error {
	var e *StatusError
	if errors.As(err, &e) && e.Status == status {
		return fault.New(fault.Chef, next, err)
	}
	return err
}
