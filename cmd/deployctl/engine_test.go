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

func TestLoginsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    loginOptions
		want string
	}{
		"no key file":    {loginOptions{engine: "ssh", key: "/none"}, "/none"},
		"no known hosts": {loginOptions{engine: "ssh", knownHosts: []string{"/none"}}, "/none"},
		"no SSH agent":   {loginOptions{engine: "ssh"}, "SSH_AUTH_SOCK is not set"},
	} {
		if _, err := engines("", t.TempDir())(context.Background(), c.o); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
