package rootfs

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makeDeb builds a tiny package.
func makeDeb(t *testing.T, dir, file, control string) {
	t.Helper()
	tree := t.TempDir()
	if err := os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tree, "DEBIAN", "control"), []byte(control), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("dpkg-deb", "--build", tree, filepath.Join(dir, file)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func TestRepoIsWhatAptReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		makeDeb(t, dir, name+"_1%3a2.0_all.deb", fmt.Sprintf(
			"Package: %s\nVersion: 1:2.0\nArchitecture: all\nMaintainer: Lab <lab@lab.test>\nDescription: test\n more\n", name))
	}
	count, err := indexRepo(t.Context(), dir, "bookworm")
	if err != nil || count != 2 {
		t.Fatalf("indexed %d, %v", count, err)
	}
	server := httptest.NewServer(RepoHandler(dir))
	t.Cleanup(server.Close)
	packages := get(t, server.URL+"/Packages")
	for _, stanza := range strings.Split(strings.TrimSpace(packages), "\n\n") {
		fields := splitStanzas([]byte(stanza))[0]
		deb := get(t, server.URL+"/"+strings.TrimPrefix(fields["filename"], "./"))
		if fields["version"] != "1:2.0" || fields["size"] != fmt.Sprint(len(deb)) ||
			fields["sha256"] != fmt.Sprintf("%x", sha256.Sum256([]byte(deb))) {
			t.Errorf("stanza does not describe its file:\n%s", stanza)
		}
	}
	zipped, err := gzip.NewReader(strings.NewReader(get(t, server.URL+"/Packages.gz")))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(zipped); err != nil || string(plain) != packages {
		t.Errorf("Packages.gz differs from Packages: %v", err)
	}
	sum := fmt.Sprintf("%x %d Packages\n", sha256.Sum256([]byte(packages)), len(packages))
	if release := get(t, server.URL+"/Release"); !strings.Contains(release, sum) {
		t.Errorf("Release lacks %q:\n%s", sum, release)
	}
}

func TestRepoOfNothingAndOfRubbish(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if count, err := indexRepo(t.Context(), dir, "bookworm"); err != nil || count != 0 {
		t.Errorf("an empty repository: %d, %v", count, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad_1_all.deb"), []byte("no archive"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := indexRepo(t.Context(), dir, "bookworm"); err == nil || !strings.Contains(err.Error(), "bad_1_all.deb") {
		t.Errorf("a broken package: %v", err)
	}
}

func TestRepoHandlerOnlyReads(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(RepoHandler(t.TempDir()))
	t.Cleanup(server.Close)
	reply, err := http.Post(server.URL+"/Packages", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if reply.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", reply.Status)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	reply, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, reply.Status, err)
	}
	return string(body)
}
