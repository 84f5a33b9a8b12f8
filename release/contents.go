package release

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Entry is one file, directory or link of a build.
type Entry struct {
	Name       string `json:"name"`
	Size       int64  `json:"size,omitempty"`       // bytes of a file
	SHA256     string `json:"sha256,omitempty"`     // of a file's content, hex
	Link       string `json:"link,omitempty"`       // where a symbolic link leads
	Directory  bool   `json:"directory,omitempty"`  //
	Executable bool   `json:"executable,omitempty"` // of a file
}

// Contents reads an artefact from r and calls add for every entry, in the order
// of the archive. It writes nothing. What add was told holds only once Contents
// returns nil: then every byte was read and their SHA-256 is want.ID.
func Contents(ctx context.Context, r io.Reader, want Manifest, add func(Entry)) error {
	if err := want.Check(); err != nil {
		return fmt.Errorf("reading build: manifest: %w", err)
	}
	source := &digest{r: until(ctx, r), sum: sha256.New(), want: want}
	err := contents(source, want, add)
	if source.err != nil {
		err = source.err
	} else if derr := source.finish(); derr != nil {
		err = derr
	}
	if err != nil {
		return fmt.Errorf("reading build %s: %w", want.ID.Short(), classify(err))
	}
	return nil
}

// contents decodes source entry by entry.
func contents(source io.Reader, want Manifest, add func(Entry)) error {
	zr, err := zstd.NewReader(source, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	defer zr.Close()
	tr := tar.NewReader(&bounded{r: zr, left: want.UnpackedSize + int64(want.Files)*entryOverhead + entryOverhead})
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("decoding: %w", err)
		}
		e, err := entryOf(h, tr)
		if err != nil {
			return fmt.Errorf("decoding: %w", err)
		}
		add(e)
	}
}

func entryOf(h *tar.Header, content io.Reader) (Entry, error) {
	e := Entry{Name: strings.TrimSuffix(h.Name, "/")}
	switch h.Typeflag {
	case tar.TypeDir:
		e.Directory = true
	case tar.TypeSymlink:
		e.Link = h.Linkname
	case tar.TypeReg:
		sum := sha256.New()
		n, err := io.Copy(sum, content)
		if err != nil {
			return e, err
		}
		e.Size, e.SHA256, e.Executable = n, hex.EncodeToString(sum.Sum(nil)), h.Mode&0o100 != 0
	}
	return e, nil
}
