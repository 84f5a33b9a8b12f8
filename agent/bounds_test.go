package agent

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

// A copy that is whole, but late, may be heard before the one that won.
func TestACopyThatComesSecondIsNoPart(t *testing.T) {
	t.Parallel()
	p := &pieces{body: noise(100)}
	tr := &transfer{download: download{store: p, clock: newWorld(t), part: 100, width: 1, tries: 1, stall: time.Minute},
		what: Range{Size: 100}, tag: make(chan string, 2), free: make(chan []byte, 2)}
	late := &part{Range: tr.what, done: make(chan copied, 2)}
	late.won.Store(true)
	tr.ask(t.Context(), late, tr.buffer(100))
	if c := <-late.done; c.err == nil {
		t.Errorf("it passes for a part of %d bytes", len(c.buf))
	}
}

func TestAnAnswerWithoutAnETagEndsTheDownload(t *testing.T) {
	t.Parallel()
	p := &pieces{body: noise(300)}
	p.answer = func(_ context.Context, _ int, r Range, b []byte) (io.ReadCloser, Object, error) {
		body, whole, err := piece(b, r, nil)
		return body, Object{Size: whole.Size}, err
	}
	if _, err := reads(t.Context(), t, p, 300); err == nil || !strings.Contains(err.Error(), "no ETag") {
		t.Errorf("error is %v", err)
	}
}

func TestAHealthCommandMayPrintWithoutEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.Health = agentconf.Health{Command: "yes", Timeout: agentconf.Duration(time.Second)}
	w.task = func(c Command) error {
		for range 1 << 10 {
			_, _ = io.WriteString(c.Out, strings.Repeat("y", 1<<10))
		}
		return &ExitError{Code: 1}
	}
	if err := w.fails(fault.Check, `running "yes": exit code 1: yyy`); len(err.Error()) > 2<<10 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func TestWhatAnAppPrintsIsToldBriefly(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]string{
		"":                               "",
		"one\ntwo\n\n":                   ": two",
		"\x1b[31mred\x07\a":              ": [31mred",
		strings.Repeat("ä", 400):         ": " + strings.Repeat("ä", 150) + "…",
		"a\n" + strings.Repeat("b", 300): ": " + strings.Repeat("b", 300),
	} {
		if got := lastLine(out); got != want {
			t.Errorf("%.40q: %q, want %q", out, got, want)
		}
	}
}

// A hook that prints on and on must not fill the disk, and a full disk under its
// log is no verdict on the build.
func TestAHooksLogIsBoundedAndNeverFailsTheHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	id := w.pushHooks("with a hook that talks", Verify)
	w.task = func(c Command) error {
		for range 9 {
			if _, err := c.Out.Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
		return nil
	}
	w.deploys()
	if info, err := os.Stat(filepath.Join(w.root, hookLogDir, "web-"+id.Short()+"-verify.log")); err != nil || info.Size() > hookLogCap+100 {
		t.Errorf("the log is %v, %v", info.Size(), err)
	}
	if n, err := (tee{&bounded{full{}, 10}}).Write([]byte("on a full disk")); n != 14 || err != nil {
		t.Errorf("wrote %d, %v", n, err)
	}
}

func TestOldLogsOfHooksGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	for name, age := range map[string]time.Duration{"web-000000000000-verify.log": hookLogAge + time.Hour, "web-111111111111-verify.log": hookLogAge - time.Hour} {
		w.write(hookLogDir+"/"+name, "old", 0o640)
		if at := w.now.Add(-age); os.Chtimes(filepath.Join(w.root, hookLogDir, name), at, at) != nil {
			t.Fatal("cannot set the time")
		}
	}
	w.pushHooks("with a hook", Verify)
	w.deploys()
	if w.read(hookLogDir+"/web-000000000000-verify.log") != "" || w.read(hookLogDir+"/web-111111111111-verify.log") != "old" {
		t.Error("the wrong log went")
	}
}

func TestARecordsErrorIsOneLine(t *testing.T) {
	t.Parallel()
	var r Record
	if r.end(time.Now(), errors.Join(errors.New("one"), errors.New("two"))); r.Error != "one; two" || r.State != Failed {
		t.Errorf("%+v", r)
	}
}

// full is a writer on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }
