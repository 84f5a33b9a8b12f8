package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestAJumpHostThatCannotBeIsRefusedByItsFlag(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	empty := filepath.Join(home, "known")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    loginOptions
		next string
	}{
		"no user":        {loginOptions{engine: "ssh", jump: "gate"}, "write --jump USER@HOST"},
		"no known hosts": {loginOptions{engine: "ssh", jump: "a@gate"}, "(--jump-known-hosts)"},
		"no key":         {loginOptions{engine: "ssh", jump: "a@gate", jumpKnownHosts: empty, jumpKey: "/none"}, "(--jump-key)"},
	} {
		if _, err := engines("", home)(context.Background(), c.o); fault.KindOf(err) != fault.Usage || !strings.Contains(fault.NextOf(err), c.next) {
			t.Errorf("%s: %v, next %q", name, err, fault.NextOf(err))
		}
	}
}
