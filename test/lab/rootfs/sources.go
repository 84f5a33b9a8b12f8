package rootfs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bakehouse/internal/fault"
)

// source is one (URI, suite) that the machine's apt reads packages from.
type source struct {
	URI, Suite string
	Components []string
	SignedBy   string // path of a keyring, or empty
}

// line is the source in the one-line format of sources.list(5).
func (s source) line() string {
	options := ""
	if s.SignedBy != "" {
		options = "[signed-by=" + s.SignedBy + "] "
	}
	return fmt.Sprintf("deb %s%s %s %s", options, s.URI, s.Suite, strings.Join(s.Components, " "))
}

// readSources reads the machine's apt sources: sources.list and both formats of
// sources.list.d, as sources.list(5) describes them.
func readSources(aptDir string) ([]source, error) {
	files := []string{filepath.Join(aptDir, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, err := filepath.Glob(filepath.Join(aptDir, "sources.list.d", pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	var all []source
	for _, file := range files {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the machine's apt sources: %w", err)
		}
		if strings.HasSuffix(file, ".sources") {
			all = append(all, parseDeb822(data)...)
		} else {
			all = append(all, parseOneLine(data)...)
		}
	}
	return all, nil
}

// parseOneLine reads "deb [options] URI suite component…" lines.
func parseOneLine(data []byte) []source {
	var all []source
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb ")
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		var options string
		if strings.HasPrefix(rest, "[") {
			options, rest, _ = strings.Cut(rest[1:], "]")
		}
		fields := strings.Fields(rest)
		if len(fields) < 3 {
			continue
		}
		s := source{URI: fields[0], Suite: fields[1], Components: fields[2:]}
		for _, option := range strings.Fields(options) {
			if path, ok := strings.CutPrefix(option, "signed-by="); ok {
				s.SignedBy = path
			}
		}
		all = append(all, s)
	}
	return all
}

// parseDeb822 reads the stanza format; a stanza may name several URIs and suites.
func parseDeb822(data []byte) []source {
	var all []source
	for _, stanza := range splitStanzas(data) {
		if strings.EqualFold(stanza["enabled"], "no") || !slices.Contains(strings.Fields(stanza["types"]), "deb") {
			continue
		}
		signed := stanza["signed-by"]
		if !strings.HasPrefix(signed, "/") { // an embedded key is not a path
			signed = ""
		}
		for _, uri := range strings.Fields(stanza["uris"]) {
			for _, suite := range strings.Fields(stanza["suites"]) {
				all = append(all, source{URI: uri, Suite: suite,
					Components: strings.Fields(stanza["components"]), SignedBy: signed})
			}
		}
	}
	return all
}

// splitStanzas reads RFC 822 style paragraphs into maps with lower-case keys.
func splitStanzas(data []byte) []map[string]string {
	var all []map[string]string
	current, last := map[string]string{}, ""
	flush := func() {
		if len(current) > 0 {
			all = append(all, current)
		}
		current, last = map[string]string{}, ""
	}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			current[last] += " " + strings.TrimSpace(line)
		default:
			name, value, _ := strings.Cut(line, ":")
			last = strings.ToLower(name)
			current[last] = strings.TrimSpace(value)
		}
	}
	flush()
	return all
}

// chooseSuite returns the suite to build: the one asked for, else bookworm where
// the mirror has it, else the machine's own.
func chooseSuite(all []source, asked, host string) (string, error) {
	wanted := slices.Compact([]string{"bookworm", host})
	if asked != "" {
		wanted = []string{asked}
	}
	for _, suite := range wanted {
		if suite != "" && len(forSuite(all, suite)) > 0 {
			return suite, nil
		}
	}
	return "", fault.Newf(fault.Usage,
		"add a mirror of "+wanted[0]+" to the machine's apt sources (a .sources file under /etc/apt/sources.list.d)",
		"choosing a mirror: the machine's apt sources offer none of %s", strings.Join(wanted, ", "))
}

// forSuite keeps the suite with its updates and security, and of their
// components only the distribution's free ones.
func forSuite(all []source, suite string) []source {
	var kept []source
	for _, s := range all {
		if s.Suite != suite && s.Suite != suite+"-updates" && s.Suite != suite+"-security" {
			continue
		}
		if !strings.HasPrefix(s.URI, "http://") && !strings.HasPrefix(s.URI, "https://") {
			continue
		}
		components := slices.DeleteFunc(slices.Clone(s.Components), func(c string) bool {
			return c != "main" && c != "universe"
		})
		if len(components) == 0 {
			continue
		}
		s.Components = components
		kept = append(kept, s)
	}
	if !slices.ContainsFunc(kept, func(s source) bool { return s.Suite == suite }) {
		return nil
	}
	return kept
}

// hostCodename returns VERSION_CODENAME of an os-release(5) file, or "".
func hostCodename(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}
