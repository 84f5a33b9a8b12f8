package bake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/chefrepo"
	"bakehouse/internal/fault"
)

// closure is what a role comes to: all that a converge will need.
type closure struct {
	expansion chefrepo.Expansion
	cookbooks map[string]string // name → version
	contents  map[string]string // role:NAME or cookbook:NAME → digest
}

// remember is a RoleSource that keeps a digest of each role it passes on.
type remember struct {
	from     chefrepo.RoleSource
	contents map[string]string
}

// Role fetches a role and notes its content.
func (r remember) Role(ctx context.Context, name string) (chefrepo.Role, error) {
	role, err := r.from.Role(ctx, name)
	if err != nil {
		return role, err
	}
	if r.contents["role:"+name], err = jsonDigest(role); err != nil {
		return role, fmt.Errorf("hashing role %s: %w", name, err)
	}
	return role, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// jsonDigest hashes v's JSON, in which maps are sorted.
func jsonDigest(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return digest(b), nil
}

func runList(role string) []string { return []string{"role[" + role + "]"} }

// serverClosure asks the Chef server for the role and everything below it, so
// that a bake which cannot converge is refused before anything is launched.
func (w World) serverClosure(ctx context.Context, in Inputs) (closure, error) {
	c := closure{contents: map[string]string{}}
	if in.Environment != "_default" {
		ok, err := w.Chef.EnvironmentExists(ctx, in.Environment)
		if err != nil {
			return c, chefFault("looking for environment "+in.Environment, err)
		}
		if !ok {
			return c, fault.Newf(fault.Chef, "create the environment on the Chef server, or correct --environment",
				"looking for environment %q: there is none of that name on %s", in.Environment, in.ChefServerURL)
		}
	}
	var err error
	c.expansion, err = chefrepo.Expand(ctx, remember{w.Chef, c.contents}, in.Environment, runList(in.Role))
	if errors.Is(err, chefapi.ErrNotFound) {
		return c, fault.New(fault.Chef, "upload the role (knife role from file), or correct its name; the Chef server is "+in.ChefServerURL, err)
	}
	if err != nil {
		return c, chefFault("looking for role "+in.Role, err)
	}
	if len(c.expansion.Recipes) == 0 {
		return c, w.serverContents(ctx, in, c)
	}
	c.cookbooks, err = w.Chef.SolveCookbooks(ctx, in.Environment, c.expansion.Recipes)
	if err != nil {
		return c, chefFault("solving the cookbooks of role "+in.Role, err)
	}
	return c, w.serverContents(ctx, in, c)
}

// localClosure does the same from a chef-repo on disk.
func localClosure(ctx context.Context, in Inputs) (closure, error) {
	c := closure{contents: map[string]string{}, cookbooks: map[string]string{}}
	repo, err := chefrepo.Open(in.ChefRepo)
	if err != nil {
		return c, keepKind(err, fault.Usage, err)
	}
	env, ok := repo.Environment(in.Environment)
	if !ok {
		return c, fault.Newf(fault.Usage, "create the file, or correct --environment",
			"looking for environment %q: there is no environments/%s.json in %s", in.Environment, in.Environment, in.ChefRepo)
	}
	c.expansion, err = chefrepo.Expand(ctx, remember{repo, c.contents}, in.Environment, runList(in.Role))
	if err != nil {
		return c, keepKind(err, fault.Usage, err)
	}
	if missing := repo.Missing(c.expansion); len(missing) > 0 {
		var names []string
		for _, m := range missing {
			names = append(names, m.String())
		}
		return c, fault.Newf(fault.Usage, "add what is missing to "+in.ChefRepo+"/cookbooks (berks vendor, knife supermarket)",
			"looking for the cookbooks of role %s: missing are %s", in.Role, strings.Join(names, "; "))
	}
	if c.contents["environment:"+in.Environment], err = jsonDigest(env); err != nil {
		return c, fmt.Errorf("hashing environment %s: %w", in.Environment, err)
	}
	for _, cb := range repo.Needed(c.expansion) {
		c.cookbooks[cb.Name] = cb.Version
		if c.contents["cookbook:"+cb.Name], err = jsonDigest(cb.Files); err != nil {
			return c, fmt.Errorf("hashing cookbook %s: %w", cb.Name, err)
		}
	}
	return c, nil
}
