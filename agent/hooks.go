package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// The hooks that a release may bring, as executable files HookDir/NAME. They
// run as the app's owner, in the release's directory, each in a control group
// of its own, in this order: pre-install before current is switched, pre-start
// before the unit is restarted, post-start after it, verify once the health
// checks pass. One that fails ends the deploy; from pre-start on it is a
// verdict on the build, which makes room for the last good one. A run that was
// interrupted runs them again.
const (
	HookDir    = ".bakehouse"
	PreInstall = "pre-install"
	PreStart   = "pre-start"
	PostStart  = "post-start"
	Verify     = "verify"
)

const (
	hookLogDir         = "/var/log/bakehouse/hooks"
	hookLogCap         = 8 << 20 // bytes that one run adds; what a hook prints beyond is dropped
	hookLogAge         = 30 * 24 * time.Hour
	defaultHookTimeout = time.Minute
)

// hook runs the hook name of build, when it brings one. Its output goes to
// hookLogDir/APP-BUILD-NAME.log.
func (s *session) hook(ctx context.Context, name string, build release.ID) error {
	dir := Layout{Root: s.conf.App.Root}.Release(build) // as its unit sees it
	file := filepath.Join(dir, HookDir, name)
	info, err := os.Stat(s.path(file))
	if err != nil || !info.Mode().IsRegular() {
		return nil // no such hook; what else is wrong with the release the app will say
	}
	log, err := s.hookLog(name, build)
	if err != nil {
		return fmt.Errorf("running hook %s: %w", name, onDisk(err))
	}
	limit := time.Duration(s.conf.App.HookTimeout)
	if limit <= 0 {
		limit = defaultHookTimeout
	}
	began, tail := s.deps.Clock.Now(), &lastBytes{}
	err = s.inUnit(ctx, task{name: "hook-" + name, dir: dir, args: []string{file}, limit: limit, out: tee{&bounded{log, hookLogCap}, tail},
		env: []string{"BAKEHOUSE_APP=" + s.conf.App.Name, "BAKEHOUSE_BUILD=" + string(build), "BAKEHOUSE_LAST_GOOD=" + s.j.LastGood}})
	_ = log.Close() // as in a Chef run: a log that is short is no verdict on the build
	switch {
	case err == nil, ctx.Err() != nil:
		return err
	case s.deps.Clock.Now().Sub(began) >= limit:
		err = fmt.Errorf("it was still running after %s (%w)", limit, err)
	}
	return fault.Newf(fault.Check, "see "+log.Name()+", and promote a build whose hook succeeds",
		"running hook %s of build %s: %w%s", name, build.Short(), err, lastLine(tail.String()))
}

// hookLog opens the file for a hook's output.
func (s *session) hookLog(name string, build release.ID) (*os.File, error) {
	dir := s.path(hookLogDir)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	dropOlder(dir, s.deps.Clock.Now().Add(-hookLogAge)) // each build has logs of its own
	f, err := os.OpenFile(filepath.Join(dir, s.conf.App.Name+"-"+build.Short()+"-"+name+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(f, "--- %s\n", s.deps.Clock.Now().UTC().Format(time.RFC3339)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// dropOlder removes the files of dir that nobody has written to since then.
func dropOlder(dir string, since time.Time) {
	entries, _ := os.ReadDir(dir) // what cannot be read is left
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().Before(since) {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// bounded writes no more than left bytes, and drops what comes after.
type bounded struct {
	w    io.Writer
	left int
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	part := p[:min(len(p), b.left)]
	b.left -= len(part)
	if _, err := b.w.Write(part); err != nil {
		return 0, err
	}
	return len(p), nil
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct{ b []byte }

// Write implements io.Writer.
func (l *lastBytes) Write(p []byte) (int, error) {
	const keep = 512
	l.b = append(l.b, p...)
	if n := len(l.b); n > keep {
		l.b = append(l.b[:0], l.b[n-keep:]...)
	}
	return len(p), nil
}

// String returns that end.
func (l *lastBytes) String() string { return strings.ToValidUTF8(string(l.b), "") }
