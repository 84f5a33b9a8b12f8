package bake

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	cloudinit "bakehouse/cloud-init"
)

// Part is one group of inputs, with the digest of its content. Images carry
// the parts as a tag, so that it can be said what changed since.
type Part struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // first 12 hex digits of SHA-256
}

// The names of the parts.
const (
	partBase      = "base"      // the base image
	partRoles     = "roles"     // run list, roles and environment with their attributes
	partCookbooks = "cookbooks" // versions and contents
	partChef      = "chef"      // package and mode
	partAgent     = "agent"     // boot-agent and what it is told
	partTool      = "tool"      // what this version of bake-ami puts into images and does in them
	partSettings  = "settings"  // all other settings
)

// canonical drops what does not change the image: how its base was found, and
// where a package lay whose digest is known.
func (r Recipe) canonical() Recipe {
	r.Base.AskedFor, r.Base.Name = "", ""
	if r.ChefSHA256 != "" {
		r.ChefPackage = ""
	}
	return r
}

// Parts groups the recipe. What is in no other group is in settings, so a new
// field of Recipe is never left out.
func (r Recipe) Parts() []Part {
	r = r.canonical()
	contents := func(prefixes ...string) map[string]string {
		out := map[string]string{}
		for name, d := range r.Contents {
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
				out[name] = d
			}
		}
		return out
	}
	rest := r
	rest.Policy = nil
	rest.Base, rest.Roles, rest.Recipes, rest.RunList, rest.Role, rest.Environment = Base{}, nil, nil, nil, "", ""
	rest.Cookbooks, rest.ChefMode, rest.ChefPackage, rest.ChefSHA256 = nil, "", "", ""
	rest.AgentSHA256, rest.AgentEnv, rest.Agent = "", nil, Recipe{}.Agent
	rest.Contents = maps.Clone(r.Contents)
	known := contents("role:", "environment:", "cookbook:", "chef:", "tool:")
	maps.DeleteFunc(rest.Contents, func(name, _ string) bool { _, ok := known[name]; return ok })
	if len(rest.Contents) == 0 {
		rest.Contents = nil
	}
	return []Part{
		{partBase, partDigest(r.Base)},
		{partRoles, partDigest(r.Role, r.Policy, r.Environment, r.RunList, r.Roles, r.Recipes, contents("role:", "environment:"))},
		{partCookbooks, partDigest(r.Cookbooks, contents("cookbook:"))},
		{partChef, partDigest(r.ChefMode, r.ChefPackage, r.ChefSHA256, contents("chef:"))},
		{partAgent, partDigest(r.AgentSHA256, r.AgentEnv, r.Agent)},
		{partTool, partDigest(contents("tool:"))},
		{partSettings, partDigest(rest)},
	}
}

func partDigest(of ...any) string {
	b, err := json.Marshal(of) // maps come out sorted
	if err != nil {
		return "" // cannot happen: strings, numbers and maps of them
	}
	return short(digest(b))
}

// Digest is a hash of the recipe: the same digest, the same image.
func (r Recipe) Digest() string {
	b, err := json.Marshal(r.canonical()) // maps come out sorted
	if err != nil {
		return "" // cannot happen: strings, numbers and maps of them
	}
	return digest(b)
}

// partsTag renders parts as a tag's value: NAME=DIGEST, blank between.
func partsTag(parts []Part) string {
	var out []string
	for _, p := range parts {
		out = append(out, p.Name+"="+p.Digest)
	}
	return strings.Join(out, " ")
}

// ownContents adds what this machine and this version of the tool put into the
// image, or do in it: the Chef server's CA, the unit files, the guest scripts
// with the table of the scrub.
func (p *Plan) ownContents() error {
	c := p.Recipe.Contents
	if p.chefCA != nil {
		c["chef:ca"] = digest(p.chefCA)
	}
	units, err := cloudinit.Files()
	if err != nil {
		return err
	}
	var all strings.Builder
	for _, f := range units {
		fmt.Fprintf(&all, "%s %v %s %s\n", f.Path, f.Mode, f.Link, digest(f.Content))
	}
	err = fs.WalkDir(scripts, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := scripts.ReadFile(path)
		fmt.Fprintf(&all, "%s %s\n", path, digest(b))
		return err
	})
	if err != nil {
		return fmt.Errorf("hashing the guest scripts: %w", err)
	}
	fmt.Fprintf(&all, "%+v", traces())
	c["tool:guest"] = digest([]byte(all.String()))
	return nil
}

// serverContents adds digests of what the Chef server holds of the closure:
// the environment, and the files of each cookbook. A version alone says
// little, as it can be uploaded again with other files.
func (w World) serverContents(ctx context.Context, in Inputs, c closure) error {
	if in.Environment != "_default" {
		e, err := w.Chef.Environment(ctx, in.Environment)
		if err != nil {
			return chefFault("reading environment "+in.Environment, err)
		}
		if c.contents["environment:"+in.Environment], err = jsonDigest(e); err != nil {
			return fmt.Errorf("hashing environment %s: %w", in.Environment, err)
		}
	}
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(6)
	for name, version := range c.cookbooks {
		group.Go(func() error {
			d, err := w.Chef.CookbookDigest(ctx, name, version)
			if err != nil {
				return chefFault("reading cookbook "+name+" "+version, err)
			}
			mu.Lock()
			defer mu.Unlock()
			c.contents["cookbook:"+name] = d
			return nil
		})
	}
	return group.Wait()
}
