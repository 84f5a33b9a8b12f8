package chefapi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/chefrepo"
	"bakehouse/internal/fault"
)

// server is what the semantics suite runs against: the fake in every unit run,
// a real goiardi under the build tag lab.
type server struct {
	admin  Config
	settle func(check func() bool) // waits until a search can see what was saved
}

func client(t *testing.T, c Config) *Client {
	t.Helper()
	cl, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	cl.pause = func(context.Context, time.Duration) error { return nil }
	return cl
}

// semantics is the contract of Client, whatever server it talks to.
func semantics(t *testing.T, s server) {
	t.Run("node", func(t *testing.T) { nodeLife(t, s) })
	t.Run("client", func(t *testing.T) { clientLife(t, s) })
	t.Run("refusals", func(t *testing.T) { refusals(t, s) })
	t.Run("upload", func(t *testing.T) { uploadTwice(t, s) })
}

func nodeLife(t *testing.T, s server) {
	ctx, c := t.Context(), client(t, s.admin)
	n := Node{Name: "web-i-0a1b", RunList: []string{"role[web]", "base::x"}, Normal: map[string]any{"bakehouse": map[string]any{"instance_id": "i-0a1b", "n": 1}}}
	if _, err := c.Node(ctx, n.Name); !errors.Is(err, ErrNotFound) {
		t.Fatalf("a node that is not there: %v, want ErrNotFound", err)
	}
	if err := c.CreateNode(ctx, n); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateNode(ctx, n); !errors.Is(err, ErrExists) {
		t.Errorf("creating it again: %v, want ErrExists", err)
	}
	got, err := c.Node(ctx, n.Name)
	if err != nil {
		t.Fatal(err)
	}
	if got.Environment != "_default" || !slices.Equal(got.RunList, []string{"role[web]", "recipe[base::x]"}) || !sameJSON(got.Normal, n.Normal) {
		t.Errorf("read back %+v", got)
	}
	got.RunList, got.Automatic = []string{"role[db]"}, map[string]any{"ipaddress": "10.0.0.1"}
	if err := c.UpdateNode(ctx, got); err != nil {
		t.Fatal(err)
	}
	if again, err := c.Node(ctx, n.Name); err != nil || !slices.Equal(again.RunList, got.RunList) || again.Automatic["ipaddress"] != "10.0.0.1" {
		t.Errorf("after the update: %+v, %v", again, err)
	}
	s.settle(func() bool {
		found, err := c.SearchNodes(ctx, "name:"+n.Name)
		return err == nil && len(found) == 1 && found[0].Name == n.Name && found[0].Automatic["ipaddress"] == "10.0.0.1"
	})
	if names, err := c.NodeNames(ctx); err != nil || !slices.Contains(names, n.Name) {
		t.Errorf("names = %v, %v", names, err)
	}
	for range 2 {
		if err := c.DeleteNode(ctx, n.Name); err != nil {
			t.Errorf("deleting: %v", err)
		}
	}
	if names, err := c.NodeNames(ctx); err != nil || slices.Contains(names, n.Name) {
		t.Errorf("names after deletion = %v, %v", names, err)
	}
}

func clientLife(t *testing.T, s server) {
	ctx, c := t.Context(), client(t, s.admin)
	private, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	const name = "bake-01j000"
	if there, err := c.ClientExists(ctx, name); err != nil || there {
		t.Fatalf("before: %v, %v", there, err)
	}
	if err := c.CreateClient(ctx, name, public); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateClient(ctx, name, public); !errors.Is(err, ErrExists) {
		t.Errorf("creating it again: %v, want ErrExists", err)
	}
	if there, err := c.ClientExists(ctx, name); err != nil || !there {
		t.Errorf("after: %v, %v", there, err)
	}
	if names, err := c.ClientNames(ctx); err != nil || !slices.Contains(names, name) {
		t.Errorf("names = %v, %v", names, err)
	}
	self := client(t, Config{ServerURL: s.admin.ServerURL, ClientName: name, Key: private})
	if err := self.Ping(ctx); err != nil {
		t.Errorf("the new client's key is not accepted: %v", err)
	}
	if err := self.CreateNode(ctx, Node{Name: name, RunList: []string{"role[web]"}}); err != nil {
		t.Errorf("a client makes its own node: %v", err)
	}
	if err := self.UpdateNode(ctx, Node{Name: name}); err != nil {
		t.Errorf("a client updates its own node: %v", err)
	}
	for range 2 {
		if err := errors.Join(c.DeleteClient(ctx, name), c.DeleteNode(ctx, name)); err != nil {
			t.Errorf("deleting: %v", err)
		}
	}
	if err := self.Ping(ctx); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("a deleted client: %v, want ErrUnauthorized", err)
	}
}

