// Package chefrepo reads a chef-repo from disk: roles/NAME.json,
// environments/NAME.json and cookbooks/NAME/. It also expands run lists,
// against a repository or against anything else that knows roles, so that a
// bake can say what is missing before it launches anything.
//
// Ruby is not evaluated: role files must be JSON, and metadata.rb must give
// name, version and depends as literal strings (metadata.json wins when both
// exist, as in Chef).
package chefrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"bakehouse/internal/fault"
)

// ErrNoRole is what a role that is not in the repository comes to.
var ErrNoRole = errors.New("no such role")

// Role is a Chef role as its JSON file or the Chef server gives it.
type Role struct {
	Name               string              `json:"name"`
	Description        string              `json:"description"`
	DefaultAttributes  map[string]any      `json:"default_attributes"`
	OverrideAttributes map[string]any      `json:"override_attributes"`
	RunList            []string            `json:"run_list"`
	EnvRunLists        map[string][]string `json:"env_run_lists"`

	Path string `json:"-"` // file it was read from; empty when it came from a server
}

// RunListFor returns the run list that the role has in an environment: the
// environment's own, else that of _default (docs.chef.io/roles).
func (r Role) RunListFor(environment string) []string {
	if list, ok := r.EnvRunLists[environment]; ok {
		return list
	}
	return r.RunList
}

// Environment is a Chef environment as its JSON file gives it.
type Environment struct {
	Name               string            `json:"name"`
	Description        string            `json:"description"`
	CookbookVersions   map[string]string `json:"cookbook_versions"`
	DefaultAttributes  map[string]any    `json:"default_attributes"`
	OverrideAttributes map[string]any    `json:"override_attributes"`

	Path string `json:"-"` // file it was read from
}

// File is one file of a cookbook.
type File struct {
	Path   string // slash-separated, relative to the cookbook's folder
	Size   int64  // bytes
	MD5    string // lower-case hex; the checksum of Chef's sandbox protocol
	SHA256 string // lower-case hex; for digests of ours
}

// Cookbook is one cookbook's folder.
type Cookbook struct {
	Name, Version string
	Description   string
	Maintainer    string
	License       string
	Depends       map[string]string // cookbook → version constraint (">= 0.0.0" when none is given)
	Platforms     map[string]string // platform → version constraint (metadata "supports")
	ChefVersions  [][]string        // metadata "chef_version": one of these lists must hold whole
	Dir           string            // folder on disk
	Files         []File            // sorted by Path; chefignore obeyed
}

// Open opens one of the cookbook's files. A link that leads out of the
// cookbook's folder is refused.
func (c Cookbook) Open(path string) (io.ReadCloser, error) {
	f, err := os.OpenInRoot(c.Dir, filepath.FromSlash(path))
	if err != nil {
		return nil, fmt.Errorf("opening %s of cookbook %s: %w", path, c.Name, err)
	}
	return f, nil
}

// Repo is a chef-repo read from disk. Its slices are sorted by name.
type Repo struct {
	Dir          string
	Roles        []Role
	Environments []Environment
	Cookbooks    []Cookbook

	rubyRoles map[string]string // role name → file, for a better "no such role"
}

// Role finds a role by name; it makes Repo a RoleSource. A missing one is
// ErrNoRole.
func (r *Repo) Role(_ context.Context, name string) (Role, error) {
	for _, role := range r.Roles {
		if role.Name == name {
			return role, nil
		}
	}
	if file, ok := r.rubyRoles[name]; ok {
		return Role{}, fault.Newf(fault.Usage, "write the role as JSON (knife role show "+name+" -Fj prints it)",
			"role %q: %w: %s is Ruby, and only JSON roles are read", name, ErrNoRole, file)
	}
	return Role{}, fault.Newf(fault.Usage, "create "+filepath.Join(r.Dir, "roles", name+".json")+" or correct the name",
		"role %q: %w in %s", name, ErrNoRole, filepath.Join(r.Dir, "roles"))
}

// Environment finds an environment by name. _default is always there.
func (r *Repo) Environment(name string) (Environment, bool) {
	for _, e := range r.Environments {
		if e.Name == name {
			return e, true
		}
	}
	return Environment{Name: "_default"}, name == "_default"
}

// Cookbook finds a cookbook by name.
func (r *Repo) Cookbook(name string) (Cookbook, bool) {
	for _, c := range r.Cookbooks {
		if c.Name == name {
			return c, true
		}
	}
	return Cookbook{}, false
}
