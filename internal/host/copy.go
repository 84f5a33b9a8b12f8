package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"sync"
)

// copyScript writes standard input beside its place, and lets nothing but the
// whole file, with its final mode and owner, ever be seen under the name. It
// is given: path, mode, owner (may be empty), size.
const copyScript = `set -eu
d=$(dirname -- "$1")
mkdir -p -- "$d"
umask 077
t=$(mktemp -- "$d/.bakehouse.XXXXXXXX")
trap 'rm -f -- "$t"' EXIT
cat >"$t"
n=$(wc -c <"$t")
if [ "$n" -ne "$4" ]; then echo "got $n bytes instead of $4" >&2; exit 1; fi
if [ -n "$3" ]; then chown -- "$3" "$t"; fi
chmod -- "$2" "$t"
sync -- "$t"
mv -fT -- "$t" "$1"
sync -- "$d"
`

// Copy writes a file: beside its place, fsynced, then renamed over it. The
// content travels by standard input, never by the process list. A failure
// leaves the old file, or none.
func (s *SSH) Copy(ctx context.Context, c CopySpec) error { return copyFile(ctx, c, s.addr, s.Run) }

func copyFile(ctx context.Context, c CopySpec, machine string, run func(context.Context, Command) error) error {
	if !path.IsAbs(c.Path) || path.Clean(c.Path) != c.Path || c.Path == "/" {
		return fmt.Errorf("copying to %q: the path is not absolute and clean", c.Path)
	}
	if c.Owner != "" && !regexp.MustCompile(`^[a-z_][a-z0-9_-]*(:[a-z_][a-z0-9_-]*)?$`).MatchString(c.Owner) {
		return fmt.Errorf("copying to %s: %q is not user or user:group", c.Path, c.Owner)
	}
	if c.Content == nil || c.Size < 0 {
		return fmt.Errorf("copying to %s: no content or size", c.Path)
	}
	source := &watched{r: io.LimitReader(c.Content, c.Size+1)} // one more byte betrays a source that is too long
	script := fmt.Sprintf("set -- %s %04o %s %d\n%s", Quote(c.Path), c.Mode.Perm(), Quote(c.Owner), c.Size, copyScript)
	err := run(ctx, Command{Script: script, Sudo: c.Sudo, Stdin: source})
	if readErr := source.failure(); readErr != nil {
		err = fmt.Errorf("reading the content: %w", readErr)
	}
	if err != nil {
		return fmt.Errorf("copying to %s on %s: %w", c.Path, machine, err)
	}
	return nil
}

// watched remembers a reader's error. A command that ends early leaves the
// session reading, hence the lock.
type watched struct {
	r io.Reader

	mu  sync.Mutex
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err = err
	}
	return n, err
}

func (w *watched) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
