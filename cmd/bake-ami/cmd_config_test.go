package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"bakehouse/bake"
	"bakehouse/internal/config"
)

// settingsOf runs bake-ami config and returns what it prints, by key.
func settingsOf(t *testing.T, file config.Config, env map[string]string, args ...string) map[string]setting {
	t.Helper()
	r := run(t, file, env, append([]string{"config", "--output", "json"}, args...)...)
	if r.code != 0 || r.got != nil {
		t.Fatalf("exit %d, world asked: %v\n%s", r.code, r.got != nil, r.stderr)
	}
	var all []setting
	if err := json.Unmarshal([]byte(r.stdout), &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]setting{}
	for _, s := range all {
		out[s.Key] = s
	}
	return out
}

func TestConfigSaysWhereEachValueComesFrom(t *testing.T) {
	t.Setenv("CHEF_CLIENT_NAME", "ci") // urfave/cli reads the real environment
	file := config.Config{
		Bake: config.Bake{InstanceType: []string{"t3.small"}, Subnet: []string{"subnet-1"}, Tags: map[string]string{"team": "a", "cost": "b"}},
		Where: map[string]string{"bake.instance_type": "f.yaml:2:3", "bake.subnet": "f.yaml:3:3", "bake.tags.team": "f.yaml:4:3", "bake.tags.cost": "f.yaml:4:9",
			"roles.db.bake.subnet": "f.yaml:9:9"},
		Roles: map[string]config.Role{"db": {Bake: config.Bake{Subnet: []string{"subnet-2", "subnet-3"}}}}}
	got := settingsOf(t, file, map[string]string{"CHEF_CLIENT_NAME": "ci"}, "--role", "db", "--instance-type=m5.large", "--tag", "team=z", "--spot", "--arch", "arm64", "--allow-from", "10.0.0.1/32")
	for _, want := range []setting{
		{"bake.instance_type", "m5.large", "--instance-type"}, {"bake.subnet", "subnet-2, subnet-3", "f.yaml:9:9"}, {"bake.spot", "true", "--spot"},
		{"bake.tags.team", "z", "--tag"}, {"bake.tags.cost", "b", "f.yaml:4:9"}, {"chef.client_name", "ci", "environment CHEF_CLIENT_NAME"},
		{"bake.timeout", "1h", "default"}, {"bake.base", bake.DefaultBaseARM, "default"}, {"--allow-from", "10.0.0.1/32", "--allow-from"}, {"bake.kms_key", "", ""},
	} {
		if got[want.Key] != want {
			t.Errorf("%+v, want %+v", got[want.Key], want)
		}
	}
}

func TestConfigRefusesWhatABakeRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"web"}, {"--tag", "x"}, {"--bogus"}, {"--output", "xml"}, {"--root-volume-iops", "many"}} {
		if r := run(t, config.Config{}, nil, append([]string{"config"}, args...)...); r.code != 2 || r.stdout != "" {
			t.Errorf("%v: exit %d, stdout %q", args, r.code, r.stdout)
		}
	}
	if r := run(t, config.Config{}, nil, "config", "--schema"); r.code != 0 || !json.Valid([]byte(r.stdout)) {
		t.Errorf("--schema: exit %d, %.80q", r.code, r.stdout)
	}
}

func TestEveryKeyOfABakeHasAFlag(t *testing.T) {
	t.Parallel()
	var named []string
	for _, f := range flags() {
		named = append(named, keyOf(f))
	}
	for _, k := range config.Describe() {
		section, _, _ := strings.Cut(k.Path, ".")
		if slices.Contains([]string{"region", "chef", "bake"}, section) && !slices.Contains(named, k.Path) {
			t.Errorf("no flag's usage names %s in brackets; `bake-ami config` would not see it overridden", k.Path)
		}
	}
}
