package chefapi

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSetNormalChangesItsKeysAlone(t *testing.T) {
	t.Parallel()
	f := newFake(t, "/organizations/acme")
	c := client(t, f.user(t, "admin"))
	ctx := context.Background()
	const name = "web-1"
	put := func(normal any) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.objects["nodes"][name] = map[string]any{"name": name, "run_list": []any{"role[web]"}, "normal": normal,
			"automatic": map[string]any{"ipaddress": "10.0.0.1"}, "override": map[string]any{"o": 1.0}, "policy_name": "web", "unknown": "kept"}
	}
	get := func() map[string]any {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.objects["nodes"][name]
	}
	for what, normal := range map[string]any{
		"a section":  map[string]any{"mine": true, "bakehouse": map[string]any{"bake_id": "01", "release": "old"}},
		"no section": map[string]any{"mine": true},
		"nothing":    nil,
	} {
		put(normal)
		if err := c.SetNormal(ctx, name, "bakehouse", map[string]any{"release": "new", "n": 1}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		want := map[string]any{"bakehouse": map[string]any{"release": "new", "n": 1.0}}
		if normal != nil {
			want["mine"] = true
		}
		if what == "a section" {
			want["bakehouse"].(map[string]any)["bake_id"] = "01"
		}
		got := get()
		if diff := cmp.Diff(want, got["normal"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		for _, key := range []string{"automatic", "override", "policy_name", "unknown", "run_list"} {
			if got[key] == nil {
				t.Errorf("%s: %s is gone", what, key)
			}
		}
	}
	before := f.count("PUT ")
	if err := c.SetNormal(ctx, name, "bakehouse", map[string]any{"release": "new", "n": 1}); err != nil || f.count("PUT ") != before {
		t.Errorf("the same values again: %v, %d more writes", err, f.count("PUT ")-before)
	}
	if err := c.SetNormal(ctx, "none", "bakehouse", map[string]any{"a": 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a node that is not there: %v", err)
	}
}
