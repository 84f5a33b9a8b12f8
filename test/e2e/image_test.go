//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/story"
)

// without returns the call of a tool without one of its arguments.
func without(tool story.Tool, arg string) story.Tool {
	tool.Args = slices.DeleteFunc(slices.Clone(tool.Args), func(a string) bool { return a == arg })
	return tool
}

// freshly is a call of bake-ami that may reuse an image.
func freshly(role string, args ...string) story.Tool {
	return without(s.world.BakeTool(role, args...), "--rebake")
}

func TestTheSameInputsGiveTheSameImageInSeconds(t *testing.T) {
	// A description is no input: this image is the role's newest of its inputs.
	first := runTool(t, s.world.BakeTool("harmless", "--image-name", "reuse-{bake}"))
	if first.Code != 0 {
		t.Fatalf("exit %d:\n%s", first.Code, first.Stderr)
	}
	tool, calls := ownCalls(t, freshly("harmless", "--output", "json"))
	again := runTool(t, tool)
	var r struct {
		ImageID string `json:"image_id"`
		Result  string `json:"result"`
		Reused  bool   `json:"reused"`
	}
	if err := json.Unmarshal([]byte(again.Stdout), &r); again.Code != 0 || err != nil {
		t.Fatalf("exit %d, %v:\n%s%s", again.Code, err, again.Stdout, again.Stderr)
	}
	if r.ImageID != first.LastLine() || !r.Reused || r.Result != "reused" {
		t.Errorf("the second bake gave %+v, the first %s", r, first.LastLine())
	}
	if launches := callsTo(calls(), "RunInstances"); len(launches) > 0 || again.Took > first.Took/2 {
		t.Errorf("an image that is there already took %v and %d launches; to bake it took %v", again.Took, len(launches), first.Took)
	}
	t.Logf("reused in %v, baked in %v", again.Took.Round(time.Millisecond), first.Took.Round(time.Millisecond))
	explained(t, first.LastLine())
}

// explained asks what changed since an image, and since then in a setting.
func explained(t *testing.T, image string) {
	t.Helper()
	tool := freshly("harmless")
	tool.Args = append([]string{"explain"}, tool.Args...)
	same := runTool(t, tool)
	if same.Code != 0 || !strings.Contains(same.Stdout, image) || !strings.Contains(same.Stdout, "nothing changed") {
		t.Errorf("exit %d:\n%s%s", same.Code, same.Stdout, same.Stderr)
	}
	tool.Args = append(tool.Args, "--root-volume-gb", "20")
	other := runTool(t, tool)
	if other.Code != 0 || !strings.Contains(other.Stdout, "changed settings") || !strings.Contains(other.Stdout, "same    cookbooks") {
		t.Errorf("exit %d:\n%s%s", other.Code, other.Stdout, other.Stderr)
	}
}
