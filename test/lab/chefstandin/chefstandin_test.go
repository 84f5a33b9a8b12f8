package chefstandin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestTheSameSourcesGiveTheSamePackage(t *testing.T) {
	t.Parallel()
	first, sum1, err := BuildDeb(context.Background(), filepath.Join(t.TempDir(), "deep", "er"))
	if err != nil {
		t.Fatal(err)
	}
	second, sum2, err := BuildDeb(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if sum1 != sum2 || filepath.Base(first) != filepath.Base(second) {
		t.Errorf("two builds differ: %s %s, %s %s", filepath.Base(first), sum1, filepath.Base(second), sum2)
	}
	left, err := os.ReadDir(filepath.Dir(second))
	if err != nil || len(left) != 1 {
		t.Errorf("the output folder holds %v (%v), want the package alone", left, err)
	}
}

func TestThePackageHoldsTheProgramAndSaysWhatItIs(t *testing.T) {
	t.Parallel()
	version, err := Version()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := deb(version)
	if err != nil {
		t.Fatal(err)
	}
	members := readAr(t, raw)
	if string(members["debian-binary"]) != "2.0\n" {
		t.Errorf("debian-binary = %q", members["debian-binary"])
	}
	control := string(readTar(t, members["control.tar.gz"])["./control"])
	for _, want := range []string{"Package: " + PackageName, "Version: " + version, "Provides: chef", "Depends: ruby",
		"This is not Chef Infra Client"} {
		if !strings.Contains(control, want) {
			t.Errorf("the control file lacks %q:\n%s", want, control)
		}
	}
	data := readTar(t, members["data.tar.gz"])
	for _, want := range []string{"./" + programPath, "./" + libraryDir + "/chef_standin.rb", "./" + manualPath,
		"./" + libraryDir + "/chef_standin/resources/package.rb"} {
		if len(data[want]) == 0 {
			t.Errorf("the package lacks %s", want)
		}
	}
}

func TestACancelledBuildWritesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir()
	if _, _, err := BuildDeb(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("BuildDeb = %v, want the context's error", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the folder holds %v after a cancelled build", left)
	}
}

func readAr(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	rest, ok := bytes.CutPrefix(raw, []byte("!<arch>\n"))
	if !ok {
		t.Fatal("no ar archive")
	}
	members := map[string][]byte{}
	for len(rest) >= 60 {
		size, err := strconv.Atoi(strings.TrimSpace(string(rest[48:58])))
		if err != nil || string(rest[58:60]) != "`\n" {
			t.Fatalf("member header %q: %v", rest[:60], err)
		}
		members[strings.TrimSpace(string(rest[:16]))] = rest[60 : 60+size]
		rest = rest[60+size+size%2:]
	}
	return members
}

func readTar(t *testing.T, raw []byte) map[string][]byte {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(epoch()) {
			t.Errorf("%s belongs to %d:%d at %v", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
