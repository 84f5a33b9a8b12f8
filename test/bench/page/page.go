// Package page is what the benchmarks have in common: the load that the machine
// was under, and a section of docs/benchmarks.md that is written anew.
package page

import (
	"fmt"
	"os"
	"strings"
)

// Replace puts text between the markers <!-- NAME --> and <!-- /NAME --> of the
// page at path. A page without them is an error and stays as it is.
func Replace(path, name, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the page: %w", err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("writing %s: it has no section %s", path, strings.TrimSpace(begin))
	}
	return os.WriteFile(path, []byte(before+begin+text+end+after), 0o644)
}

// Load is the machine's load over 1, 5 and 15 minutes, which other work shares.
func Load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], ", ")
}
