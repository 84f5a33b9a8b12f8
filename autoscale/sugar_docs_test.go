package autoscale

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// samples are the files in a page.
func samples(t *testing.T, path string) []string {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1) {
		out = append(out, string(m[1]))
	}
	return out
}

func TestFilesInTheScalingPageExpandWithoutAWarning(t *testing.T) {
	t.Parallel()
	all := samples(t, "../docs/scaling.md")
	for i, text := range all {
		expanded(t, text)
		if s := mustParse(t, text); len(s.Warnings) > 0 {
			t.Errorf("block %d: %s", i+1, warnings(s.Warnings))
		}
	}
	// Together they show every short form and each key of a mode.
	page := strings.Join(all, "\n")
	for _, key := range []string{"queue:", "requests_per_target:", "latency: {", "hours:", "outside:", "mode: backstop", "headroom:", "on_demand_base:", "backstop: {"} {
		if !strings.Contains(page, key) {
			t.Errorf("docs/scaling.md shows no %s", key)
		}
	}
}

func TestTheScalingPageNamesTheDefaultsOfABackstop(t *testing.T) {
	t.Parallel()
	b := Backstop{}.settled()
	want := strings.Trim(one("", reflect.ValueOf(b)), "{}")
	page := strings.Join(samples(t, "../docs/scaling.md"), "\n")
	line := regexp.MustCompile(`backstop: \{(.*)\}   # the defaults`).FindStringSubmatch(page)
	if line == nil {
		t.Fatal("docs/scaling.md names no defaults")
	}
	for _, pair := range strings.Split(line[1], ", ") {
		if !strings.Contains(want, strings.Replace(pair, ": ", ":", 1)) {
			t.Errorf("docs/scaling.md says %s, the defaults are %s", pair, want)
		}
	}
}
