package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

func chmod(w *world, path string, mode os.FileMode) error {
	return os.Chmod(filepath.Join(w.root, path), mode)
}
func remove(w *world, path string) error { return os.Remove(filepath.Join(w.root, path)) }

// exits plays a Chef client that ends with the codes in turn, then with 0.
func exits(codes ...int) func(int, io.Writer) error {
	return func(n int, out io.Writer) error {
		if n > len(codes) || codes[n-1] == 0 {
			return nil
		}
		fmt.Fprintf(out, "resource 1\nresource 2\n")
		fmt.Fprintf(out, "[2026] FATAL: run %d broke\nChef Infra Client failed", n)
		return &ExitError{Code: codes[n-1]}
	}
}

func TestConvergeIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chefRun = exits(1, 1)
	w.boot()
	if w.chefRuns != 3 || !strings.Contains(w.journal().record(Converge).Detail, "attempt 3 of 3") {
		t.Errorf("%d runs, detail %q", w.chefRuns, w.journal().record(Converge).Detail)
	}
	if log := w.status().Log; len(log) != 0 {
		t.Errorf("a converge that got there left a failure's log: %q", log)
	}
}

func TestConvergeThatFailsIsFinal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Chef.Attempts = 2
	w.chefRun = exits(1, 1, 1)
	w.fails(fault.Chef, "2 attempts", "exit code 1", "FATAL: run 2 broke")
	if w.chefRuns != 2 {
		t.Errorf("%d runs, want 2", w.chefRuns)
	}
	if log := w.status().Log; !strings.Contains(strings.Join(log, "\n"), "resource 2") || !strings.HasSuffix(strings.Join(log, "\n"), "failed") || len(log) > keptLines {
		t.Errorf("the status tells %q of the run", log)
	}
	if strings.Contains(w.read(agentconf.StateDir+"/journal.json"), "resource 2") {
		t.Error("the journal, which everybody may read, holds what the Chef run printed")
	}
	if log := w.read(convergeLog); strings.Count(log, "FATAL") != 2 {
		t.Errorf("converge.log has\n%s", log)
	}
	if len(w.opens) > 0 {
		t.Error("a build was pulled onto a machine that did not converge")
	}
	w.chefRun = nil
	w.boot()
}

func TestExitCodesThatAnotherRunCannotCure(t *testing.T) {
	t.Parallel()
	for code, word := range map[int]string{43: "configuration", 172: "licence", 41: "reboot"} {
		w := newWorld(t)
		w.chefRun = exits(code, code, code)
		w.fails(fault.Chef, fmt.Sprintf("exit code %d", code), word)
		if w.chefRuns != 1 {
			t.Errorf("exit code %d: %d runs, want 1", code, w.chefRuns)
		}
	}
}

func TestChefClientThatCannotStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chefRun = func(int, io.Writer) error { return errors.New("fork/exec: exec format error") }
	w.fails(fault.Chef, "exec format error")
	if w.chefRuns != 1 {
		t.Errorf("%d runs, want 1", w.chefRuns)
	}
}

func TestRebootIsAskedForAndResumed(t *testing.T) {
	t.Parallel()
	for _, code := range []int{35, 37} {
		w := newWorld(t)
		w.chefRun = exits(code)
		if err := w.agent().FirstBoot(context.Background()); !errors.Is(err, ErrRebooting) {
			t.Fatalf("exit code %d: first boot ended with %v, want ErrRebooting", code, err)
		}
		if last := w.runs[len(w.runs)-1]; last != "systemctl reboot" {
			t.Errorf("exit code %d: last program run is %q", code, last)
		}
		if j := w.journal(); j.Failure() != nil || j.Reboots != 1 || j.finished(Converge) {
			t.Errorf("exit code %d: journal is %+v", code, j)
		}
		w.boot()
		if r := w.journal().record(Converge); r.Runs != 2 || r.State != Done {
			t.Errorf("exit code %d: converge is %+v after the reboot", code, r)
		}
	}
}

func TestRebootsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chefRun = func(int, io.Writer) error { return &ExitError{Code: 37} }
	for range maxReboots {
		if err := w.agent().FirstBoot(context.Background()); !errors.Is(err, ErrRebooting) {
			t.Fatalf("first boot ended with %v, want ErrRebooting", err)
		}
	}
	w.fails(fault.Chef, "after 5 reboots")
	if n := len(slices.DeleteFunc(slices.Clone(w.runs), func(r string) bool { return r != "systemctl reboot" })); n != maxReboots {
		t.Errorf("%d reboots, want %d", n, maxReboots)
	}
}

func TestRebootThatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chefRun = exits(35)
	w.systemctl = func([]string, io.Writer) error { return &ExitError{Code: 1} }
	w.fails(fault.Chef, "systemctl reboot failed")
}

func TestConvergeThatTakesTooLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Chef.Timeout, w.conf.Chef.Attempts = 1, 1 // a nanosecond: over before the client starts
	w.fails(fault.Timeout, "longer than 1ns")
}

func TestConvergeThatFailedMayBeGoneOnFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Chef.OnFailure = agentconf.OnFailureContinue
	w.chefRun = func(_ int, out io.Writer) error {
		_, _ = io.WriteString(out, "FATAL: no such package\n")
		return &ExitError{Code: 1}
	}
	w.boot()
	r := w.journal().record(Converge)
	if r.State != Done || !strings.Contains(r.Detail, "no such package") || w.chefRuns != defaultAttempts {
		t.Errorf("converge is %+v after %d runs; want it done after %d, with the reason", r, w.chefRuns, defaultAttempts)
	}
	if !w.endState().Started {
		t.Error("the app was not started")
	}
}

func TestGoingOnIsNotForRebootsAndStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Chef.OnFailure = agentconf.OnFailureContinue
	w.chefRun = exits(37)
	if err := w.agent().FirstBoot(context.Background()); !errors.Is(err, ErrRebooting) {
		t.Errorf("first boot ended with %v, want ErrRebooting", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.chefRun = func(int, io.Writer) error { cancel(); return &ExitError{Code: 143} }
	if err := w.agent().FirstBoot(ctx); err == nil || w.journal().finished(Converge) {
		t.Errorf("a run that was stopped ended with %v, converge is %+v", err, w.journal().record(Converge))
	}
}

func TestTheChefRunWaitsForDpkgsLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	if got := w.read(aptConf); !strings.Contains(got, "DPkg::Lock::Timeout") || !slices.Contains(w.env, "APT_CONFIG="+w.root+aptConf) {
		t.Errorf("apt's configuration is %q, the run's environment %q", got, w.env)
	}
}

func TestConvergeLogIsRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(convergeLog, strings.Repeat("x", convergeLogCap+1), 0o640)
	w.boot()
	if len(w.read(convergeLog+".1")) != convergeLogCap+1 || len(w.read(convergeLog)) != 0 {
		t.Error("a full log was not moved aside")
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	t.Parallel()
	tl := &tail{max: 2}
	for _, part := range []string{"one\ntw", "o\nthree\nfo", "ur"} {
		if n, err := tl.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("writing %q: %d, %v", part, n, err)
		}
	}
	if got := fmt.Sprint(tl.lines()); got != "[two three four]" {
		t.Errorf("kept %s, want the last two lines and the unended one", got)
	}
}
