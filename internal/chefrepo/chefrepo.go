// Package chefrepo reads a chef-repo from disk: roles/NAME.json,
// environments/NAME.json and cookbooks/NAME/. It also expands run lists,
// against a repository or against anything else that knows roles, so that a
// bake can say what is missing before it launches anything.
//
// Ruby is not evaluated: role files must be JSON, and metadata.rb must give
// name, version and depends as literal strings (metadata.json wins when both
// exist).
package chefrepo

import (
	"context"
)

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

// Environment is a Chef environment as its JSON file gives it.
type Environment struct {
	Name               string            `json:"name"`
	Description        string            `json:"description"`
	CookbookVersions   map[string]string `json:"cookbook_versions"`
	DefaultAttributes  map[string]any    `json:"default_attributes"`
	OverrideAttributes map[string]any    `json:"override_attributes"`

	Path string `json:"-"`
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
	ChefVersions  []string          // metadata "chef_version" constraints
	Dir           string            // folder on disk
	Files         []File            // sorted by Path; chefignore obeyed
}

// Repo is a chef-repo read from disk. Its slices are sorted by name.
type Repo struct {
	Dir          string
	Roles        []Role
	Environments []Environment
	Cookbooks    []Cookbook
}

// RoleSource finds a role by name. A missing role is an error for which
// errors.Is(err, ErrNoRole) holds, or any error the source prefers.
type RoleSource interface {
	Role(ctx context.Context, name string) (Role, error)
}

// Expansion is what a run list comes to.
type Expansion struct {
	Roles     []string // in order of first use
	Recipes   []string // "cookbook" or "cookbook::recipe", in order, without repeats
	Cookbooks []string // in order of first use, without dependencies
}

// Absent is a cookbook that a run list or another cookbook needs and the
// repository lacks, or has in a version that does not fit.
type Absent struct {
	Cookbook   string
	Constraint string // version constraint asked for; empty: any
	Have       string // version present that does not fit; empty: none at all
	By         string // "the run list" or the cookbook that depends on it
}
