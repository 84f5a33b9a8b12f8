package bake

import (
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

// newPolicy bakes policy web of group prod.
func newPolicy(t *testing.T) *fakes {
	t.Helper()
	f := newFakes(t)
	f.in.Role, f.in.Policy = "web", Policy{"web", "prod"}
	return f
}

func TestAPolicyIsBakedInsteadOfARole(t *testing.T) {
	t.Parallel()
	f := newPolicy(t)
	p := f.plan(t)
	if !strings.Contains(p.Text(), "policy       web, group prod, revision rev") || !slices.Equal(p.Recipe.Recipes, []string{"web::default"}) || p.Recipe.Cookbooks["web"] != "1.2.3" {
		t.Errorf("the plan says:\n%s", p.Text())
	}
	if _, err := f.Bake(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if n := f.chef.node; n.PolicyName != "web" || n.PolicyGroup != "prod" || len(n.RunList) > 0 {
		t.Errorf("the builder's node is %+v", n)
	}
	if rb := f.machine.files[chefDir+"/client.rb"]; !strings.Contains(rb, "policy_name 'web'\npolicy_group 'prod'\n") {
		t.Errorf("client.rb:\n%s", rb)
	}
	if c := p.agentConfig().Chef; c.PolicyName != "web" || c.PolicyGroup != "prod" || len(c.RunList) > 0 {
		t.Errorf("instances are told %+v", c)
	}
	if f.plan(t).Reuse == nil {
		t.Error("the same revision is baked again")
	}
}

func TestANewRevisionIsANewImage(t *testing.T) {
	t.Parallel()
	f := newPolicy(t)
	before := f.plan(t)
	f.chef.attribute = "2"
	revision := f.plan(t)
	f.chef.attribute, f.chef.content = "", "2"
	content := f.plan(t)
	f.chef.content = ""
	f.in.Policy = Policy{}
	role := f.plan(t)
	digests := []string{before.Digest, revision.Digest, content.Digest, role.Digest}
	slices.Sort(digests)
	if len(slices.Compact(digests)) != 4 {
		t.Errorf("revision, cookbook content, policy or role make no difference: %v", digests)
	}
}

func TestPoliciesThatCannotBeBakedAreRefused(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*Inputs){
		"together":                          func(in *Inputs) { in.Policy.Group = "" },
		`--policy-group "a/b"`:              func(in *Inputs) { in.Policy.Group = "a/b" },
		"does not go with environment prod": func(in *Inputs) { in.Environment = "prod" },
		"the bake is to do without one":     func(in *Inputs) { in.ChefMode, in.ChefRepo = ChefLocalMode, "x" },
	} {
		f := newPolicy(t)
		spoil(&f.in)
		refusedWith(t, f, fault.Usage, want)
	}
	f := newPolicy(t)
	f.in.Policy.Name = "nosuch"
	refusedWith(t, f, fault.Chef, "")
}
