package chefapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"bakehouse/internal/chefrepo"
)

// Uploaded counts what an Upload changed.
type Uploaded struct {
	Roles        int // created or changed
	Environments int // created or changed
	Cookbooks    int // versions created or changed
	Files        int // files sent
	Unchanged    int // roles, environments and cookbooks that were right already
}

// Upload brings the server's cookbooks, environments and roles in line with
// repo, in this order, so that nothing refers to what is not there yet. It
// sends only what differs, and deletes nothing.
func (c *Client) Upload(ctx context.Context, repo *chefrepo.Repo) (Uploaded, error) {
	var u Uploaded
	if err := c.uploadCookbooks(ctx, repo.Cookbooks, &u); err != nil {
		return u, err
	}
	for _, e := range repo.Environments {
		changed, err := c.put(ctx, "environment", e.Name, environmentBody(e))
		if err != nil {
			return u, err
		}
		u.count(&u.Environments, changed)
	}
	for _, r := range repo.Roles {
		changed, err := c.put(ctx, "role", r.Name, roleBody(r))
		if err != nil {
			return u, err
		}
		u.count(&u.Roles, changed)
	}
	return u, nil
}

func (u *Uploaded) count(what *int, changed bool) {
	if changed {
		*what++
	} else {
		u.Unchanged++
	}
}

// put makes kind/name hold body, and says whether it had to change anything.
func (c *Client) put(ctx context.Context, kind, name string, body map[string]any) (changed bool, err error) {
	var have map[string]any
	err = c.get(ctx, kind, name, &have)
	switch {
	case errors.Is(err, ErrNotFound):
		k := call{what: "creating " + kind + " " + name, method: http.MethodPost, path: kind + "s", body: body}
		return true, c.create(ctx, k, func() (bool, error) { // somebody made it: no matter who, if it is right
			var now map[string]any
			err := c.get(ctx, kind, name, &now)
			return holds(now, body), err
		})
	case err != nil:
		return false, err
	case holds(have, body):
		return false, nil
	}
	return true, c.do(ctx, call{what: "updating " + kind + " " + name, method: http.MethodPut, path: kind + "s/" + name, body: body}, nil)
}

// holds says whether every key of want is in have with the same value; an
// empty map or list counts as absent.
func holds(have, want map[string]any) bool {
	for key, v := range want {
		a, b := canonical(have[key]), canonical(v)
		if isEmpty(a) && isEmpty(b) {
			continue
		}
		if !sameJSON(a, b) {
			return false
		}
	}
	return true
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	case string:
		return v == ""
	}
	return false
}

func roleBody(r chefrepo.Role) map[string]any {
	lists := map[string][]string{}
	for env, l := range r.EnvRunLists {
		lists[env] = normalise(l)
	}
	return map[string]any{
		"name": r.Name, "description": r.Description, "json_class": "Chef::Role", "chef_type": "role",
		"default_attributes": notNil(r.DefaultAttributes), "override_attributes": notNil(r.OverrideAttributes),
		"run_list": normalise(r.RunList), "env_run_lists": lists,
	}
}

func environmentBody(e chefrepo.Environment) map[string]any {
	versions := map[string]string{}
	for name, constraint := range e.CookbookVersions {
		if !strings.ContainsAny(constraint, "=<>") {
			constraint = "= " + constraint // as the server stores it
		}
		versions[name] = constraint
	}
	return map[string]any{
		"name": e.Name, "description": cmp.Or(e.Description, e.Name), "json_class": "Chef::Environment", "chef_type": "environment",
		"default_attributes": notNil(e.DefaultAttributes), "override_attributes": notNil(e.OverrideAttributes),
		"cookbook_versions": versions,
	}
}
