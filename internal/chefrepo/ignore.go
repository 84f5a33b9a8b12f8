package chefrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// patterns are the compiled lines of chefignore files.
type patterns []*regexp.Regexp

// match follows Chef: a pattern is tried on the whole path and on the file's
// name, and * crosses slashes (Ruby's fnmatch without FNM_PATHNAME).
func (p patterns) match(path string) bool {
	base := path[strings.LastIndexByte(path, '/')+1:]
	for _, re := range p {
		if re.MatchString(path) || re.MatchString(base) {
			return true
		}
	}
	return false
}

// readIgnore reads a chefignore file; one that is absent ignores nothing.
func readIgnore(path string) (patterns, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var p patterns
	for i, line := range strings.Split(string(b), "\n") {
		if hash := strings.IndexByte(line, '#'); hash >= 0 {
			line = line[:hash]
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		re, err := glob(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: pattern %q: %w", path, i+1, line, err)
		}
		p = append(p, re)
	}
	return p, nil
}

// glob turns a shell pattern into a regular expression.
func glob(pattern string) (*regexp.Regexp, error) {
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("^")
	inClass := false
	for _, r := range pattern {
		switch {
		case inClass:
			inClass = r != ']'
			b.WriteRune(r)
		case r == '[':
			inClass = true
			b.WriteRune(r)
		case r == '*':
			b.WriteString(".*")
		case r == '?':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	b.WriteString("$")
	return regexp.Compile(b.String())
}
