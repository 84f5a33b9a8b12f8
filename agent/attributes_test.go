package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheNodeStartsWithTheImagesAttributes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Attributes = map[string]any{"nginx": map[string]any{"workers": 4.0}, "bakehouse": "x"}
	w.boot()
	normal := w.chef.nodes["web-"+testInstance].Normal
	if diff := cmp.Diff(map[string]any{"workers": 4.0}, normal["nginx"]); diff != "" {
		t.Errorf("nginx (-want +got):\n%s", diff)
	}
	if marker, ok := normal["bakehouse"].(map[string]any); !ok || marker["instance_id"] != testInstance {
		t.Errorf("an attribute of the image replaced the marker: %v", normal["bakehouse"])
	}
}

func TestMergedKeepsWhatIsThereAndChangesNoArgument(t *testing.T) {
	t.Parallel()
	have := map[string]any{"a": map[string]any{"x": 1.0, "y": 2.0}, "list": []any{"old"}, "mine": true}
	over := map[string]any{"a": map[string]any{"y": 3.0}, "list": []any{"new"}, "b": "c"}
	want := map[string]any{"a": map[string]any{"x": 1.0, "y": 3.0}, "list": []any{"new"}, "mine": true, "b": "c"}
	if diff := cmp.Diff(want, merged(have, over)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if y := have["a"].(map[string]any)["y"]; y != 2.0 {
		t.Errorf("the first argument was changed: y is %v", y)
	}
	if got := merged(nil, nil); got == nil {
		t.Error("nothing merged is nil; a node needs an object")
	}
}
