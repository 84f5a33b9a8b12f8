package autoscale

import (
	"os"
	"regexp"
	"testing"
)

func TestFilesInTheDocsAreValid(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/autoscale.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 2 {
		t.Errorf("docs/autoscale.md shows %d files, want one of each format", len(blocks))
	}
	for i, b := range blocks {
		if _, err := Parse("docs/autoscale.md", b[1]); err != nil {
			t.Errorf("block %d: %v", i+1, err)
		}
	}
}

// What the page says of the calls of a plan is what the last measurement found.
func TestTheCallsInTheDocsAreTheMeasuredOnes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/autoscale.md")
	if err != nil {
		t.Fatal(err)
	}
	figures, err := os.ReadFile("../docs/benchmarks-autoscale.md")
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`1,000 groups with two policies and five alarms each take (\d+)`).FindSubmatch(text)
	measured := regexp.MustCompile(`: 1000 groups, 5000 alarms,(?s:.*?)\| plan: nothing to change \| [\d.]+ \| (\d+) \|`).FindSubmatch(figures)
	if said == nil || measured == nil || string(said[1]) != string(measured[1]) {
		t.Errorf("docs/autoscale.md says that a plan of 1,000 groups takes %q calls, docs/benchmarks-autoscale.md has measured %q", said, measured)
	}
}
