package simulate

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The page shows the sample's figures, and terms of written demand.
func TestThePageOfTheDocsIsTrue(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile("testdata/summary.txt")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string][]string{}
	for line := range strings.Lines(string(page)) {
		if f := strings.Fields(line); len(f) == 7 && strings.HasPrefix(line, "    ") {
			shown[f[0]] = f
		}
	}
	for _, m := range Modes() {
		for line := range strings.Lines(string(golden)) {
			f := strings.Fields(line)
			if len(f) != 9 || f[0] != string(m) {
				continue
			}
			if want := []string{f[0], f[1], f[2], f[4], f[5], f[7], f[8]}; !slices.Equal(shown[f[0]], want) {
				t.Errorf("docs/simulate.md shows %v for mode %s, the sample gives %v", shown[f[0]], m, want)
			}
		}
	}
	terms := regexp.MustCompile("(?m)^\\| `([a-z]+:[^`]+)` \\|").FindAllStringSubmatch(string(page), -1)
	if len(terms) != len(generators()) {
		t.Errorf("docs/simulate.md shows %d terms of written demand; there are %d", len(terms), len(generators()))
	}
	for _, m := range terms {
		if _, err := ParseDemand("constant:1+"+m[1], 1); err != nil {
			t.Error(err)
		}
	}
	for _, m := range []string{"mtbf", "recovery", "together", "every", "notice", "rebalance", "price"} {
		if !strings.Contains(string(page), "`"+m+"`") {
			t.Errorf("docs/simulate.md does not show key %s of a model", m)
		}
	}
	if d := DefaultAnswer(); !strings.Contains(string(page), fmt.Sprintf("`--service-time` (%d ms)", d.Service.Milliseconds())) || !strings.Contains(string(page), fmt.Sprintf("`--workers` (%d)", d.Workers)) {
		t.Errorf("docs/simulate.md does not name the defaults %+v of the model of latency", d)
	}
}
