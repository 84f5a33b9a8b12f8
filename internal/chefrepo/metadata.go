package chefrepo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"bakehouse/internal/fault"
)

// anyVersion is how Chef writes "no constraint".
const anyVersion = ">= 0.0.0"

func readMetadata(dir string) (Cookbook, error) {
	path := filepath.Join(dir, "metadata.json")
	b, err := os.ReadFile(path)
	parse := parseMetadataJSON
	if errors.Is(err, fs.ErrNotExist) {
		path, parse = filepath.Join(dir, "metadata.rb"), parseMetadataRuby
		b, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Cookbook{}, fault.Newf(fault.Usage, "add a metadata.rb with name and version", "cookbook %s has no metadata.rb and no metadata.json", dir)
	}
	if err != nil {
		return Cookbook{}, err
	}
	c, err := parse(path, b)
	if err != nil {
		return Cookbook{}, err
	}
	return c, checkMetadata(path, &c)
}

func checkMetadata(path string, c *Cookbook) error {
	if c.Name == "" {
		return fmt.Errorf("%s: no name", path)
	}
	if !isName(c.Name) {
		return fmt.Errorf("%s: %q is not a cookbook name", path, c.Name)
	}
	if c.Version == "" {
		c.Version = "0.0.0" // Chef's own default
	}
	if _, err := parseVersion(c.Version); err != nil {
		return fmt.Errorf("%s: version: %w", path, err)
	}
	for name, constraint := range c.Depends {
		if constraint == "" {
			c.Depends[name] = anyVersion
		}
		if _, err := parseConstraint(c.Depends[name]); err != nil {
			return fmt.Errorf("%s: depends %s: %w", path, name, err)
		}
	}
	return nil
}

func parseMetadataJSON(path string, b []byte) (Cookbook, error) {
	var m struct {
		Name         string            `json:"name"`
		Version      string            `json:"version"`
		Description  string            `json:"description"`
		Maintainer   string            `json:"maintainer"`
		License      string            `json:"license"`
		Dependencies map[string]string `json:"dependencies"`
		Platforms    map[string]string `json:"platforms"`
		ChefVersions [][]string        `json:"chef_versions"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Cookbook{}, positioned(path, b, err)
	}
	c := Cookbook{Name: m.Name, Version: m.Version, Description: m.Description, Maintainer: m.Maintainer,
		License: m.License, Depends: m.Dependencies, Platforms: m.Platforms, ChefVersions: m.ChefVersions}
	return c, nil
}

// parseMetadataRuby reads the declarations that are literal strings, line by
// line. What decides an upload (name, version, depends) must be literal; the
// rest may be Ruby and is then left out.
func parseMetadataRuby(path string, b []byte) (Cookbook, error) {
	c := Cookbook{Depends: map[string]string{}, Platforms: map[string]string{}}
	for _, l := range rubyLines(string(b)) {
		args, ok := literals(l.args)
		if !ok || len(args) == 0 {
			if l.word == "name" || l.word == "version" || l.word == "depends" {
				return Cookbook{}, fault.Newf(fault.Usage, "write it as a quoted string; Ruby is not evaluated here",
					"%s:%d: %s is not a literal string", path, l.number, l.word)
			}
			continue
		}
		second := append(args, "")[1]
		switch l.word {
		case "name":
			c.Name = args[0]
		case "version":
			c.Version = args[0]
		case "description":
			c.Description = args[0]
		case "maintainer":
			c.Maintainer = args[0]
		case "license":
			c.License = args[0]
		case "chef_version":
			c.ChefVersions = append(c.ChefVersions, args)
		case "depends":
			c.Depends[args[0]] = second
		case "supports":
			c.Platforms[args[0]] = orAny(second)
		}
	}
	return c, nil
}

func orAny(constraint string) string {
	if constraint == "" {
		return anyVersion
	}
	return constraint
}

type rubyLine struct {
	number     int
	word, args string
}

// rubyLines splits a file into "word arguments" lines, without comments and
// heredocs, with lines that end in a comma joined to the next.
func rubyLines(text string) []rubyLine {
	declaration := regexp.MustCompile(`^\s*([a-z_]+)[\s(]\s*(.*?)\s*$`)
	heredoc := regexp.MustCompile(`<<[-~]?['"]?([A-Z_]+)['"]?`)
	var out []rubyLine
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		number, line := i+1, uncomment(lines[i])
		for strings.HasSuffix(strings.TrimSpace(line), ",") && i+1 < len(lines) {
			i++
			line += " " + strings.TrimSpace(uncomment(lines[i]))
		}
		if m := heredoc.FindStringSubmatch(line); m != nil {
			for i++; i < len(lines) && strings.TrimSpace(lines[i]) != m[1]; i++ {
			}
		}
		if m := declaration.FindStringSubmatch(line); m != nil {
			out = append(out, rubyLine{number, m[1], strings.TrimSuffix(m[2], ")")})
		}
	}
	return out
}

// uncomment cuts a line at a # that stands outside quotes.
func uncomment(line string) string {
	var quote rune
	for i, r := range line {
		switch {
		case quote == 0 && r == '#':
			return line[:i]
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		case r == quote:
			quote = 0
		}
	}
	return line
}

// literals splits "'a', \"b\"" into its strings; false when anything else is there.
func literals(args string) ([]string, bool) {
	one := regexp.MustCompile(`^\s*(?:'([^'\\]*)'|"([^"\\#]*)")\s*(,|$)`)
	var out []string
	for args = strings.TrimSpace(args); args != ""; {
		m := one.FindStringSubmatch(args)
		if m == nil {
			return nil, false
		}
		out = append(out, m[1]+m[2])
		args = args[len(m[0]):]
	}
	return out, true
}
