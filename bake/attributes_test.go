package bake

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

func TestAttributesReachBuilderAndInstances(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Attributes = filepath.Join(t.TempDir(), "web.json")
	if err := os.WriteFile(f.in.Attributes, []byte(`{"nginx": {"workers": 4}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := f.plan(t)
	if _, err := f.Bake(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	conf, err := agentconf.Parse([]byte(f.machine.files[agentconf.ConfigPath]))
	if err != nil {
		t.Fatal(err)
	}
	for where, got := range map[string]map[string]any{"the builder's node": f.chef.node.Normal, "agent.json": conf.Attributes} {
		if nginx, ok := got["nginx"].(map[string]any); !ok || nginx["workers"] != 4.0 {
			t.Errorf("%s holds %v", where, got)
		}
	}
	if f.chef.node.Normal["bakehouse"] == nil || conf.Attributes["bakehouse"] != nil {
		t.Errorf("the bake's own marker is on its node only: %v, %v", f.chef.node.Normal, conf.Attributes)
	}
	f.in.Attributes = ""
	if f.plan(t).Digest == p.Digest {
		t.Error("other attributes, same inputs digest")
	}
}

func TestLocalModeGivesTheAttributesToTheConverge(t *testing.T) {
	t.Parallel()
	p := Plan{Recipe: Recipe{ChefMode: ChefLocalMode, RunList: runList("web"), Agent: agentconf.Config{Attributes: map[string]any{"a": "b"}}}}
	if b, err := p.localAttributes(); err != nil || string(b) != `{"a":"b"}` {
		t.Errorf("%s, %v", b, err)
	}
	if args := p.localArgs(); !strings.HasSuffix(args, "--json-attributes /run/bakehouse/chef/attributes.json") {
		t.Errorf("arguments %s", args)
	}
	p.Recipe.ChefMode = ChefServerMode
	if b, err := p.localAttributes(); b != nil || err != nil {
		t.Errorf("server mode: %s, %v", b, err)
	}
}

func TestAttributesThatCannotBeRight(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"{\n  \"a\": 1,\n  b\n}":               "web.json:3:3: invalid character 'b'",
		"[1]":                                  "not a JSON object",
		"null":                                 "not a JSON object",
		"":                                     "unexpected end",
		`{"run_list": []}`:                     `"run_list" is reserved`,
		`{"bakehouse": {}}`:                    `"bakehouse" is reserved`,
		`{"k": "-----BEGIN RSA PRIVATE KEY-"}`: "private key",
		`{"k": "` + strings.Repeat("x", maxAttributes) + `"}`: "more than 262144",
	} {
		f := newFakes(t)
		f.in.Attributes = filepath.Join(t.TempDir(), "web.json")
		if err := os.WriteFile(f.in.Attributes, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		refusedWith(t, f, fault.Usage, "--attributes", want)
	}
	f := newFakes(t)
	f.in.Attributes = "/none.json"
	refusedWith(t, f, fault.Usage, "/none.json")
	if len(f.ec2.calls) > 0 {
		t.Errorf("EC2 was asked: %v", f.ec2.calls)
	}
}
