package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestARolesSettingsWin(t *testing.T) {
	t.Parallel()
	c, path, err := load(t, `bake:
  instance_type: t3.small
  spot: true
  timeout: 30m
  tags: {team: a, cost: b}
agent: {attempts: 3}
roles:
  db:
    bake:
      instance_type: [r7i.large]
      spot: false
      tags: {cost: db}
      attributes: db.json
    agent: {node_prefix: db-}
`)
	if err != nil {
		t.Fatal(err)
	}
	db := c.ForRole("db")
	want := Bake{InstanceType: []string{"r7i.large"}, Timeout: 30 * time.Minute, Tags: map[string]string{"team": "a", "cost": "db"},
		Attributes: filepath.Join(filepath.Dir(path), "db.json")}
	if diff := cmp.Diff(want, db.Bake); diff != "" {
		t.Errorf("bake (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Agent{Attempts: 3, NodePrefix: "db-"}, db.Agent); diff != "" {
		t.Errorf("agent (-want +got):\n%s", diff)
	}
	for key, line := range map[string]string{"bake.spot": ":11:", "bake.timeout": ":4:", "bake.tags.team": ":5:", "bake.tags.cost": ":12:", "agent.node_prefix": ":14:"} {
		if !strings.HasPrefix(db.Where[key], path+line) {
			t.Errorf("%s comes from %q, want line %s", key, db.Where[key], line)
		}
	}
	if c.Bake.Tags["cost"] != "b" || !c.Bake.Spot || strings.Contains(c.Where["bake.spot"], ":11:") {
		t.Errorf("the configuration itself was changed: %+v", c.Bake)
	}
	if web := c.ForRole("web"); !cmp.Equal(web.Bake, c.Bake) {
		t.Errorf("a role that is not named differs: %+v", web.Bake)
	}
}

func TestRolesAndLaunchKeysAreReadAsStrictly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"roles:\n  web:\n    bake:\n      instance_typ: t3.small\n": `:4:7: unknown key "instance_typ" in roles.web.bake, did you mean "instance_type"?`,
		"roles:\n  web:\n    bake: {spot: maybe}\n":                 `:3:18: roles.web.bake.spot: expected true or false, got "maybe"`,
		"roles:\n  a b: {}\n":                                       `roles: expected Chef name, got "a b"`,
		"roles:\n  web: {region: eu-west-1}\n":                      `unknown key "region" in roles.web`,
		"bake: {subnet: [vpc-1]}\n":                                 `bake.subnet[0]: expected subnet id or tag:KEY=VALUE, got "vpc-1"`,
		"bake: {subnet: vpc-1}\n":                                   `bake.subnet: expected subnet id or tag:KEY=VALUE, got "vpc-1"`,
		"bake: {bastion: jump}\n":                                   `bake.bastion: expected USER@HOST or USER@HOST:PORT, got "jump"`,
		"bake: {bastion_key: ''}\n":                                 `bake.bastion_key: expected path`,
		"bake: {bastion_known_hosts: {}}\n":                         `bake.bastion_known_hosts: expected path, got a section`,
		"bake: {transport: telnet}\n":                               `bake.transport: expected ssh or ssm, got "telnet"`,
		"bake: {arch: mips}\n":                                      `bake.arch: expected amd64 or arm64, got "mips"`,
		"bake: {root_volume_type: st1}\n":                           `bake.root_volume_type: expected gp2, gp3, io1 or io2`,
		"bake: {root_volume_iops: 5}\n":                             `bake.root_volume_iops: expected number from 100 to 256000`,
		"bake: {root_volume_throughput: 5}\n":                       `bake.root_volume_throughput: expected number from 125 to 2000`,
		"bake: {encrypt: perhaps}\n":                                `bake.encrypt: expected true or false`,
		"bake: {kms_key: my key}\n":                                 `bake.kms_key: expected KMS key id, ARN or alias/NAME`,
		"bake: {metadata_hop_limit: 65}\n":                          `bake.metadata_hop_limit: expected number from 1 to 64`,
		"bake: {metadata_tags: 2}\n":                                `bake.metadata_tags: expected true or false`,
		"bake: {attributes: [a]}\n":                                 `bake.attributes: expected path, got a list`,
		"bake: {instance_type: [a]}\n":                              `bake.instance_type[0]: expected instance type, got "a"`,
	} {
		if _, _, err := load(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\n gives %v\n want %s", text, err, want)
		}
	}
}
