package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

// unit plays systemctl for an app unit in the given state.
func unit(state string) func([]string, io.Writer) error {
	return func(args []string, out io.Writer) error {
		if args[0] == "show" {
			fmt.Fprint(out, state)
		}
		return nil
	}
}

func TestAppThatTakesAMomentIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.health = func(n int) (int, error) {
		switch {
		case n < 5:
			return 0, syscall.ECONNREFUSED
		case n < 9:
			return http.StatusServiceUnavailable, nil
		}
		return http.StatusNoContent, nil
	}
	w.boot()
	if w.healthAsks != 9 {
		t.Errorf("%d health requests, want 9", w.healthAsks)
	}
}

func TestAppThatNeverAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.Health.Timeout = agentconf.Duration(30 * time.Second)
	w.health = func(int) (int, error) { return 0, errors.New("connection refused") }
	w.systemctl = unit("LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nExecMainStatus=203\nNRestarts=7\nConditionResult=yes\n")
	began := w.Now()
	err := w.fails(fault.Check, "web.service", "30s", "connection refused", "auto-restart", "exit status 203", "7 restarts")
	if !strings.Contains(fault.NextOf(err), "journalctl -u web.service") {
		t.Errorf("next step is %q", fault.NextOf(err))
	}
	if took := w.Now().Sub(began); took < 30*time.Second || took > 33*time.Second {
		t.Errorf("gave up after %s, want 30s", took)
	}
	w.health, w.systemctl = nil, nil
	w.boot()
}

func TestUnitThatFailedForGoodIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.health = func(int) (int, error) { return 0, errors.New("connection refused") }
	w.systemctl = unit("LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainStatus=1\nNRestarts=0\nConditionResult=yes\n")
	began := w.Now()
	w.fails(fault.Check, "has failed", "exit status 1")
	if took := w.Now().Sub(began); took > 5*time.Second {
		t.Errorf("gave up only after %s", took)
	}
}

func TestHealthThatSaysNo(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 404, 500} {
		w := newWorld(t)
		w.health = func(int) (int, error) { return status, nil }
		w.fails(fault.Check, fmt.Sprint(status), "http://127.0.0.1:8080/healthz")
	}
}

func TestUnitThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.systemctl = func(args []string, out io.Writer) error {
		switch args[0] {
		case "show":
			fmt.Fprint(out, "LoadState=not-found\nActiveState=inactive\n")
		case "restart":
			fmt.Fprint(out, "Failed to restart web.service: Unit web.service not found.\n")
			return &ExitError{Code: 5}
		}
		return nil
	}
	err := w.fails(fault.Check, "exit code 5", "no such unit")
	if !strings.Contains(fault.NextOf(err), "role web") {
		t.Errorf("next step is %q, want the role named", fault.NextOf(err))
	}
}

func TestWithoutHealthURLSystemdIsAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.Health.URL = ""
	asked := 0
	w.systemctl = func(args []string, _ io.Writer) error {
		if args[0] == "is-active" {
			if asked++; asked < 3 {
				return &ExitError{Code: 3}
			}
		}
		return nil
	}
	w.boot()
	if asked != 3 || w.healthAsks != 0 {
		t.Errorf("systemd was asked %d times, HTTP %d times; want 3 and 0", asked, w.healthAsks)
	}
}

func TestTwoRunsDoNotCollide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.agent()
	unlock, err := a.lock(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	path := w.root + agentconf.StateDir + "/lock"
	if !locked(path) {
		t.Error("the lock of a run at work does not show")
	}
	if err := w.agent().Deploy(context.Background()); fault.KindOf(err) != fault.Timeout {
		t.Errorf("a second run ended with %v, want a time-out after waiting", err)
	}
	unlock()
	if locked(path) {
		t.Error("the lock shows after the run")
	}
	w.deploys()
}
