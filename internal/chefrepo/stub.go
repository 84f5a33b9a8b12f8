package chefrepo

import (
	"context"
	"errors"
)

// ErrNoRole is what a Role that is not in the repository comes to.
var ErrNoRole = errors.New("no such role")

// Open reads the chef-repo in dir.
func Open(dir string) (*Repo, error) { return nil, errors.ErrUnsupported }

// Role finds a role by name; it makes Repo a RoleSource.
func (r *Repo) Role(_ context.Context, name string) (Role, error) {
	return Role{}, errors.ErrUnsupported
}

// Cookbook finds a cookbook by name.
func (r *Repo) Cookbook(name string) (Cookbook, bool) { return Cookbook{}, false }

// Expand resolves nested roles. Cycles are tolerated, as Chef does.
func Expand(ctx context.Context, src RoleSource, environment string, runList []string) (Expansion, error) {
	return Expansion{}, errors.ErrUnsupported
}

// Missing lists the cookbooks that e needs, dependencies included, and that
// the repository cannot give.
func (r *Repo) Missing(e Expansion) []Absent { return nil }

// Needed lists the cookbooks that e needs and the repository has,
// dependencies included, sorted by name.
func (r *Repo) Needed(e Expansion) []Cookbook { return nil }

// String reads as one line of a report.
func (a Absent) String() string { return a.Cookbook }
