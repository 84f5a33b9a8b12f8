package rootfs

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// RepoHandler serves a repository made by Ensure. Guests reach it by the
// sources.list line "deb [trusted=yes] URL ./" (a flat repository, see the
// DebianRepository/Format page of Debian's wiki).
func RepoHandler(dir string) http.Handler {
	serve := http.FileServer(http.Dir(dir))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		serve.ServeHTTP(w, r)
	})
}

// indexRepo writes Packages, Packages.gz and Release for the .deb files in dir
// and returns how many there are.
func indexRepo(ctx context.Context, dir, suite string) (int, error) {
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return 0, err
	}
	sort.Strings(debs)
	var packages bytes.Buffer
	for _, deb := range debs {
		if err := writeStanza(ctx, &packages, deb); err != nil {
			return 0, fmt.Errorf("indexing %s: %w", filepath.Base(deb), err)
		}
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(packages.Bytes()) // a bytes.Buffer takes everything
	z.Close()
	indexes := []index{{"Packages", packages.Bytes()}, {"Packages.gz", zipped.Bytes()}}
	for _, i := range append(indexes, index{"Release", release(suite, indexes)}) {
		if err := os.WriteFile(filepath.Join(dir, i.name), i.data, 0o644); err != nil {
			return 0, err
		}
	}
	return len(debs), nil
}

// index is one metadata file of the repository.
type index struct {
	name string
	data []byte
}

// release is the file apt reads first: when, and the digests of the indexes.
func release(suite string, indexes []index) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Origin: bakehouse-lab\nLabel: bakehouse-lab\nSuite: %s\nCodename: %s\nDate: %s\nSHA256:\n",
		suite, suite, time.Now().UTC().Format(time.RFC1123))
	for _, i := range indexes {
		sum := sha256.Sum256(i.data)
		fmt.Fprintf(&b, " %s %d %s\n", hex.EncodeToString(sum[:]), len(i.data), i.name)
	}
	return b.Bytes()
}

// writeStanza writes what Packages says about one .deb: its control fields, its
// file name, size and digests. apt replaces ':' in file names by "%3a"; a URL
// path would undo that, so the file loses its epoch.
func writeStanza(ctx context.Context, w io.Writer, deb string) error {
	plain := strings.ReplaceAll(deb, "%3a", ".")
	if plain != deb {
		if err := os.Rename(deb, plain); err != nil {
			return err
		}
	}
	control, err := exec.CommandContext(ctx, "dpkg-deb", "-f", plain).Output()
	if err != nil {
		return fmt.Errorf("reading its control file: %w", err)
	}
	f, err := os.Open(plain)
	if err != nil {
		return err
	}
	defer f.Close()
	md, sha := md5.New(), sha256.New()
	size, err := io.Copy(io.MultiWriter(md, sha), f)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\nFilename: ./%s\nSize: %d\nMD5sum: %x\nSHA256: %x\n\n",
		bytes.TrimRight(control, "\n"), filepath.Base(plain), size, md.Sum(nil), sha.Sum(nil))
	return err
}