func refusals(t *testing.T, s server) {
	ctx := t.Context()
	stranger, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	wrong := client(t, Config{ServerURL: s.admin.ServerURL, ClientName: s.admin.ClientName, Key: stranger})
	_, err = wrong.NodeNames(ctx)
	if !errors.Is(err, ErrUnauthorized) || fault.KindOf(err) != fault.Chef || fault.NextOf(err) == "" {
		t.Errorf("foreign key: %v (next %q), want ErrUnauthorized of kind Chef", err, fault.NextOf(err))
	}
	if want := "as " + s.admin.ClientName; err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("foreign key: %v, want it to hold %q", err, want)
	}
	admin := client(t, s.admin)
	if err := admin.CreateClient(ctx, "plain", public); err != nil {
		t.Fatal(err)
	}
	plain := client(t, Config{ServerURL: s.admin.ServerURL, ClientName: "plain", Key: stranger})
	if err := plain.CreateClient(ctx, "more", public); !errors.Is(err, ErrForbidden) {
		t.Errorf("a plain client makes a client: %v, want ErrForbidden", err)
	}
	if err := plain.DeleteClient(ctx, s.admin.ClientName+"-other"); err != nil && !errors.Is(err, ErrForbidden) {
		t.Errorf("a plain client deletes a client: %v", err)
	}
	if err := admin.DeleteClient(ctx, "plain"); err != nil {
		t.Error(err)
	}
	if _, err := admin.Role(ctx, "nobody"); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "fetching role nobody: not found") {
		t.Errorf("missing role: %v", err)
	}
	if there, err := admin.EnvironmentExists(ctx, "nowhere"); err != nil || there {
		t.Errorf("missing environment: %v, %v", there, err)
	}
	if there, err := admin.EnvironmentExists(ctx, "_default"); err != nil || !there {
		t.Errorf("_default: %v, %v", there, err)
	}
	_, err = admin.SolveCookbooks(ctx, "_default", []string{"recipe[nowhere-to-be-found]"})
	if err == nil || !strings.Contains(err.Error(), "nowhere-to-be-found") || fault.KindOf(err) != fault.Chef {
		t.Errorf("unsolvable run list: %v", err)
	}
}

func uploadTwice(t *testing.T, s server) {
	ctx, c := t.Context(), client(t, s.admin)
	dir := t.TempDir()
	write := func(path, content string) {
		t.Helper()
		full := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	upload := func(want Uploaded) {
		t.Helper()
		repo, err := chefrepo.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Upload(ctx, repo)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("upload changed %+v, want %+v", got, want)
		}
	}
	write("roles/tiny.json", `{"name":"tiny","description":"a role","run_list":["tiny::other"],"default_attributes":{"tiny":{"port":80}}}`)
	write("environments/prod.json", `{"name":"prod","cookbook_versions":{"tiny":"1.0.0"}}`)
	write("cookbooks/tiny/metadata.rb", "name 'tiny'\nversion '1.0.0'\nchef_version '>= 16'\nsupports 'ubuntu'\n")
	write("cookbooks/tiny/recipes/default.rb", "log 'tiny'\n")
	write("cookbooks/tiny/recipes/other.rb", "log 'other'\n")
	write("cookbooks/tiny/templates/default/a.erb", "<%= 1 %>\n")
	write("cookbooks/tiny/files/b.txt", "b\n")
	upload(Uploaded{Roles: 1, Environments: 1, Cookbooks: 1, Files: 5})
	upload(Uploaded{Unchanged: 3})
	before, err := c.CookbookDigest(ctx, "tiny", "1.0.0")
	if err != nil || len(before) != 64 {
		t.Errorf("digest %q, %v", before, err)
	}
	write("cookbooks/tiny/recipes/default.rb", "log 'changed'\n")
	upload(Uploaded{Cookbooks: 1, Files: 1, Unchanged: 2})
	if after, err := c.CookbookDigest(ctx, "tiny", "1.0.0"); err != nil || after == before {
		t.Errorf("other content under the same version has digest %q, %v", after, err)
	}
	if _, err := c.CookbookDigest(ctx, "tiny", "9.9.9"); !errors.Is(err, ErrNotFound) {
		t.Errorf("digest of a version that is not there: %v", err)
	}
	if e, err := c.Environment(ctx, "prod"); err != nil || e.CookbookVersions["tiny"] != "= 1.0.0" {
		t.Errorf("environment = %+v, %v", e, err)
	}
	write("roles/tiny.json", `{"name":"tiny","run_list":["recipe[tiny]"],"env_run_lists":{"prod":["tiny"]}}`)
	write("cookbooks/tiny/metadata.rb", "name 'tiny'\nversion '1.1.0'\n")
	upload(Uploaded{Roles: 1, Cookbooks: 1, Files: 1, Unchanged: 1})
	upload(Uploaded{Unchanged: 3})

	role, err := c.Role(ctx, "tiny")
	if err != nil || !slices.Equal(role.RunList, []string{"recipe[tiny]"}) || !slices.Equal(role.RunListFor("prod"), []string{"recipe[tiny]"}) {
		t.Errorf("role = %+v, %v", role, err)
	}
	solved, err := c.SolveCookbooks(ctx, "_default", []string{"role[tiny]"})
	if err != nil || len(solved) != 1 || solved["tiny"] != "1.1.0" {
		t.Errorf("solved = %v, %v", solved, err)
	}
	if _, err := c.SolveCookbooks(ctx, "_default", []string{"role[gone]"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("solving a missing role: %v", err)
	}
}

func TestSemanticsOfTheFake(t *testing.T) {
	t.Parallel()
	for _, org := range []string{"/organizations/acme", ""} {
		t.Run(fmt.Sprintf("org=%q", org), func(t *testing.T) {
			t.Parallel()
			f := newFake(t, org)
			semantics(t, server{admin: f.user(t, "admin"), settle: func(check func() bool) {
				if !check() {
					t.Error("the search does not show the node")
				}
			}})
		})
	}
}
