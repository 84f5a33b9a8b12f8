package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestJenkinsUsesWhatThereIs reads the Jenkinsfile, the freestyle recipe and the
// tool's own page: their braces pair up, and every flag that they give exists.
func TestJenkinsUsesWhatThereIs(t *testing.T) {
	t.Parallel()
	known := []string{"--help"}
	for _, f := range append(flags(), sweepFlags()...) {
		for _, n := range f.Names() {
			known = append(known, "--"+n)
		}
	}
	for _, path := range []string{"../../Jenkinsfile", "../../docs/jenkins.md", "../../docs/bake-ami.md"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if open, end := strings.Count(text, "{"), strings.Count(text, "}"); open != end {
			t.Errorf("%s: %d braces open, %d close", path, open, end)
		}
		found := regexp.MustCompile(`--[a-z][a-z-]+`).FindAllString(text, -1)
		if len(found) < 4 {
			t.Errorf("%s gives only the flags %v", path, found)
		}
		for _, f := range found {
			if !slices.Contains(known, f) {
				t.Errorf("%s gives %s, which bake-ami does not know", path, f)
			}
		}
	}
}

// TestTheJenkinsfileHasTheSectionsOfAPipeline reads what stands directly in
// pipeline { }: a misspelt section is valid Groovy, which a lint passes.
func TestTheJenkinsfileHasTheSectionsOfAPipeline(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../Jenkinsfile")
	if err != nil {
		t.Fatal(err)
	}
	// jenkins.io/doc/book/pipeline/syntax, "Declarative Pipeline".
	sections := []string{"agent", "environment", "input", "libraries", "options", "parameters", "post", "stages", "tools", "triggers", "when"}
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^ {4}([a-z]+)\b`).FindAllStringSubmatch(string(b), -1) {
		if found = append(found, m[1]); !slices.Contains(sections, m[1]) {
			t.Errorf("a pipeline has no section %s", m[1])
		}
	}
	for _, needed := range []string{"agent", "stages", "post"} {
		if !slices.Contains(found, needed) {
			t.Errorf("section %s is missing: %v", needed, found)
		}
	}
}
