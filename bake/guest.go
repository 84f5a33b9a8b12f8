package bake

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"

	cloudinit "bakehouse/cloud-init"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// Where the bake works in the builder. runDir is on a tmpfs and holds secrets;
// workDir is on disk, for what may be large, and holds none. Both are gone
// when the image is made.
const (
	runDir  = "/run/bakehouse"
	chefDir = runDir + "/chef"
	workDir = "/var/tmp/bakehouse"
)

//go:embed scripts/*.sh
var scripts embed.FS

// script returns an embedded guest script.
func script(name string) (string, error) {
	b, err := scripts.ReadFile("scripts/" + name + ".sh")
	if err != nil {
		return "", fmt.Errorf("reading guest script: %w", err)
	}
	return string(b), nil
}

// tail passes whole lines on and keeps the last of them.
type tail struct {
	pass    func(line string)
	lines   []string
	partial []byte
}

const (
	tailLines = 40
	maxLine   = 64 << 10 // bytes; a longer line is cut in two
)

// Write splits what comes into lines.
func (t *tail) Write(b []byte) (int, error) {
	t.partial = append(t.partial, b...)
	for {
		i := bytes.IndexByte(t.partial, '\n')
		if i < 0 {
			if len(t.partial) > maxLine {
				t.end()
			}
			return len(b), nil
		}
		t.add(string(t.partial[:i]))
		t.partial = t.partial[i+1:]
	}
}

// end passes on a line that has no newline.
func (t *tail) end() {
	if len(t.partial) > 0 {
		t.add(string(t.partial))
		t.partial = nil
	}
}

func (t *tail) add(line string) {
	line = strings.TrimRight(colour().ReplaceAllString(line, ""), "\r ")
	if t.lines = append(t.lines, line); len(t.lines) > tailLines {
		t.lines = t.lines[1:]
	}
	t.pass(line)
}

// colour matches terminal control sequences.
func colour() *regexp.Regexp { return regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]") }

// lastError picks the line of a tool's output that says what went wrong.
func lastError(lines []string) string {
	wanted := regexp.MustCompile(`(?i)(fatal|error|no space left|cannot|failed|unable)`)
	last := ""
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(lines[i])
		if line != "" && last == "" {
			last = line
		}
		if wanted.MatchString(line) {
			return clip(line)
		}
	}
	return clip(last)
}

func clip(line string) string {
	line = regexp.MustCompile(`^\[?\d{4}-\d\d-\d\dT[\d:.+Z-]*\]?:?\s*`).ReplaceAllString(line, "")
	if r := []rune(line); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return line
}

// guestRun is one script to run as root in the builder.
type guestRun struct {
	script string            // name of an embedded script
	doing  string            // for messages
	kind   fault.Kind        // of a failure
	env    map[string]string // no secrets: it shows in the process list
}

// guest runs an embedded script and passes its output on line by line.
func (s *Session) guest(ctx context.Context, g guestRun) (*tail, error) {
	text, err := script(g.script)
	if err != nil {
		return nil, err
	}
	out := &tail{pass: func(line string) { s.Reporter.StepLog(s.step, line) }}
	err = s.machine.Run(ctx, host.Command{Script: text, Stdout: out, Stderr: out, Sudo: true, Env: g.env})
	out.end()
	return out, guestFault(g.kind, g.doing, withOutput(err, out.lines), strings.Join(out.lines, "\n"))
}

// withOutput makes an exit code readable by what the command said last.
func withOutput(err error, lines []string) error {
	var exit *host.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if said := lastError(lines); said != "" {
		return fmt.Errorf("exit code %d: %s", exit.Code, said)
	}
	return err
}

// put writes a small file as root.
func (s *Session) put(ctx context.Context, path string, mode os.FileMode, content []byte) error {
	err := s.machine.Copy(ctx, host.CopySpec{Path: path, Mode: mode, Owner: "root:root", Sudo: true, Size: int64(len(content)), Content: bytes.NewReader(content)})
	return guestFault(fault.Check, "writing "+path+" in the builder", err, "")
}

// filesAtOnce is how many small files are under way at a time: each costs some
// round trips, and an SSH server takes ten sessions of a connection (MaxSessions
// in sshd_config(5)).
const filesAtOnce = 4

// putAll writes small files and links as root, in no order: over SSH some at a
// time, by Run Command, which is throttled, one after the other.
func (s *Session) putAll(ctx context.Context, files []cloudinit.File) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(filesAtOnce)
	if s.bySSM() {
		all.SetLimit(1)
	}
	for _, f := range files {
		all.Go(func() error {
			if f.Mode&fs.ModeSymlink != 0 {
				return s.link(ctx, f.Path, f.Link)
			}
			return s.put(ctx, f.Path, f.Mode.Perm(), f.Content)
		})
	}
	return all.Wait()
}

// send copies a file from this machine as root, with progress.
func (s *Session) send(ctx context.Context, from packageFile, path string, mode os.FileMode) error {
	f, err := os.Open(from.path)
	if err != nil {
		return fault.New(fault.Usage, "", fmt.Errorf("sending %s: %w", from.path, err))
	}
	defer f.Close()
	meter := &meter{r: f, total: from.size, tell: s.progress}
	err = s.machine.Copy(ctx, host.CopySpec{Path: path, Mode: mode, Owner: "root:root", Sudo: true, Size: from.size, Content: meter})
	return guestFault(fault.Check, "copying "+from.path+" to the builder", err, "")
}

// meter tells how much of a copy has been read, at every full tenth. What is
// smaller than a MiB is there before anybody has read of it.
type meter struct {
	r           io.Reader
	total, read int64
	told        int64
	tell        func(format string, args ...any)
}

// Read reads on and tells.
func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.read += int64(n)
	if m.total >= 1<<20 && m.read*10/m.total > m.told {
		m.told = m.read * 10 / m.total
		m.tell("%d of %d MiB sent", m.read>>20, m.total>>20)
	}
	return n, err
}
