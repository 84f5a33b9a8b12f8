//go:build lab && linux

package release

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A disk that fills up while small files are written ends the reading.
func TestADiskThatFillsUpIsNamed(t *testing.T) {
	t.Parallel()
	artifact, want, _ := crowd(t, 2000, nil)
	_, dir := into(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	err = Unpack(context.Background(), bytes.NewReader(artifact), want, root)
	if err == nil || !strings.Contains(err.Error(), "writing d00") || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("error is %v, want the file and the reason", err)
	}
}
