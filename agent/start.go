package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"bakehouse/internal/fault"
)

const (
	defaultHealthTimeout = time.Minute
	firstPoll            = 100 * time.Millisecond
	slowestPoll          = time.Second
	oneProbe             = 5 * time.Second // time limit of a single health request
)

// start restarts the app's unit (which starts it when it is not active) and
// waits until the app says it is healthy.
func (s *session) start(ctx context.Context) error {
	unit := s.conf.App.Unit
	// Chef may have started the unit in vain until systemd gave it up; a unit
	// in that state refuses to start. Not failed is no error either.
	_ = s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"reset-failed", unit}})
	var out bytes.Buffer
	if err := s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"restart", unit}, Out: &out}); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return s.startFault(ctx, fmt.Errorf("starting %s: %w%s", unit, err, lastLine(out.String())))
	}
	if err := s.reached(UnitStarted); err != nil {
		return err
	}
	began := s.deps.Clock.Now()
	if err := s.healthy(ctx); err != nil {
		return err
	}
	s.detail = fmt.Sprintf("%s healthy after %.1f s", unit, s.deps.Clock.Now().Sub(began).Seconds())
	return nil
}

// healthy polls the health check until it passes, its time-out ends, or systemd
// says that the unit has failed for good.
func (s *session) healthy(ctx context.Context) error {
	limit := time.Duration(s.conf.App.Health.Timeout)
	if limit <= 0 {
		limit = defaultHealthTimeout
	}
	deadline := s.deps.Clock.Now().Add(limit)
	for wait := firstPoll; ; wait = min(2*wait, slowestPoll) {
		err := s.probe(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if wait >= slowestPoll && s.unitFailed(ctx) {
			return s.startFault(ctx, fmt.Errorf("waiting for %s: it has failed (%w)", s.conf.App.Unit, err))
		}
		if !s.deps.Clock.Now().Before(deadline) {
			return s.startFault(ctx, fmt.Errorf("waiting for %s: not healthy after %s: %w", s.conf.App.Unit, limit, err))
		}
		if err := s.deps.Clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// probe asks once: the health URL where there is one, else systemd.
func (s *session) probe(ctx context.Context) error {
	if s.conf.App.Health.URL == "" {
		return s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"is-active", "--quiet", s.conf.App.Unit}})
	}
	ctx, cancel := context.WithTimeout(ctx, oneProbe)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.conf.App.Health.URL, nil)
	if err != nil {
		return fault.New(fault.Usage, "correct the app's health.url in bakehouse.yaml", fmt.Errorf("asking %s: %w", s.conf.App.Health.URL, err))
	}
	res, err := s.deps.HTTP.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("GET %s: %s", s.conf.App.Health.URL, res.Status)
	}
	return nil
}

// unitFailed says whether systemd has given the unit up.
func (s *session) unitFailed(ctx context.Context) bool {
	return s.unitState(ctx)["ActiveState"] == "failed"
}

// unitState reads what systemd knows of the app's unit; nil when it says nothing.
func (s *session) unitState(ctx context.Context) map[string]string {
	var out bytes.Buffer
	err := s.deps.Runner.Run(ctx, Command{
		Path: "systemctl",
		Args: []string{"show", s.conf.App.Unit, "--property=LoadState,ActiveState,SubState,Result,ExecMainStatus,NRestarts,ConditionResult"},
		Out:  &out,
	})
	if err != nil {
		return nil
	}
	state := map[string]string{}
	for line := range strings.Lines(out.String()) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			state[key] = value
		}
	}
	return state
}

// startFault adds the unit's state to err, which is kind Check.
func (s *session) startFault(ctx context.Context, err error) error {
	if kind := fault.KindOf(err); kind == fault.Usage {
		return err
	}
	state := s.unitState(ctx)
	next := "see journalctl -u " + s.conf.App.Unit + ", push a build that starts, then: boot-agent first-boot"
	switch {
	case state == nil:
	case state["LoadState"] == "not-found":
		err = fmt.Errorf("%w; there is no such unit", err)
		next = "install unit " + s.conf.App.Unit + " in role " + s.conf.Role + ", or correct the app's unit in bakehouse.yaml"
	case state["ConditionResult"] == "no":
		err = fmt.Errorf("%w; a condition of the unit is not met", err)
	default:
		err = fmt.Errorf("%w; unit is %s (%s), result %s, exit status %s, %s restarts", err,
			state["ActiveState"], state["SubState"], state["Result"], state["ExecMainStatus"], firstOf(state["NRestarts"], "0"))
	}
	return fault.New(fault.Check, next, err)
}

// lastLine returns ": " and the last line of a program's output, or nothing.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return ": " + last
	}
	return ""
}
