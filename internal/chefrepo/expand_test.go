package chefrepo

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// roleMap is a RoleSource: role name → run list.
type roleMap map[string][]string

func (m roleMap) Role(_ context.Context, name string) (Role, error) {
	list, ok := m[name]
	if !ok {
		return Role{}, ErrNoRole
	}
	return Role{Name: name, RunList: list, EnvRunLists: map[string][]string{"prod": append([]string{"recipe[prod]"}, list...)}}, nil
}

func TestExpand(t *testing.T) {
	t.Parallel()
	roles := roleMap{
		"web":  {"role[base]", "recipe[nginx::site]", "recipe[web@1.2.0]"},
		"base": {"ntp", "role[web]", "recipe[ntp::default]"}, // web again: a cycle
	}
	cases := []struct {
		name, env string
		list      []string
		want      Expansion
	}{
		{"nested with a cycle", "_default", []string{"role[web]", "recipe[last]"}, Expansion{
			Roles: []string{"web", "base"}, Recipes: []string{"ntp", "nginx::site", "web@1.2.0", "last"}, Cookbooks: []string{"ntp", "nginx", "web", "last"}}},
		{"environment run list", "prod", []string{"role[base]"}, Expansion{
			Roles: []string{"base", "web"}, Recipes: []string{"prod", "ntp", "nginx::site", "web@1.2.0"}, Cookbooks: []string{"prod", "ntp", "nginx", "web"}}},
		{"empty", "_default", nil, Expansion{}},
	}
	for _, c := range cases {
		got, err := Expand(context.Background(), roles, c.env, c.list)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestExpandNamesWhoAskedForAMissingRole(t *testing.T) {
	t.Parallel()
	roles := roleMap{"web": {"role[db]"}}
	_, err := Expand(context.Background(), roles, "", []string{"role[web]"})
	if !errors.Is(err, ErrNoRole) || !strings.Contains(err.Error(), `role "db", asked for by role "web": no such role`) {
		t.Errorf("nested: %v", err)
	}
	_, err = Expand(context.Background(), roles, "", []string{"role[x]"})
	if err == nil || !strings.Contains(err.Error(), `role "x", asked for by the run list`) {
		t.Errorf("direct: %v", err)
	}
	if _, err = Expand(context.Background(), roles, "", []string{"role[web"}); err == nil {
		t.Error("a broken item was accepted")
	}
}

func TestParseItem(t *testing.T) {
	t.Parallel()
	good := map[string]Item{
		"recipe[a]": {Recipe: "a"}, "a::b": {Recipe: "a::b"}, "role[web-1.x]": {Role: "web-1.x"},
		"recipe[a::b@1.2]": {Recipe: "a::b", Version: "1.2"}, "a@1.0.0": {Recipe: "a", Version: "1.0.0"},
	}
	for s, want := range good {
		if got, err := ParseItem(s); err != nil || got != want {
			t.Errorf("%q = %+v, %v; want %+v", s, got, err, want)
		}
	}
	if got := (Item{Recipe: "a::b"}).Cookbook(); got != "a" {
		t.Errorf("cookbook of a::b = %q", got)
	}
	for _, s := range []string{"", "role[]", "role[a@1.0]", "recipe[a", "roles[a]", "recipe[a b]", "recipe[a@x]", "../a", "recipe[a@]"} {
		if got, err := ParseItem(s); err == nil {
			t.Errorf("%q was accepted as %+v", s, got)
		}
	}
}

func TestMissingFollowsDependencies(t *testing.T) {
	t.Parallel()
	r := open(t, map[string]string{
		"cookbooks/web/metadata.rb":   "name 'web'\nversion '1.0.0'\ndepends 'base', '~> 1.1'\ndepends 'nginx'\n",
		"cookbooks/web/recipes/a.rb":  "",
		"cookbooks/base/metadata.rb":  "name 'base'\nversion '1.0.0'\n",
		"cookbooks/nginx/recipe.rb":   "",
		"cookbooks/nginx/metadata.rb": "name 'nginx'\nversion '2.0.0'\ndepends 'web'\ndepends 'apt', '>= 7.0'\n",
		"cookbooks/other/metadata.rb": "name 'other'\n",
	})
	e := Expansion{Recipes: []string{"web::a", "web::b", "gone", "nginx@3.0.0", "other"}, Cookbooks: []string{"web", "gone", "nginx"}}
	var got []string
	for _, a := range r.Missing(e) {
		got = append(got, a.String())
	}
	want := []string{
		`recipe "b" of cookbook "web", needed by the run list`,
		`recipe "default" of cookbook "other", needed by the run list`,
		`cookbook "gone", needed by the run list`,
		`cookbook "nginx" (3.0.0), needed by the run list, is there as 2.0.0 only`,
		`cookbook "base" (~> 1.1), needed by cookbook "web", is there as 1.0.0 only`,
		`cookbook "apt" (>= 7.0), needed by cookbook "nginx"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	var names []string
	for _, c := range r.Needed(e) {
		names = append(names, c.Name)
	}
	if diff := cmp.Diff([]string{"nginx", "other", "web"}, names); diff != "" {
		t.Errorf("needed (-want +got):\n%s", diff)
	}
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	cases := []struct {
		have, want string
		fits       bool
	}{
		{"1.2.3", "", true}, {"1.2.3", "1.2.3", true}, {"1.2", "= 1.2.0", true}, {"1.2.3", "!= 1.2.3", false},
		{"1.2.3", ">= 1.10", false}, {"1.10.0", "> 1.9", true}, {"1.0.0", "<= 1.0", true}, {"1.0.1", "< 1.0.1", false},
		{"1.9.9", "~> 1.2", true}, {"2.0.0", "~> 1.2", false}, {"1.2.9", "~> 1.2.3", true}, {"1.3.0", "~> 1.2.3", false},
		{"1.2.2", "~> 1.2.3", false}, {"1.9.0", "~> 1", true}, {"2.0.0", "~> 1", false}, {"1.0", "nonsense", false},
	}
	for _, c := range cases {
		if got := fits(c.have, c.want); got != c.fits {
			t.Errorf("%s fits %q = %v", c.have, c.want, got)
		}
	}
}
