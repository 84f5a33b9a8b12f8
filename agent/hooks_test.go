package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// pushHooks stores a build with hooks of those names and promotes it.
func (w *world) pushHooks(content string, names ...string) release.ID {
	w.t.Helper()
	dir := w.t.TempDir()
	err := errors.Join(os.Mkdir(filepath.Join(dir, HookDir), 0o755), os.WriteFile(filepath.Join(dir, "web"), []byte(content), 0o755))
	for _, name := range names {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, HookDir, name), []byte("#!/bin/sh\n"), 0o755))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	var artefact bytes.Buffer
	p, err := release.Pack(context.Background(), dir, &artefact)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store["s3://builds/"+release.ArtifactKey("web", p.ID)] = artefact.Bytes()
	w.putManifest(release.NewManifest("web", p, w.now))
	w.promote("production", p.ID)
	return p.ID
}

// hookOf returns which hook a command runs, "" for none.
func hookOf(c Command) string { return filepath.Base(c.Args[len(c.Args)-1]) }

func TestHooksRunInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	old := w.journal().Build
	id := w.pushHooks("with hooks", Verify, PostStart, PreStart, PreInstall)
	var seen []string
	w.task = func(c Command) error {
		live := filepath.Base(strings.TrimSpace(w.read("/srv/web/current/RELEASE")))
		seen = append(seen, fmt.Sprintf("%s live=%v starts=%d health=%v", hookOf(c), live == string(id), w.restarts()-1, w.healthAsks > 1))
		if !slices.Contains(c.Args, "--setenv=BAKEHOUSE_BUILD="+string(id)) || !slices.Contains(c.Args, "--setenv=BAKEHOUSE_LAST_GOOD="+old) ||
			!slices.Contains(c.Args, "--property=WorkingDirectory=/srv/web/releases/"+string(id)) || !slices.Contains(c.Args, "--property=RuntimeMaxSec=60000ms") {
			t.Errorf("run as %q", c.Args)
		}
		_, err := io.WriteString(c.Out, "said by "+hookOf(c)+"\n")
		return err
	}
	w.deploys()
	want := []string{"pre-install live=false starts=0 health=false", "pre-start live=true starts=0 health=false",
		"post-start live=true starts=1 health=false", "verify live=true starts=1 health=true"}
	if !slices.Equal(seen, want) {
		t.Errorf("hooks ran as\n%q\nwant\n%q", seen, want)
	}
	if log := w.read("/var/log/bakehouse/hooks/web-" + id.Short() + "-verify.log"); !strings.Contains(log, "said by verify\n") {
		t.Errorf("the log of verify is %q", log)
	}
}

func TestHookThatFailsEndsTheDeploy(t *testing.T) {
	t.Parallel()
	for _, name := range []string{PreInstall, PreStart, PostStart, Verify} {
		w := newWorld(t)
		w.boot()
		good, starts := release.ID(w.journal().Build), w.restarts()
		id := w.pushHooks("with a bad hook", name)
		w.task = func(c Command) error {
			_, _ = io.WriteString(c.Out, "no database\n")
			return &ExitError{Code: 3}
		}
		err := w.agent().Deploy(context.Background())
		if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "running hook "+name+" of build "+id.Short()+": exit code 3: no database") {
			t.Errorf("%s: %v", name, err)
		}
		w.serving(good)
		if refused := len(w.journal().Refused); refused != map[bool]int{true: 0, false: 1}[name == PreInstall] || name == PreInstall && w.restarts() != starts {
			t.Errorf("%s: %d builds refused, %d starts", name, refused, w.restarts()-starts)
		}
	}
}

func TestHookThatHangsIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.HookTimeout = agentconf.Duration(5 * time.Second)
	w.boot()
	w.pushHooks("with a slow hook", PreInstall)
	w.task = func(c Command) error {
		if !slices.Contains(c.Args, "--property=RuntimeMaxSec=5000ms") {
			t.Errorf("run as %q", c.Args)
		}
		return errors.Join(w.Sleep(context.Background(), 5*time.Second), &ExitError{Code: 1})
	}
	if err := w.agent().Deploy(context.Background()); err == nil || !strings.Contains(err.Error(), "still running after 5s") {
		t.Errorf("a hook that hangs: %v", err)
	}
}
