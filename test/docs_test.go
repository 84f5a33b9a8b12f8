package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

// readDoc reads a file by its path from the module's root.
func readDoc(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestExitCodePageIsTheTableInCode(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	want.WriteString("| 0 | done |\n")
	for _, r := range fault.Table() {
		fmt.Fprintf(&want, "| %d | %s |\n", r.Code, r.Meaning)
	}
	if page := readDoc(t, "docs/exit-codes.md"); !strings.Contains(page, want.String()) {
		t.Errorf("docs/exit-codes.md differs from internal/fault; its table should be:\n%s", want.String())
	}
}

func TestConfigurationPageNamesEveryKey(t *testing.T) {
	t.Parallel()
	page := readDoc(t, "docs/configuration.md")
	for _, k := range config.Describe() {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |", k.Path, k.Type, orDash(k.Default), k.Doc)
		if !strings.Contains(page, row+"\n") {
			t.Errorf("docs/configuration.md lacks the row:\n%s", row)
		}
	}
}

// orDash shows an empty default.
func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return "`" + s + "`"
}

// TestYAMLInTheDocsIsValid leaves files with groups to autoscale's own tests.
func TestYAMLInTheDocsIsValid(t *testing.T) {
	t.Parallel()
	fence, groups := regexp.MustCompile("(?s)```yaml\n(.*?)```"), regexp.MustCompile("(?m)^groups:")
	found := 0
	for _, path := range filesOf(t, ".md") {
		for i, m := range fence.FindAllStringSubmatch(readDoc(t, path), -1) {
			if groups.MatchString(m[1]) {
				continue
			}
			found++
			file := filepath.Join(t.TempDir(), "bakehouse.yaml")
			if err := os.WriteFile(file, []byte(m[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Load(file, true); err != nil {
				t.Errorf("%s, YAML block %d: %v", path, i+1, err)
			}
		}
	}
	if found < 3 {
		t.Errorf("the docs show only %d YAML files of this kind", found)
	}
	if _, err := config.Load("lab/bakehouse.yaml", true); err != nil {
		t.Errorf("test/lab/bakehouse.yaml: %v", err)
	}
}

func TestReadmeNamesOnlyTargetsAndToolsThatExist(t *testing.T) {
	t.Parallel()
	makefile, readme := readDoc(t, "Makefile"), readDoc(t, "README.md")
	targets := regexp.MustCompile("(?m)(?:^|`|=1 )make ([a-z][a-z-]*)").FindAllStringSubmatch(readme, -1)
	if len(targets) == 0 {
		t.Error("README.md names no make target")
	}
	for _, m := range targets {
		if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
			t.Errorf("README.md says `make %s`, which the Makefile lacks", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:\$ )?bin/([a-z-]+) `).FindAllStringSubmatch(readme, -1) {
		if !tool(m[1]) {
			t.Errorf("README.md runs bin/%s, which nothing builds", m[1])
		}
	}
}

// tool reports whether `make build` makes a binary of that name.
func tool(name string) bool {
	for _, dir := range []string{"cmd/" + name, "test/" + name, "test/lab/" + name} {
		if _, err := os.Stat(filepath.Join("..", dir)); err == nil {
			return true
		}
	}
	return false
}
