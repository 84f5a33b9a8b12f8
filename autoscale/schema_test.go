package autoscale

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"bakehouse/test/jsonschema"
)

func TestThePublishedSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../docs/autoscale.schema.json")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/autoscale.schema.json is not what the code says (%v); write it anew: autoscalectl schema >docs/autoscale.schema.json", err)
	}
}

// samples are all files of this kind in the documentation and the tests.
func sampleFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"the sample of 2013": old, "the smallest": base, "first values": fieldFile(t, 0), "second values": fieldFile(t, 1)}
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../README.md") {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
			if regexp.MustCompile(`(?m)^groups:`).MatchString(m[1]) {
				out[page+": "+m[1][:min(30, len(m[1]))]] = m[1]
			}
		}
	}
	files, err := filepath.Glob("../*/*/*autoscale*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[path] = string(b)
	}
	return out
}

func TestTheSchemaAdmitsEverySample(t *testing.T) {
	t.Parallel()
	s := jsonschema.Compile(t, Schema)
	all := sampleFiles(t)
	if len(all) < 6 {
		t.Errorf("only %d samples are found", len(all))
	}
	for name, text := range all {
		if _, err := Parse(name, []byte(text)); err != nil {
			t.Errorf("the reader refuses %v", err)
		}
		if err := s.Admits(text); err != nil {
			t.Errorf("the schema refuses %s: %v", name, err)
		}
	}
}

func TestTheSchemaRefusesWhatTheReaderRefuses(t *testing.T) {
	t.Parallel()
	s := jsonschema.Compile(t, Schema)
	group := func(text string) string { return "version: 2\nregion: us-east-1\ngroups: {web: {" + text + "}}\n" }
	for _, text := range []string{
		group("capacity: {mim: 1}"), group("capacity: {min: one}"), group("capacity: {min: 1.5}"), group("capacity: {desired: 3}"), group("capacity: [1]"),
		group("launch: {metadata: {tokens: maybe}}"), group("launch: {block_devices: {/dev/sda1: {size: big}}}"), group("mixed: {types: ['t3.small=0']}"),
		group("mixed: nothing"), group("warm_pool: {state: Asleep}"), group("policies: {p: {track: {predefined: ASGAverageCPU}}}"), group("metrics: GroupMinSize"),
		group("tags: {a: {valu: b}}"), group("hooks: {h: {on: lunching}}"), "version: 3\nregion: us-east-1\ngroups: {web: {}}\n", "region: us-east-1\ngroups: {web: {minsize: 1}}\n",
		"version: 2\nregion: us-east-1\nuser_data: x\ngroups: {web: {}}\n", "version: 2\ngroups: {web: {}}\n", "version: 2\nregion: us-east-1\ngroups: {'a|b': {}}\n",
	} {
		if s.Admits(text) == nil {
			t.Errorf("the schema admits %s", text)
		}
		if _, err := Parse("autoscale.yaml", []byte(text)); err == nil {
			t.Errorf("the reader admits %s", text)
		}
	}
}

// TestEveryKeyIsDocumented: editors and docs/autoscale.md show the tag doc.
func TestEveryKeyIsDocumented(t *testing.T) {
	t.Parallel()
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(at reflect.Type) {
		if at = bare(at); at.Kind() != reflect.Struct || seen[at] || at == reflect.TypeFor[Desired]() {
			return
		}
		seen[at] = true
		for i, key := range keysOf(at) {
			f := at.Field(i)
			if doc := f.Tag.Get("doc"); key == "" || doc == "" || strings.HasSuffix(doc, ".") {
				t.Errorf("%s.%s: key %q is documented as %q, want some words and no full stop", at.Name(), f.Name, key, doc)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[fileV2]())
	walk(reflect.TypeFor[file2013]())
}
