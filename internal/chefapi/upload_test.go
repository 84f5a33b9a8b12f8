package chefapi

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/internal/chefrepo"
	"bakehouse/internal/fault"
)

func TestUploadStopsAtAFrozenCookbook(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	c := client(t, f.user(t, "admin"))
	f.objects["cookbooks"]["a/1.0.0"] = map[string]any{"frozen?": true}
	_, err := c.Upload(t.Context(), oneCookbook(t))
	if !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "uploading cookbook a 1.0.0") || !strings.Contains(fault.NextOf(err), "raise the version") {
		t.Errorf("error %v, next %q", err, fault.NextOf(err))
	}
}

func TestUploadRefusesAFileThatChanged(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	c := client(t, f.user(t, "admin"))
	repo := oneCookbook(t)
	if err := os.WriteFile(filepath.Join(repo.Cookbooks[0].Dir, "metadata.rb"), []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := c.Upload(t.Context(), repo)
	if err == nil || !strings.Contains(err.Error(), "uploading metadata.rb of cookbook a: the file changed") || f.count("PUT") != 0 {
		t.Errorf("error %v, %d PUTs", err, f.count("PUT"))
	}
}

func TestUploadRepeatsAFileThatFailed(t *testing.T) {
	t.Parallel()
	f := newFake(t, "")
	c := client(t, f.user(t, "admin"))
	f.spoil(fakeFault{call: "PUT /bookshelf/", status: 500, times: 2})
	if u, err := c.Upload(t.Context(), oneCookbook(t)); err != nil || u.Files != 1 {
		t.Errorf("upload = %+v, %v", u, err)
	}
}

func oneCookbook(t *testing.T) *chefrepo.Repo {
	t.Helper()
	dir := t.TempDir()
	cb := filepath.Join(dir, "cookbooks", "a")
	if err := errors.Join(os.MkdirAll(cb, 0o755), os.WriteFile(filepath.Join(cb, "metadata.rb"), []byte("name 'a'\nversion '1.0.0'\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	repo, err := chefrepo.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}
