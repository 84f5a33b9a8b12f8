package chefrepo

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bakehouse/internal/fault"
)

// repoOf writes files (path → content) below a new folder.
func repoOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t *testing.T, files map[string]string) *Repo {
	t.Helper()
	r, err := Open(repoOf(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOpenReadsRolesEnvironmentsAndCookbooks(t *testing.T) {
	t.Parallel()
	r := open(t, map[string]string{
		"roles/web.json":             `{"name":"web","json_class":"Chef::Role","chef_type":"role","run_list":["role[base]","recipe[web]"],"default_attributes":{"a":{"b":1}}}`,
		"roles/base.json":            `{"run_list":["base::default"],"env_run_lists":{"prod":["recipe[hard]"]}}`,
		"roles/README.md":            "not a role",
		"environments/prod.json":     `{"name":"prod","cookbook_versions":{"web":"= 1.2.3"}}`,
		"cookbooks/web/metadata.rb":  "name 'web' # the site\nversion \"1.2.3\"\ndepends 'base', '~> 1.0'\ndepends(\"log\")\nsupports 'ubuntu'\nchef_version '>= 16'\n",
		"cookbooks/web/chefignore":   "*.swp\nspec/*\n",
		"cookbooks/web/recipes/x.rb": "log 'x'\n",
		"cookbooks/web/.x.swp":       "",
		"cookbooks/web/spec/d/a.rb":  "",
		"cookbooks/web/.git/HEAD":    "",
		"cookbooks/web/files/.keep":  "",
		"cookbooks/README.md":        "not a cookbook",
	})
	if len(r.Roles) != 2 || r.Roles[0].Name != "base" || r.Roles[1].Name != "web" {
		t.Fatalf("roles = %+v, want base and web", r.Roles)
	}
	if got := r.Roles[0].RunListFor("prod"); !cmp.Equal(got, []string{"recipe[hard]"}) {
		t.Errorf("run list of base in prod = %v", got)
	}
	if got := r.Roles[0].RunListFor("dev"); !cmp.Equal(got, []string{"base::default"}) {
		t.Errorf("run list of base elsewhere = %v", got)
	}
	if env, ok := r.Environment("prod"); !ok || env.CookbookVersions["web"] != "= 1.2.3" {
		t.Errorf("environment prod = %+v, %v", env, ok)
	}
	if _, ok := r.Environment("_default"); !ok {
		t.Error("_default must always be there")
	}
	web, ok := r.Cookbook("web")
	if !ok {
		t.Fatal("no cookbook web")
	}
	var paths []string
	for _, f := range web.Files {
		paths = append(paths, f.Path)
	}
	want := []string{"chefignore", "files/.keep", "metadata.rb", "recipes/x.rb"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"base": "~> 1.0", "log": ">= 0.0.0"}, web.Depends); diff != "" {
		t.Errorf("depends (-want +got):\n%s", diff)
	}
	if web.Version != "1.2.3" || web.Platforms["ubuntu"] != ">= 0.0.0" || !cmp.Equal(web.ChefVersions, [][]string{{">= 16"}}) {
		t.Errorf("metadata = %+v", web)
	}
	if f := web.Files[3]; f.MD5 != "1417d26e7d5786dab847fccc6a85aaa3" || f.SHA256 != "41b8854a1191b74604992c0a34cb7b13db4d2b7d651e0dfd95591be5a8c63cf1" || f.Size != 8 {
		t.Errorf("recipe file = %+v", f)
	}
}

func TestCookbookOpenStaysInside(t *testing.T) {
	t.Parallel()
	dir := repoOf(t, map[string]string{
		"secret": "s", "cookbooks/a/metadata.rb": "name 'a'\nversion '1.0'\n", "cookbooks/a/recipes/default.rb": "log 'a'\n",
	})
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := r.Cookbook("a")
	f, err := c.Open("recipes/default.rb")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, _ := io.ReadAll(f); string(b) != "log 'a'\n" {
		t.Errorf("read %q", b)
	}
	if _, err := c.Open("../../secret"); err == nil {
		t.Error("a path out of the cookbook was opened")
	}
	if err := os.Symlink("../../secret", filepath.Join(dir, "cookbooks/a/leak")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a link out of the cookbook was read")
	}
}

func TestOpenSaysWhereAndWhat(t *testing.T) {
	t.Parallel()
	meta := "name 'a'\nversion '1.0'\n"
	cases := []struct {
		name  string
		files map[string]string
		want  string // in the message, DIR stands for the repository
	}{
		{"empty", map[string]string{"x": ""}, "opening chef-repo DIR: it has neither a roles nor a cookbooks folder"},
		{"syntax", map[string]string{"roles/web.json": "{\n  \"name\": \"web\",\n  \"run_list\": [\"recipe[a]\",]\n}\n"}, "DIR/roles/web.json:3:28: not JSON: invalid character ']'"},
		{"cut short", map[string]string{"roles/web.json": "{\"name\": \"web\""}, "DIR/roles/web.json:1:14: the JSON ends too early"},
		{"empty file", map[string]string{"roles/web.json": ""}, "DIR/roles/web.json:1:1: the JSON ends too early"},
		{"not an object", map[string]string{"roles/web.json": "[]"}, "DIR/roles/web.json:1:1: the file must be an object, not array"},
		{"wrong type", map[string]string{"roles/web.json": "{\n\"run_list\": \"recipe[a]\"}"}, "DIR/roles/web.json:2:"},
		{"unknown key", map[string]string{"roles/web.json": "{\n  \"runlist\": []\n}"}, "DIR/roles/web.json:2:3: unknown key \"runlist\""},
		{"key twice", map[string]string{"roles/web.json": "{\"run_list\": [],\n\"run_list\": []}"}, "DIR/roles/web.json:2:1: key \"run_list\" is there twice"},
		{"other name", map[string]string{"roles/web.json": "{\"name\":\"db\"}"}, "DIR/roles/web.json:1:9: the name is \"db\" but the file is called web.json"},
		{"bad item", map[string]string{"roles/web.json": "{\"run_list\":[\n\"roles[x]\"]}"}, "DIR/roles/web.json:2:1: run list item \"roles[x]\" is not understood"},
		{"bad pin in environment", map[string]string{"roles/.k": "", "environments/p.json": "{\"cookbook_versions\":{\"a\":\"1.x\"}}"}, "DIR/environments/p.json:1:27: cookbook_versions: a: \"1.x\""},
		{"no metadata", map[string]string{"cookbooks/a/recipes/default.rb": ""}, "cookbook DIR/cookbooks/a has no metadata.rb and no metadata.json"},
		{"ruby version", map[string]string{"cookbooks/a/metadata.rb": "name 'a'\nversion IO.read('V')\n"}, "DIR/cookbooks/a/metadata.rb:2: version is not a literal string"},
		{"interpolated depends", map[string]string{"cookbooks/a/metadata.rb": meta + "depends \"#{x}\"\n"}, "DIR/cookbooks/a/metadata.rb:3: depends is not a literal string"},
		{"bad version", map[string]string{"cookbooks/a/metadata.rb": "name 'a'\nversion 'one'\n"}, "DIR/cookbooks/a/metadata.rb: version: \"one\" is not x.y or x.y.z"},
		{"bad constraint", map[string]string{"cookbooks/a/metadata.rb": meta + "depends 'b', 'about 2'\n"}, "depends b: \"about 2\" is not a version constraint"},
		{"no name", map[string]string{"cookbooks/a/metadata.rb": "version '1.0'\n"}, "DIR/cookbooks/a/metadata.rb: no name"},
		{"bad name", map[string]string{"cookbooks/a/metadata.rb": "name '../a'\n"}, "\"../a\" is not a cookbook name"},
		{"twice", map[string]string{"cookbooks/a/metadata.rb": meta, "cookbooks/b/metadata.rb": meta}, "both say that they are cookbook \"a\""},
		{"metadata.json syntax", map[string]string{"cookbooks/a/metadata.json": "{\"name\": a}"}, "DIR/cookbooks/a/metadata.json:1:10: not JSON"},
		{"bad ignore", map[string]string{"cookbooks/chefignore": "ok\n[a\n"}, "DIR/cookbooks/chefignore:2: pattern \"[a\""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := repoOf(t, c.files)
			_, err := Open(dir)
			want := strings.ReplaceAll(c.want, "DIR", dir)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("error %q\nwant it to hold %q", err, want)
			}
			if fault.KindOf(err) != fault.Usage {
				t.Errorf("kind %v, want Usage", fault.KindOf(err))
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestMetadataFormsThatPeopleWrite(t *testing.T) {
	t.Parallel()
	r := open(t, map[string]string{
		"cookbooks/a/metadata.rb": "name             'a'\nversion          '0.1'\n" +
			"long_description <<-EOH\nversion nonsense\nEOH\n" +
			"description 'it''s # not a comment'\n" +
			"%w(ubuntu debian).each do |os|\n  supports os\nend\n" +
			"depends 'b',\n        '>= 1.0' # why\n" +
			"chef_version '>= 16', '< 19'\nprivacy true\n",
		"cookbooks/b/metadata.json": `{"name":"b","version":"1.0.0","dependencies":{"c":""},"platforms":{"debian":">= 0.0.0"},"chef_versions":[[">= 15"]],"extra":1}`,
		"cookbooks/b/metadata.rb":   "name 'ignored'\n",
	})
	a, _ := r.Cookbook("a")
	if a.Version != "0.1" || a.Depends["b"] != ">= 1.0" || len(a.ChefVersions) != 1 || len(a.Platforms) != 0 {
		t.Errorf("metadata.rb read as %+v", a)
	}
	b, ok := r.Cookbook("b")
	if !ok || b.Depends["c"] != ">= 0.0.0" || b.Platforms["debian"] == "" || !cmp.Equal(b.ChefVersions, [][]string{{">= 15"}}) {
		t.Errorf("metadata.json read as %+v", b)
	}
}

func TestRoleNotThereSaysWhy(t *testing.T) {
	t.Parallel()
	r := open(t, map[string]string{"roles/old.rb": "name 'old'", "roles/web.json": "{}"})
	for name, want := range map[string]string{"db": "no such role", "old": "old.rb is Ruby, and only JSON roles are read"} {
		_, err := r.Role(context.Background(), name)
		if !errors.Is(err, ErrNoRole) || !strings.Contains(err.Error(), want) || fault.NextOf(err) == "" {
			t.Errorf("role %s: error %v (next %q), want it to hold %q", name, err, fault.NextOf(err), want)
		}
	}
}
