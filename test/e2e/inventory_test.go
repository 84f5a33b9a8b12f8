//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bakehouse/bake/inventory"
	"bakehouse/test/story"
)

// taken is what the tests read of a report about the inventory.
type taken struct {
	ImageID   string               `json:"image_id"`
	Tags      map[string]string    `json:"tags"`
	Inventory *inventory.Inventory `json:"inventory"`
	Changes   *inventory.Diff      `json:"changes"`
	Cost      *struct {
		Once  float64
		Lines []struct{ What, How string }
	} `json:"cost"`
}

// otherRepo copies the sample chef-repo, in which the base cookbook has a new
// version and installs another package.
func otherRepo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"roles", "cookbooks"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(s.world.Root, part))); err != nil {
			t.Fatal(err)
		}
	}
	for file, change := range map[string][2]string{"metadata.rb": {"version '1.0.0'", "version '1.0.1'"}, "attributes/default.rb": {"%w(jq)", "%w(unzip)"}} {
		path := filepath.Join(dir, "cookbooks/base", file)
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), change[0]) {
			t.Fatalf("%s does not say %q: %v", file, change[0], err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(b), change[0], change[1], 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// differ runs bake-ami diff.
func differ(t *testing.T, args ...string) story.Outcome {
	t.Helper()
	return runTool(t, story.Tool{Name: "bake-ami", Args: append([]string{"diff", "--config", s.world.Config}, args...)})
}

func TestTheInventorySaysWhatTwoImagesHoldAndWhatChanged(t *testing.T) {
	theStory(t) // its image is the role's first
	out := t.TempDir()
	const bucket = "s3://bakehouse-builds/inventories"
	o := runTool(t, s.world.BakeTool("web", "--chef-mode", "local", "--chef-repo", otherRepo(t), "--report-dir", out, "--inventory", bucket))
	var r, first taken
	if err := readJSON(filepath.Join(out, "report.json"), &r); o.Code != 0 || err != nil {
		t.Fatalf("exit %d, %v:\n%s", o.Code, err, tail(o.Stderr))
	}
	if err := readJSON(filepath.Join(s.world.Dir, "report.json"), &first); err != nil {
		t.Fatal(err)
	}
	theFiles(t, out, r)
	if r.Changes == nil || r.Changes.Old.Label == "" || !strings.Contains(o.Stderr, "[bake-ami] web: cost about ") || len(r.Cost.Lines) < 3 {
		t.Errorf("changes %+v, cost %+v\n%s", r.Changes, r.Cost, tail(o.Stderr))
	}
	state := filepath.Join(s.world.Dir, "state")
	d := differ(t, "--exit-code", "--state-dir", state, first.ImageID, r.ImageID)
	got := regexp.MustCompile(`(?m)^  (.*)$`).FindAllString(d.Stdout, -1)
	for i, line := range got {
		got[i] = strings.Join(strings.Fields(line), " ")
	}
	want := []string{"removed jq " + version(first.Inventory, "jq"), "removed libjq1 " + version(first.Inventory, "libjq1"),
		"removed libonig5 " + version(first.Inventory, "libonig5"), "added unzip " + version(r.Inventory, "unzip"),
		"up base 1.0.0 -> 1.0.1", "changed chef_mode server -> local"}
	if d.Code != 10 || !slices.Equal(got, want) {
		t.Errorf("exit %d, want 10 and %q:\n%s%s", d.Code, want, d.Stdout, d.Stderr)
	}
	elsewhere(t, first, r, bucket)
}

// theFiles looks at what a bake with --report-dir leaves.
func theFiles(t *testing.T, dir string, r taken) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "web.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	sbom, err := inventory.Decode("sbom", b)
	if err != nil {
		t.Fatal(err)
	}
	nginx := version(&sbom, "nginx")
	if nginx == "" || !strings.Contains(string(b), "pkg:deb/debian/nginx@") || !slices.ContainsFunc(sbom.Cookbooks, func(c inventory.Cookbook) bool { return c.Name == "base" && c.Version == "1.0.1" }) {
		t.Errorf("SBOM: nginx %q, cookbooks %+v", nginx, sbom.Cookbooks)
	}
	for name, want := range map[string]string{"report.html": "removed", "web.inventory.json": nginx, "junit.xml": `name="inventory"`,
		"bake.properties": "BAKE_AMI_ID=" + r.ImageID, "web.diff.html": "unzip"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s does not say %q: %v", name, want, err)
		}
	}
}

// elsewhere compares from a machine that has baked nothing.
func elsewhere(t *testing.T, first, second taken, bucket string) {
	t.Helper()
	state := t.TempDir()
	o := differ(t, "--state-dir", state, "--inventory", bucket, filepath.Join(s.world.Dir, "report.json"), second.ImageID)
	if o.Code != 0 || !strings.Contains(o.Stdout, "unzip") {
		t.Errorf("with the inventory in S3: exit %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
	o = differ(t, "--state-dir", state, "--inventory", bucket, first.ImageID, second.ImageID)
	if o.Code != 2 || !strings.Contains(o.Stderr, state) || !strings.Contains(o.Stderr, bucket+"/") {
		t.Errorf("an inventory that is nowhere: exit %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
}

// version is that of a package; empty: it is not there.
func version(i *inventory.Inventory, name string) string {
	if i == nil {
		return ""
	}
	for _, p := range i.Packages {
		if p.Name == name {
			return p.Version
		}
	}
	return ""
}
