package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// filesOf lists the files of the repository with these endings, from its root.
func filesOf(t *testing.T, endings ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		name := e.Name()
		if err == nil && e.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || name == "bin") {
			return fs.SkipDir
		}
		if slices.ContainsFunc(endings, func(end string) bool { return strings.HasSuffix(name, end) }) && !e.IsDir() {
			out = append(out, strings.TrimPrefix(path, "../"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// anchors are what the headings of a page are linked by.
func anchors(page string) map[string]bool {
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		out[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return out
}

func TestLinksInTheDocsLeadSomewhere(t *testing.T) {
	t.Parallel()
	found := 0
	for _, path := range filesOf(t, ".md") {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(readDoc(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			found++
			file, anchor, _ := strings.Cut(m[1], "#")
			at := path
			if file != "" {
				at = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(filepath.Join("..", at)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			} else if anchor != "" && !anchors(readDoc(t, at))[anchor] {
				t.Errorf("%s links to %s: %s has no such heading", path, m[1], at)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d links are found", found)
	}
}

// What a help text, an error or a comment names has to be there, too.
func TestPagesThatTheCodeNamesAreThere(t *testing.T) {
	t.Parallel()
	found := 0
	for _, path := range filesOf(t, ".go", ".md", "Makefile", "Jenkinsfile", ".sh", ".service") {
		for _, named := range regexp.MustCompile(`\bdocs/[a-z0-9-]+(?:/[a-z0-9-]+)*\.(?:md|json)\b`).FindAllString(readDoc(t, path), -1) {
			found++
			if _, err := os.Stat(filepath.Join("..", named)); err != nil {
				t.Errorf("%s names %s, which is not there", path, named)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d names are found", found)
	}
}
