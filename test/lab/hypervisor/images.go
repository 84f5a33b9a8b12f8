package hypervisor

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// images knows which layers each AMI boots from. An image made here owns the
// layer named after it; below come the layers of the image it was made of.
type images struct {
	dir string

	mu   sync.Mutex
	byID map[string][]string // newest layer first
}

func newImages(dir string, base map[string][]string) *images {
	byID := map[string][]string{}
	maps.Copy(byID, base)
	return &images{dir: filepath.Join(dir, "images"), byID: byID}
}

func (i *images) layers(id string) ([]string, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	l, ok := i.byID[id]
	return slices.Clone(l), ok
}

func (i *images) all() map[string][]string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.byID)
}

// partial is in the name of a layer that is still being filled, and of what
// the filling puts beside it.
const partial = ".partial"

// add fills a new layer and registers id on top of below. A failure leaves
// nothing behind.
func (i *images) add(id string, below []string, fill func(layer string) error) error {
	layer := filepath.Join(i.dir, id)
	if err := os.MkdirAll(i.dir, 0o755); err != nil {
		return fmt.Errorf("preparing the image's layer: %w", err)
	}
	if err := fill(layer + partial); err != nil {
		return errors.Join(err, os.RemoveAll(layer+partial))
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if err := os.Rename(layer+partial, layer); err != nil {
		return fmt.Errorf("finishing the image's layer: %w", err)
	}
	i.byID[id] = append([]string{layer}, below...)
	return nil
}

func (i *images) alias(src, dst string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	l, ok := i.byID[src]
	if !ok {
		return fmt.Errorf("copying image %s: it has no files in this lab", src)
	}
	i.byID[dst] = slices.Clone(l)
	return nil
}

func (i *images) remove(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.byID, id)
}

// collect removes the layers below i.dir that neither an image nor used names,
// but for those still being filled.
func (i *images) collect(used []string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	keep := map[string]bool{}
	for _, l := range used {
		keep[l] = true
	}
	for _, layers := range i.byID {
		for _, l := range layers {
			keep[l] = true
		}
	}
	entries, err := os.ReadDir(i.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing image layers: %w", err)
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(i.dir, e.Name())
		if !keep[path] && !strings.Contains(e.Name(), partial) {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}
