package release

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"bakehouse/internal/fault"
)

// IgnoreFile names the file at the top of a tree that says what Pack leaves
// out. Its rules, one a line, are a small part of what .gitignore has:
//
//   - an empty line, or one that starts with #, says nothing;
//   - a pattern without a slash matches a name at any depth, one with a slash
//     (a leading one counts, a trailing one does not) the path from the top;
//   - a trailing slash matches directories only;
//   - * ? and [a-z] match within one name, ** as a whole element any number
//     of elements: also none, but for a last one, which is what lies below;
//   - a leading ! takes back what an earlier line left out; the last line that
//     matches decides. What lies in a directory that is left out stays out.
//
// .git at any depth and the file itself are always left out.
const IgnoreFile = ".deployignore"

// rule is one line of the file.
type rule struct {
	elements []string // of the pattern; a floating pattern starts with **
	back     bool     // a ! line
	dirOnly  bool
}

type ignore []rule

// loadIgnore reads the rules of the tree; without a file there are none.
func loadIgnore(root *os.Root) (ignore, error) {
	b, err := root.ReadFile(IgnoreFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", IgnoreFile, err)
	}
	return parseIgnore(b)
}

func parseIgnore(b []byte) (ignore, error) {
	var rules ignore
	for i, line := range bytes.Split(b, []byte("\n")) {
		text := strings.TrimSpace(string(line))
		if text == "" || text[0] == '#' {
			continue
		}
		r, err := parseRule(text)
		if err != nil {
			return nil, fault.Newf(fault.Usage, "correct or remove that line", "reading %s:%d: %q: %w", IgnoreFile, i+1, text, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseRule(text string) (rule, error) {
	var r rule
	text, r.back = strings.CutPrefix(text, "!")
	text, r.dirOnly = strings.CutSuffix(text, "/")
	floating := !strings.Contains(text, "/")
	text = strings.TrimPrefix(text, "/")
	if floating {
		r.elements = append(r.elements, "**")
	}
	for e := range strings.SplitSeq(text, "/") {
		if e == "" || e == "." || e == ".." {
			return rule{}, fmt.Errorf("element %q has no meaning here", e)
		}
		if _, err := path.Match(e, ""); err != nil {
			return rule{}, errors.New("the pattern is malformed")
		}
		r.elements = append(r.elements, e)
	}
	return r, nil
}

// skips reports whether name (slash-separated, from the top) is left out.
func (ig ignore) skips(name string, dir bool) bool {
	if name == IgnoreFile || path.Base(name) == ".git" {
		return true
	}
	elements, out := strings.Split(name, "/"), false
	for _, r := range ig {
		if (dir || !r.dirOnly) && match(r.elements, elements) {
			out = !r.back
		}
	}
	return out
}

func match(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			if len(pattern) == 1 {
				return len(name) > 0
			}
			for i := range len(name) + 1 {
				if match(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); !ok || err != nil {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}
