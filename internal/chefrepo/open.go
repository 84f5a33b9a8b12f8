package chefrepo

import (
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bakehouse/internal/fault"
)

// Open reads the chef-repo in dir whole: every role, environment and cookbook
// must be readable. Errors are fault.Usage and name file, line and column.
func Open(dir string) (*Repo, error) {
	r := &Repo{Dir: dir, rubyRoles: map[string]string{}}
	if !isDir(filepath.Join(dir, "roles")) && !isDir(filepath.Join(dir, "cookbooks")) {
		return nil, fault.Newf(fault.Usage, "name the folder that holds roles/ and cookbooks/",
			"opening chef-repo %s: it has neither a roles nor a cookbooks folder", dir)
	}
	for _, read := range []func() error{r.readRoles, r.readEnvironments, r.readCookbooks} {
		if err := read(); err != nil {
			return nil, fault.New(fault.Usage, "", fmt.Errorf("opening chef-repo: %w", err))
		}
	}
	return r, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// list reads a folder's entries, sorted; a folder that is absent is empty.
func list(dir string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

func (r *Repo) readRoles() error {
	entries, err := list(filepath.Join(r.Dir, "roles"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(r.Dir, "roles", e.Name())
		switch base := e.Name(); filepath.Ext(base) {
		case ".rb":
			r.rubyRoles[strings.TrimSuffix(base, ".rb")] = path
		case ".json":
			role, err := readRole(path)
			if err != nil {
				return err
			}
			r.Roles = append(r.Roles, role)
		}
	}
	slices.SortFunc(r.Roles, func(a, b Role) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func (r *Repo) readEnvironments() error {
	entries, err := list(filepath.Join(r.Dir, "environments"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		env, err := readEnvironment(filepath.Join(r.Dir, "environments", e.Name()))
		if err != nil {
			return err
		}
		r.Environments = append(r.Environments, env)
	}
	slices.SortFunc(r.Environments, func(a, b Environment) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func (r *Repo) readCookbooks() error {
	root := filepath.Join(r.Dir, "cookbooks")
	entries, err := list(root)
	if err != nil {
		return err
	}
	ignore, err := readIgnore(filepath.Join(root, "chefignore"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if strings.HasPrefix(e.Name(), ".") || !isDir(dir) {
			continue
		}
		c, err := readCookbook(dir, ignore)
		if err != nil {
			return err
		}
		if other, ok := r.Cookbook(c.Name); ok {
			return fmt.Errorf("%s and %s both say that they are cookbook %q", other.Dir, dir, c.Name)
		}
		r.Cookbooks = append(r.Cookbooks, c)
	}
	slices.SortFunc(r.Cookbooks, func(a, b Cookbook) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

func readCookbook(dir string, ignore patterns) (Cookbook, error) {
	c, err := readMetadata(dir)
	if err != nil {
		return Cookbook{}, err
	}
	own, err := readIgnore(filepath.Join(dir, "chefignore"))
	if err != nil {
		return Cookbook{}, err
	}
	c.Dir = dir
	c.Files, err = readFiles(dir, append(slices.Clone(ignore), own...))
	return c, err
}

// readFiles lists what knife would upload: no top-level folder that begins
// with a dot, no linked folders, and nothing that chefignore names.
func readFiles(dir string, ignore patterns) ([]File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var files []File
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(path, ".") && path != "." {
				return fs.SkipDir
			}
			return nil
		}
		if ignore.match(path) {
			return nil
		}
		info, err := root.Stat(filepath.FromSlash(path)) // follows a link, but not out of the cookbook
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		f, err := hashFile(root, path)
		files = append(files, f)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading cookbook %s: %w", dir, err)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return files, nil
}

func hashFile(root *os.Root, path string) (File, error) {
	f, err := root.Open(filepath.FromSlash(path))
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	sum5, sum256 := md5.New(), sha256.New()
	n, err := io.Copy(io.MultiWriter(sum5, sum256), f)
	return File{Path: path, Size: n, MD5: hex.EncodeToString(sum5.Sum(nil)), SHA256: hex.EncodeToString(sum256.Sum(nil))}, err
}
