package config

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
	"time"

	"bakehouse/test/jsonschema"
)

func TestThePublishedSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/bakehouse.schema.json")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/bakehouse.schema.json is not what the code says (%v); write it anew: bake-ami config --schema >docs/bakehouse.schema.json", err)
	}
}

func TestTheSchemaAdmitsTheSamples(t *testing.T) {
	t.Parallel()
	s := jsonschema.Compile(t, Schema)
	samples := map[string]string{"the test's sample": whole}
	for _, path := range []string{"../../docs/configuration.md", "../../README.md", "../../test/lab/bakehouse.yaml"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(path) == ".yaml" {
			samples[path] = string(b)
		}
		for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
			samples[path+m[1][:min(20, len(m[1]))]] = m[1]
		}
	}
	for name, text := range samples {
		if err := s.Admits(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheSchemaRefusesWhatTheReaderRefuses(t *testing.T) {
	t.Parallel()
	s := jsonschema.Compile(t, Schema)
	for _, text := range []string{
		"bakee: {}", "bake: {instance_typ: t3.small}", "bake: {address: pubic}", "bake: {root_volume_gb: 99999}", "bake: {spot: maybe}",
		"bake: {subnet: vpc-1}", "bake: {subnet: [vpc-1]}", "bake: [a]", "apps: {Web Shop: {}}", "apps: {web: {roles: web}}",
		"roles: {web: {bake: {timeout: soon}}}", "roles: {web: {region: eu-west-1}}", "bake: {tags: {a: [b]}}",
	} {
		if s.Admits(text) == nil {
			t.Errorf("the schema admits %s", text)
		}
		if _, _, err := load(t, text); err == nil {
			t.Errorf("the reader admits %s", text)
		}
	}
	for _, text := range []string{"bake:", "bake: {subnet: subnet-12345678}", "bake: {tags: {a: 4711, b:}}", "roles: {web: {bake: {spot: true}}}"} {
		if err := s.Admits(text); err != nil {
			t.Errorf("the schema refuses %s: %v", text, err)
		}
	}
}

func TestValuesSayWhereTheyComeFrom(t *testing.T) {
	t.Parallel()
	c, path, err := load(t, "bake:\n  tags: {team: a}\n  timeout: 90m\nagent:\n  environment: {HTTPS_PROXY: 'http://u:secret@p'}\napps: {web: {bucket: bbb}}\n")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Value{}
	for _, v := range c.Values() {
		got[v.Path] = v
	}
	for _, want := range []Value{
		{"bake.tags.team", "a", path + ":2:10"}, {"bake.timeout", "1h30m", path + ":3:12"}, {"bake.expire_after", "2h", ""}, {"bake.subnet", "", ""},
		{"agent.environment.HTTPS_PROXY", "http://u:xxxxx@p", path + ":5:17"}, {"apps.web.bucket", "bbb", path + ":6:22"}, {"apps.web.keep", "3", ""},
	} {
		if got[want.Path] != want {
			t.Errorf("%+v, want %+v", got[want.Path], want)
		}
	}
	for d, want := range map[time.Duration]string{time.Hour: "1h", 90 * time.Second: "1m30s", 20 * time.Minute: "20m", 10 * time.Second: "10s"} {
		if text := show(reflect.ValueOf(d)); text != want {
			t.Errorf("%v shows as %s, want %s", d, text, want)
		}
	}
}
