//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// refusal is one bad input to bake-ami, and what it must come to.
type refusal struct {
	name string
	tool func(t *testing.T, w *story.World) story.Tool
	code int
	says []string // all of them, in the error's line
}

// refusals are the bad inputs of the issue that made this suite; each names
// its cause and a next step, ends with a documented code, and leaves nothing.
func refusals() []refusal {
	bake := func(role string, args ...string) func(*testing.T, *story.World) story.Tool {
		return func(_ *testing.T, w *story.World) story.Tool { return w.BakeTool(role, args...) }
	}
	env := func(pairs ...string) func(*testing.T, *story.World) story.Tool {
		return func(_ *testing.T, w *story.World) story.Tool {
			tool := w.BakeTool("web")
			tool.Env = pairs
			return tool
		}
	}
	return []refusal{
		{"unknown role", bake("nosuch"), 3, []string{"nosuch"}},
		{"a role that names an unknown role", bake("missing-role"), 3, []string{"missing-role"}},
		{"missing cookbook", bake("missing-cookbook"), 3, []string{"cookbook"}},
		{"no such base image", bake("web", "--base", "ami-0123456789abcdef0"), 2, []string{"ami-0123456789abcdef0"}},
		{"a base name that fits nothing", bake("web", "--base", "name:no-such-*"), 2, []string{"no-such-*"}},
		{"a base parameter that is not there", bake("web", "--base", "ssm:/no/such"), 2, []string{"/no/such"}},
		{"a base of two owners", twoOwners, 2, []string{"owner"}},
		{"unreachable Chef server", bake("web", "--chef-server", "http://127.0.0.1:9"), 3, []string{"127.0.0.1:9"}},
		{"no credentials", env("AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_EC2_METADATA_DISABLED=true"), 5, []string{"credentials"}},
		{"no region", noRegion, 2, []string{"region"}},
		{"wrong Chef key", wrongKey, 3, []string{"admin"}},
		{"a converge that fails", bake("broken-converge"), 3, []string{"converg"}},
		{"a role file with a syntax error", badRoleFile, 2, []string{"syntax.json:6"}},
		{"a full disk in the guest", bake("fill-disk"), 3, []string{"space"}},
		{"a Chef package that is not what was asked for", wrongDigest, 2, []string{"SHA-256"}},
		{"a misspelt configuration key", badConfig, 2, []string{"bakehouse.yaml:2", "regio"}},
	}
}

// twoOwners asks for a name that images of two accounts bear.
func twoOwners(_ *testing.T, w *story.World) story.Tool {
	return w.BakeTool("web", "--base", "name:*", "--base-owner", "")
}

// noRegion leaves the region out of file and environment.
func noRegion(t *testing.T, w *story.World) story.Tool {
	b, err := os.ReadFile(w.Config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bakehouse.yaml")
	write(t, file, strings.Replace(string(b), "region: us-east-1\n", "", 1))
	tool := w.BakeTool("web", "--config", file)
	tool.Env = []string{"AWS_REGION=", "AWS_DEFAULT_REGION="}
	return tool
}

// wrongKey signs as admin with a key that is not admin's.
func wrongKey(t *testing.T, w *story.World) story.Tool {
	file := filepath.Join(t.TempDir(), "key.pem")
	key, _, err := chefapi.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(key))
	return w.BakeTool("web", "--chef-key", file)
}

// badRoleFile bakes from a chef-repo whose role file is no JSON.
func badRoleFile(t *testing.T, w *story.World) story.Tool {
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join(w.Root, "test/fixtures/chef-repo/roles-bad/syntax.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"roles", "cookbooks"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "roles", "syntax.json"), string(b))
	return w.BakeTool("syntax", "--chef-mode", "local", "--chef-repo", dir)
}

// wrongDigest promises another package than it gives.
func wrongDigest(_ *testing.T, w *story.World) story.Tool {
	return w.BakeTool("web", "--chef-package-sha256", strings.Repeat("0", 64))
}

// badConfig has a typing error on line 2.
func badConfig(t *testing.T, w *story.World) story.Tool {
	file := filepath.Join(t.TempDir(), "bakehouse.yaml")
	write(t, file, "# mine\nregio: us-east-1\n")
	return w.BakeTool("web", "--config", file)
}

// write writes a file or ends the test.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBadInputIsOneClearLineAndLeavesNothing(t *testing.T) {
	foreignImage(t)
	for _, r := range refusals() {
		t.Run(r.name, func(t *testing.T) {
			before, err := s.world.Census(deadline(t, 10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			o := runTool(t, r.tool(t, s.world))
			line, next := errorLines(o.Stderr)
			if o.Code != r.code {
				t.Errorf("exit code %d, want %d:\n%s", o.Code, r.code, tail(o.Stderr))
			}
			for _, word := range r.says {
				if !strings.Contains(line, word) {
					t.Errorf("the error does not name %q: %s", word, line)
				}
			}
			if next == "" {
				t.Errorf("no next step:\n%s", tail(o.Stderr))
			}
			if o.Stdout != "" {
				t.Errorf("stdout is not empty: %q", o.Stdout)
			}
			unchanged(t, before)
		})
	}
}

// errorLines finds the error's line and its next step.
func errorLines(stderr string) (line, next string) {
	for _, l := range strings.Split(stderr, "\n") {
		if _, text, ok := strings.Cut(l, "bake-ami: error: "); ok {
			line = text
		}
		if text, ok := strings.CutPrefix(strings.TrimSpace(l), "next: "); ok {
			next = text
		}
	}
	return line, next
}

// foreignImage makes sure that images of two owners bear names that fit "*".
func foreignImage(t *testing.T) {
	t.Helper()
	theStory(t)
	out, err := s.world.EC2.DescribeImages(deadline(t, 10*time.Second), &ec2.DescribeImagesInput{})
	if err != nil {
		t.Fatal(err)
	}
	owners := map[string]bool{}
	for _, i := range out.Images {
		owners[aws.ToString(i.OwnerId)] = true
	}
	if len(owners) < 2 {
		t.Fatalf("images of %d owners; the test of two owners would show nothing", len(owners))
	}
}
