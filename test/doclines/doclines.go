// Package doclines finds the command lines that the documentation shows, so
// that each tool's tests can hold them to the flags and commands there are.
package doclines

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Line is one command line.
type Line struct {
	Where string   // FILE:LINE
	Args  []string // Args[0] is the tool; placeholders are filled in
}

// pages are what is read, below the module's root.
func pages() []string {
	return []string{"README.md", "CHANGELOG.md", "docs/*.md", "docs/iam/*.md", "roles/*.md", "cmd/*/*.service", "cloud-init/files/*.service"}
}

// Of returns the lines of a tool in the pages below root: those of indented and
// fenced blocks and of units, and the spans of code within the prose. The tool's
// name alone is no line.
func Of(root, tool string) ([]Line, error) {
	var out []Line
	for _, pattern := range pages() {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, fmt.Errorf("looking for %s: %w", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading the documentation: %w", err)
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				return nil, fmt.Errorf("naming %s: %w", file, err)
			}
			for _, l := range in(string(text), tool, filepath.Ext(file) == ".md") {
				l.Where = name + ":" + l.Where
				out = append(out, l)
			}
		}
	}
	return out, nil
}

// in finds the lines of one page. Spans of code may go on over a line's end.
func in(text, tool string, prose bool) []Line {
	var out []Line
	begins := regexp.MustCompile(`^(?:\$ |ExecStart=)?(?:[A-Z_]+=\S* )*(?:sudo |exec )?(?:\./|\S*bin/)?` + regexp.QuoteMeta(tool) + ` (.+)$`)
	found := func(at int, code string) {
		if m := begins.FindStringSubmatch(code); m != nil {
			if args := words(m[1]); len(args) > 0 {
				out = append(out, Line{fmt.Sprint(at), append([]string{tool}, args...)})
			}
		}
	}
	fenced := false
	var paragraph []string
	for at, line := range append(strings.Split(joined(text), "\n"), "") {
		code := !prose || fenced || strings.HasPrefix(line, "    ")
		if strings.HasPrefix(strings.TrimSpace(line), "```") { // within a list it is indented
			fenced = !fenced
		} else if code {
			found(at+1, strings.TrimSpace(line))
		}
		if !code && line != "" {
			paragraph = append(paragraph, strings.TrimSpace(line))
			continue
		}
		for _, span := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(strings.Join(paragraph, " "), -1) {
			found(at+1-len(paragraph), span[1])
		}
		paragraph = nil
	}
	return out
}

// joined puts a line that ends with a backslash and the next one together; the
// lines after keep their numbers.
func joined(text string) string {
	lines := strings.Split(text, "\n")
	for i := len(lines) - 2; i >= 0; i-- {
		if whole, goesOn := strings.CutSuffix(lines[i], `\`); goesOn {
			lines[i], lines[i+1] = whole+strings.TrimSpace(lines[i+1]), ""
		}
	}
	return strings.Join(lines, "\n")
}

// ends is where a command ends: at what the shell makes of the rest, or at the
// words that say what it does.
var ends = regexp.MustCompile(`  | #| [|;<>]| &&|[|;<>)]( |$)|, `)

// words splits a command. A placeholder in capitals becomes 0, which a flag of
// any type takes, and FILE a name; brackets and dots are left out.
func words(command string) []string {
	if at := ends.FindStringIndex(command); at != nil {
		command = command[:at[0]]
	}
	var out []string
	for _, w := range strings.Fields(command) {
		w = strings.Trim(w, `[]"'…`)
		w = strings.TrimSuffix(w, "...")
		switch name, value, given := strings.Cut(w, "="); {
		case w == "":
			continue
		case given && placeholder(value):
			w = name + "=0"
		case w == "FILE":
			w = "file.yaml"
		case placeholder(w):
			w = "0"
		}
		out = append(out, w)
	}
	return out
}

func placeholder(w string) bool { return regexp.MustCompile(`^\$?[A-Z][A-Z_-]*$`).MatchString(w) }

// Wrong says what is wrong with a line; "" when it parses. run answers the help
// of the command that the line, with --help after it, comes to.
func Wrong(l Line, run func(args []string) (code int, out string)) string {
	code, out := run(append(slices.Clone(l.Args), "--help"))
	if code != 0 {
		return fmt.Sprintf("%s: %s: code %d: %s", l.Where, strings.Join(l.Args, " "), code, out)
	}
	command := l.Args[1]
	if command == "help" && len(l.Args) > 2 {
		command = l.Args[2]
	}
	if regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(command) && !strings.Contains(out, l.Args[0]+" "+command+" ") {
		return fmt.Sprintf("%s: %s: there is no command %s", l.Where, strings.Join(l.Args, " "), command)
	}
	return ""
}
