//go:build e2e

package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// baked runs a bake that must succeed, takes its image away at the end of the
// test, and returns the report that --output json prints.
func baked(t *testing.T, tool story.Tool) (report, story.Outcome) {
	t.Helper()
	tool.Args = append(tool.Args, "--output", "json")
	o := runTool(t, tool)
	var r report
	if err := json.Unmarshal([]byte(o.Stdout), &r); o.Code != 0 || err != nil {
		t.Fatalf("exit code %d, %v\n%s", o.Code, err, tail(o.Stderr))
	}
	t.Cleanup(func() {
		yes := true
		if _, err := s.world.EC2.DeregisterImage(deadline(t, 10*time.Second), &ec2.DeregisterImageInput{ImageId: &r.ImageID, DeleteAssociatedSnapshots: &yes}); err != nil {
			t.Error(err)
		}
	})
	return r, o
}

func TestABakedImageIsABaseAndLocalModeNeedsNoChefServer(t *testing.T) {
	first := theStory(t)
	tool := s.world.BakeTool("harmless", "--base", "name:"+first.report.ImageName[:len(first.report.ImageName)-1]+"?",
		"--chef-mode", "local", "--chef-repo", filepath.Join(s.world.Root, "test/fixtures/chef-repo"))
	tool.Env = []string{"BUILD_URL=https://ci.example.com/7/", "JOB_NAME=images", "GIT_COMMIT=c0ffee"}
	r, _ := baked(t, tool)
	if r.Inputs.Base.ID != first.report.ImageID {
		t.Errorf("the base was %s, the image of that name is %s", r.Inputs.Base.ID, first.report.ImageID)
	}
	for key, want := range map[string]string{"build-url": "https://ci.example.com/7/", "job-name": "images", "git-commit": "c0ffee"} {
		if r.Tags["bakehouse:"+key] != want {
			t.Errorf("the tag of %s is %q, want %q", key, r.Tags["bakehouse:"+key], want)
		}
	}
	for _, step := range r.Steps {
		if step.Name == "chef node" {
			t.Error("local mode made a node on the Chef server")
		}
	}
}

func TestARecipeMayRebootTheBuilder(t *testing.T) {
	for _, role := range []string{"reboot-once", "reboot-needed"} { // exit codes 35 and 37
		t.Run(role, func(t *testing.T) {
			_, o := baked(t, s.world.BakeTool(role))
			if !strings.Contains(o.Stderr, "reboot") {
				t.Errorf("nothing tells of the reboot:\n%s", tail(o.Stderr))
			}
		})
	}
}
