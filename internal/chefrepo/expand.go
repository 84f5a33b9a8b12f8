package chefrepo

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"bakehouse/internal/fault"
)

// RoleSource finds a role by name.
type RoleSource interface {
	Role(ctx context.Context, name string) (Role, error)
}

// Item is one entry of a run list.
type Item struct {
	Role    string // set for role[…]
	Recipe  string // set for recipe[…]: "cookbook" or "cookbook::recipe"
	Version string // of a recipe pinned by @x.y.z; else empty
}

// Cookbook returns the cookbook of a recipe item.
func (i Item) Cookbook() string {
	name, _, _ := strings.Cut(i.Recipe, "::")
	return name
}

func isName(s string) bool { return regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`).MatchString(s) }

// ParseItem reads recipe[NAME], recipe[NAME@VERSION], role[NAME] or a bare
// recipe name (docs.chef.io/run_lists).
func ParseItem(s string) (Item, error) {
	m := regexp.MustCompile(`^(?:(role|recipe)\[([^\[\]]+)\]|([^\[\]]+))$`).FindStringSubmatch(s)
	if m == nil {
		return Item{}, badItem(s)
	}
	name, pin, pinned := strings.Cut(m[2]+m[3], "@")
	if !isName(name) {
		return Item{}, badItem(s)
	}
	if m[1] == "role" {
		if pinned {
			return Item{}, badItem(s)
		}
		return Item{Role: name}, nil
	}
	if _, err := parseVersion(pin); pinned && err != nil {
		return Item{}, badItem(s)
	}
	return Item{Recipe: name, Version: pin}, nil
}

func badItem(s string) error {
	return fault.Newf(fault.Usage, "write recipe[NAME], recipe[COOKBOOK::NAME] or role[NAME]", "run list item %q is not understood", s)
}

// Expansion is what a run list comes to.
type Expansion struct {
	Roles     []string // in order of first use
	Recipes   []string // "cookbook" or "cookbook::recipe", with "@version" if pinned; in order, each once
	Cookbooks []string // in order of first use, without dependencies
}

// expander holds one Expand call's state.
type expander struct {
	src         RoleSource
	environment string
	out         Expansion
	seen        map[string]bool // recipes, as Chef compares them
}

// Expand resolves nested roles depth first, as Chef does: a role that was
// applied already, a cycle included, is passed over. An error names the role
// and who asked for it, and wraps the source's error.
func Expand(ctx context.Context, src RoleSource, environment string, runList []string) (Expansion, error) {
	e := &expander{src: src, environment: environment, seen: map[string]bool{}}
	if err := e.list(ctx, runList, "the run list"); err != nil {
		return Expansion{}, fmt.Errorf("expanding run list %s: %w", strings.Join(runList, ","), err)
	}
	return e.out, nil
}

func (e *expander) list(ctx context.Context, items []string, by string) error {
	for _, s := range items {
		item, err := ParseItem(s)
		if err != nil {
			return fmt.Errorf("in %s: %w", by, err)
		}
		if item.Role != "" {
			err = e.role(ctx, item.Role, by)
		} else {
			e.recipe(item)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *expander) role(ctx context.Context, name, by string) error {
	if slices.Contains(e.out.Roles, name) {
		return nil
	}
	role, err := e.src.Role(ctx, name)
	if err != nil {
		return fmt.Errorf("role %q, asked for by %s: %w", name, by, err)
	}
	e.out.Roles = append(e.out.Roles, name)
	return e.list(ctx, role.RunListFor(e.environment), fmt.Sprintf("role %q", name))
}

func (e *expander) recipe(item Item) {
	name := strings.TrimSuffix(item.Recipe, "::default")
	if e.seen[name] {
		return
	}
	e.seen[name] = true
	text := item.Recipe
	if item.Version != "" {
		text += "@" + item.Version
	}
	e.out.Recipes = append(e.out.Recipes, text)
	if c := item.Cookbook(); !slices.Contains(e.out.Cookbooks, c) {
		e.out.Cookbooks = append(e.out.Cookbooks, c)
	}
}

// Absent is a cookbook that a run list or another cookbook needs and the
// repository lacks, or has in a version that does not fit.
type Absent struct {
	Cookbook   string
	Constraint string // version constraint asked for; empty: any
	Have       string // version present that does not fit; empty: none at all
	By         string // "the run list" or the cookbook that depends on it
	Recipe     string // set when the cookbook is there but not this recipe of it
}

// String reads as one line of a report.
func (a Absent) String() string {
	if a.Recipe != "" {
		return fmt.Sprintf("recipe %q of cookbook %q, needed by %s", a.Recipe, a.Cookbook, a.By)
	}
	want := ""
	if a.Constraint != "" && a.Constraint != anyVersion {
		want = " (" + a.Constraint + ")"
	}
	text := fmt.Sprintf("cookbook %q%s, needed by %s", a.Cookbook, want, a.By)
	if a.Have != "" {
		text += ", is there as " + a.Have + " only"
	}
	return text
}

// hasRecipe knows the places of a recipe: recipes/NAME, in Ruby or (since Chef
// 16) YAML, and recipe.rb beside metadata.rb as the default one.
func (c Cookbook) hasRecipe(name string) bool {
	name = cmp.Or(name, "default")
	for _, f := range c.Files {
		base, inside := strings.CutPrefix(f.Path, "recipes/")
		stem := strings.TrimSuffix(base, path.Ext(base))
		if inside && stem == name || f.Path == "recipe.rb" && name == "default" {
			return true
		}
	}
	return false
}

// need walks the dependencies of e, each cookbook once, each edge checked.
func (r *Repo) need(e Expansion, visit func(Cookbook), absent func(Absent)) {
	const byList = "the run list"
	type edge struct{ name, constraint, by string }
	var queue []edge
	for _, text := range e.Recipes {
		full, pin, _ := strings.Cut(text, "@")
		name, recipe, _ := strings.Cut(full, "::")
		queue = append(queue, edge{name, pin, byList})
		if c, ok := r.Cookbook(name); ok && !c.hasRecipe(recipe) {
			absent(Absent{Cookbook: name, By: byList, Recipe: cmp.Or(recipe, "default")})
		}
	}
	seen := map[string]bool{}
	for ; len(queue) > 0; queue = queue[1:] {
		next := queue[0]
		c, ok := r.Cookbook(next.name)
		if !ok || !fits(c.Version, next.constraint) {
			absent(Absent{Cookbook: next.name, Constraint: next.constraint, Have: c.Version, By: next.by})
			continue
		}
		if seen[next.name] {
			continue
		}
		seen[next.name] = true
		visit(c)
		for _, name := range slices.Sorted(maps.Keys(c.Depends)) {
			queue = append(queue, edge{name, c.Depends[name], fmt.Sprintf("cookbook %q", c.Name)})
		}
	}
}

// Missing lists what e needs, dependencies included, and the repository
// cannot give. Empty means that the run list can converge from it.
func (r *Repo) Missing(e Expansion) []Absent {
	var out []Absent
	r.need(e, func(Cookbook) {}, func(a Absent) {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	})
	return out
}

// Needed lists the cookbooks that e needs and the repository has,
// dependencies included, sorted by name.
func (r *Repo) Needed(e Expansion) []Cookbook {
	var out []Cookbook
	r.need(e, func(c Cookbook) { out = append(out, c) }, func(Absent) {})
	slices.SortFunc(out, func(a, b Cookbook) int { return strings.Compare(a.Name, b.Name) })
	return out
}
