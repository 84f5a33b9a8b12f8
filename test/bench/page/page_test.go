package page

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReplaceWritesItsSectionAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "page.md")
	const before = "# Page\n<!-- one -->\nold\n<!-- /one -->\n<!-- two -->\n<!-- /two -->\nend\n"
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, "one", "new\n"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := "# Page\n<!-- one -->\nnew\n<!-- /one -->\n<!-- two -->\n<!-- /two -->\nend\n"; err != nil || string(got) != want {
		t.Errorf("the page is\n%s%v", got, err)
	}
	if err := Replace(path, "three", "x"); err == nil {
		t.Error("a section that is not there is written")
	}
}
