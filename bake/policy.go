package bake

import (
	"context"
	"strings"

	"bakehouse/internal/fault"
)

// Policy names a policy (Policyfile) and its group, instead of a role.
type Policy struct {
	Name  string `json:"name"`
	Group string `json:"group"`
}

// Empty says that the bake converges a role.
func (p Policy) Empty() bool { return p == Policy{} }

// String reads like "policy web of group prod".
func (p Policy) String() string { return "policy " + p.Name + " of group " + p.Group }

// checkPolicy refuses what a policy does not go with: it brings its own run
// list and attributes, and its group takes an environment's place.
func (in Inputs) checkPolicy() error {
	p := in.Policy
	switch {
	case p.Empty():
		return nil
	case p.Name == "" || p.Group == "":
		return fault.Newf(fault.Usage, "give both --policy NAME and --policy-group GROUP", "checking inputs: a policy is named by --policy and --policy-group together")
	case !isChefName(p.Name):
		return fault.Newf(fault.Usage, "use letters, digits, dot, dash and underscore", "checking inputs: --policy %q is not a Chef name", p.Name)
	case !isChefName(p.Group):
		return fault.Newf(fault.Usage, "use letters, digits, dot, dash and underscore", "checking inputs: --policy-group %q is not a Chef name", p.Group)
	case in.Environment != "_default":
		return fault.Newf(fault.Usage, "drop --environment (chef.environment): the policy group says where it runs", "checking inputs: --policy does not go with environment %s", in.Environment)
	case in.ChefMode == ChefLocalMode:
		return fault.Newf(fault.Usage, "drop --chef-mode local", "checking inputs: --policy is kept by a Chef server, and the bake is to do without one")
	}
	return nil
}

// policyClosure asks the Chef server for the revision that the group runs. The
// cookbooks are told by the hash of their content, so nothing else is fetched.
func (w World) policyClosure(ctx context.Context, in Inputs) (closure, error) {
	c := closure{contents: map[string]string{}, cookbooks: map[string]string{}}
	p, err := w.Chef.Policy(ctx, in.Policy.Group, in.Policy.Name)
	if err != nil {
		return c, chefFault("looking for "+in.Policy.String(), err)
	}
	c.contents["role:"+in.Policy.Name] = p.Revision
	for _, item := range p.RunList {
		c.expansion.Recipes = append(c.expansion.Recipes, strings.TrimSuffix(strings.TrimPrefix(item, "recipe["), "]"))
	}
	for name, book := range p.Cookbooks {
		c.cookbooks[name], c.contents["cookbook:"+name] = book.Version, book.Identifier
	}
	return c, nil
}
