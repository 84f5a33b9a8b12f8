package bake

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/internal/host"
	"bakehouse/internal/secret"
)

// hears keeps all that a bake tells its reporter.
type hears struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *hears) add(parts ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintln(&h.text, parts...)
}

func (h *hears) StepStarted(name string)                          { h.add(name) }
func (h *hears) StepProgress(name, detail string)                 { h.add(name, detail) }
func (h *hears) StepLog(name, line string)                        { h.add(name, line) }
func (h *hears) StepDone(name string, d time.Duration, err error) { h.add(name, d, err) }
func (h *hears) Info(line string)                                 { h.add(line) }

// TestABakeShowsNoKey searches all that a bake writes, prints and runs for the
// key of its Chef client: when it passes, and when each step of it fails.
func TestABakeShowsNoKey(t *testing.T) {
	t.Parallel()
	steps := []string{"", "status --wait", "command -v cinc-client", "client.rb --no-color", "verify.sh"}
	for _, failing := range steps {
		f := newFakes(t)
		heard := &hears{}
		f.Reporter = heard
		var key secret.Bytes
		f.ChefLogin = func(_ string, pem []byte) (NodeMaker, error) {
			key = secret.New(pem)
			return f.chef, nil
		}
		f.machine.on = func(_ context.Context, script string, out io.Writer) (bool, error) {
			if failing != "" && strings.Contains(script, failing) {
				return true, &host.ExitError{Code: 1, Stderr: "boom"}
			}
			return false, nil
		}
		p := f.plan(t)
		var journals strings.Builder
		f.ec2.onCall = func(string) { readAll(t, f.StateDir, &journals) }
		r, err := f.Bake(t.Context(), p)
		if (err == nil) != (failing == "") {
			t.Fatalf("%q: %v", failing, err)
		}
		report, jerr := r.JSON()
		if jerr != nil || key.Empty() {
			t.Fatalf("%q: %v, key empty: %v", failing, jerr, key.Empty())
		}
		readAll(t, f.StateDir, &journals)
		for what, text := range map[string]string{"report": string(report), "error": fmt.Sprintf("%+v", err), "reporter": heard.text.String(),
			"state folder": journals.String(), "scripts": strings.Join(f.machine.scripts, "\n"), "plan": fmt.Sprintf("%+v", p),
			"launch": fmt.Sprint(f.ec2.instances[0].params)} {
			if key.In([]byte(text)) {
				t.Errorf("%q: the Chef client's key is in the %s", failing, what)
			}
		}
		if journals.Len() == 0 {
			t.Errorf("%q: no journal was read", failing)
		}
	}
}

func readAll(t *testing.T, dir string, into io.Writer) {
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return nil // it may go while we look
		}
		b, err := os.ReadFile(path)
		if err == nil {
			_, _ = into.Write(b)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
