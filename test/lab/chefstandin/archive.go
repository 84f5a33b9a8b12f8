package chefstandin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"fmt"
	"path"
	"sort"
	"time"
)

// entry is one file of a tar archive; path is relative, without "./".
type entry struct {
	path    string
	mode    int64
	content []byte
}

// epoch is the time of every file: the package's bytes may not depend on when
// it was built. Not zero, because some tools take zero for "unknown".
func epoch() time.Time { return time.Unix(1700000000, 0) }

func sortByPath(files []entry) {
	sort.Slice(files, func(i, j int) bool { return files[i].path < files[j].path })
}

// tarball packs files, and the directories above them, as root's.
func tarball(files []entry) ([]byte, error) {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	pack := tar.NewWriter(zip)
	for _, dir := range parents(files) {
		h := &tar.Header{Typeflag: tar.TypeDir, Name: "./" + dir, Mode: dirMode, ModTime: epoch(), Uname: "root", Gname: "root"}
		if err := pack.WriteHeader(h); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: "./" + f.path, Mode: f.mode, Size: int64(len(f.content)),
			ModTime: epoch(), Uname: "root", Gname: "root"}
		if err := pack.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := pack.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := pack.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// parents returns each directory once, parents first, with a trailing slash.
// dpkg wants every directory named before what is in it.
func parents(files []entry) []string {
	seen := map[string]bool{"": true}
	for _, f := range files {
		for dir := path.Dir(f.path); dir != "."; dir = path.Dir(dir) {
			seen[dir+"/"] = true
		}
	}
	dirs := make([]string, 0, len(seen))
	for dir := range seen {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	return dirs
}

func md5sums(files []entry) []byte {
	var out bytes.Buffer
	for _, f := range files {
		fmt.Fprintf(&out, "%x  %s\n", md5.Sum(f.content), f.path)
	}
	return out.Bytes()
}

// writeMember appends one member of the ar archive that a .deb is (deb(5)).
func writeMember(out *bytes.Buffer, name string, content []byte) {
	fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, epoch().Unix(), 0, 0, "100644", len(content))
	out.Write(content)
	if len(content)%2 == 1 {
		out.WriteByte('\n')
	}
}
