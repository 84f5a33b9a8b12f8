package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"bakehouse/internal/fault"
)

// entry is one thing that goes into the artefact.
type entry struct {
	name string // slash-separated, from the top
	mode fs.FileMode
	size int64
	link string // target of a symbolic link
}

// scan lists what Pack packs, parents first, sorted by name within a directory.
func scan(ctx context.Context, root *os.Root) ([]entry, error) {
	ig, err := loadIgnore(root)
	if err != nil {
		return nil, err
	}
	var entries []entry
	files := 0
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || name == "." {
			return err
		}
		if ig.skips(name, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		e, err := inspect(root, name, d)
		if err != nil {
			return err
		}
		if e.mode.IsRegular() {
			files++
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if files == 0 {
		return nil, fault.New(fault.Usage, "give the directory that holds the built app, and look at its "+IgnoreFile,
			errors.New("there is no file to pack"))
	}
	return entries, nil
}

// inspect refuses what a build cannot hold.
func inspect(root *os.Root, name string, d fs.DirEntry) (entry, error) {
	if name == FileName {
		return entry{}, refuse(name, "the agent writes a file of that name into every release")
	}
	info, err := d.Info()
	if err != nil {
		return entry{}, err
	}
	e := entry{name: name, mode: info.Mode(), size: info.Size()}
	switch {
	case info.Mode().IsRegular(), info.IsDir():
		return e, nil
	case info.Mode().Type() == fs.ModeSymlink:
		if e.link, err = root.Readlink(name); err != nil {
			return entry{}, err
		}
		if err := checkLink(root, name, e.link); err != nil {
			return entry{}, refuse(name, err.Error())
		}
		return e, nil
	}
	return entry{}, refuse(name, "it is a "+kindOf(info.Mode())+"; a build holds files, directories and symbolic links")
}

func refuse(name, why string) error {
	return fault.Newf(fault.Usage, "remove it or name it in "+IgnoreFile, "%s: %s", name, why)
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// checkLink refuses a link that leads out of the tree: by its text, or by way
// of another link (the text of d/x/.. stays inside even when d/x leads up).
// One that dangles is allowed.
func checkLink(root *os.Root, name, target string) error {
	if err := checkTarget(name, target); err != nil {
		return err
	}
	// Root.Stat follows links and refuses to leave the root.
	if _, err := root.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link to %q leaves the tree or has no end", target)
	}
	return nil
}

func checkTarget(name, target string) error {
	if path.IsAbs(target) {
		return fmt.Errorf("link to the absolute path %q", target)
	}
	if to := path.Join(path.Dir(name), target); to == ".." || strings.HasPrefix(to, "../") {
		return fmt.Errorf("link to %q leaves the tree", target)
	}
	return nil
}
