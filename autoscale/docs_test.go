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
