// Package chefstandin builds the Debian package of the lab's Chef stand-in: a
// chef-client written in Ruby for guests that cannot have the real one. It is
// named as a stand-in wherever it shows; README.md says what it does and what
// it refuses.
package chefstandin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// sources are the Ruby program and its manual, as they are installed.
//
//go:embed bin lib README.md
var sources embed.FS

// PackageName is what dpkg calls the stand-in.
const PackageName = "bakehouse-chef-standin"

const (
	programPath = "usr/bin/chef-client"
	libraryDir  = "usr/lib/" + PackageName
	manualPath  = "usr/share/doc/" + PackageName + "/README.md"
	dirMode     = 0o755
	fileMode    = 0o644
	programMode = 0o755
)

// Version returns the stand-in's version, read from its own Ruby source.
func Version() (string, error) {
	text, err := sources.ReadFile("lib/chef_standin/version.rb")
	if err != nil {
		return "", fmt.Errorf("reading the stand-in's version: %w", err)
	}
	found := regexp.MustCompile(`VERSION = '([0-9.]+)'`).FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("reading the stand-in's version: version.rb names none")
	}
	return string(found[1]), nil
}

// BuildDeb writes the package into outDir, which it makes when missing, and
// returns its path and the SHA-256 of its bytes in hex. The same sources give
// the same bytes, whatever the time and the machine; an existing file of that
// name is replaced in one step.
func BuildDeb(ctx context.Context, outDir string) (path, sum string, err error) {
	version, err := Version()
	if err != nil {
		return "", "", err
	}
	content, err := deb(version)
	if err != nil {
		return "", "", fmt.Errorf("building the stand-in's package: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return "", "", fmt.Errorf("building the stand-in's package: %w", err)
	}
	path = filepath.Join(outDir, fmt.Sprintf("%s_%s_all.deb", PackageName, version))
	if err := replace(path, content); err != nil {
		return "", "", fmt.Errorf("writing the stand-in's package: %w", err)
	}
	digest := sha256.Sum256(content)
	return path, hex.EncodeToString(digest[:]), nil
}

// replace writes beside and renames, so that nobody reads half a package.
func replace(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".deb-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // gone after a good rename
	_, err = temp.Write(content)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Chmod(temp.Name(), fileMode)
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	return err
}

func deb(version string) ([]byte, error) {
	files, err := installed()
	if err != nil {
		return nil, err
	}
	data, err := tarball(files)
	if err != nil {
		return nil, err
	}
	control, err := tarball([]entry{
		{path: "control", mode: fileMode, content: controlFile(version, files)},
		{path: "md5sums", mode: fileMode, content: md5sums(files)},
	})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	writeMember(&out, "debian-binary", []byte("2.0\n"))
	writeMember(&out, "control.tar.gz", control)
	writeMember(&out, "data.tar.gz", data)
	return out.Bytes(), nil
}

// installed lists the package's files in order of path.
func installed() ([]entry, error) {
	var files []entry
	err := fs.WalkDir(sources, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := sources.ReadFile(path)
		if err != nil {
			return err
		}
		files = append(files, place(path, content))
		return nil
	})
	sortByPath(files)
	return files, err
}

func place(source string, content []byte) entry {
	switch {
	case source == "README.md":
		return entry{path: manualPath, mode: fileMode, content: content}
	case strings.HasPrefix(source, "bin/"):
		return entry{path: programPath, mode: programMode, content: content}
	default:
		return entry{path: libraryDir + "/" + strings.TrimPrefix(source, "lib/"), mode: fileMode, content: content}
	}
}

// controlFile: the package provides and conflicts with chef, so that apt
// never has two programs of one name on a machine.
func controlFile(version string, files []entry) []byte {
	size := 0
	for _, f := range files {
		size += len(f.content)
	}
	return fmt.Appendf(nil, `Package: %s
Version: %s
Architecture: all
Maintainer: Bakehouse lab <lab@bakehouse.invalid>
Installed-Size: %d
Depends: ruby (>= 1:3.1)
Provides: chef
Conflicts: chef, cinc
Section: admin
Priority: optional
Description: stand-in for Chef Infra Client in the Bakehouse lab
 This is not Chef Infra Client. It speaks the Chef Server API and evaluates
 recipes with the common resources, for test machines that cannot have the
 real client, and it refuses whatever it does not know.
`, PackageName, version, (size+1023)/1024)
}
