package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"bakehouse/internal/fault"
)

const (
	defaultHealthTimeout = time.Minute
	firstPoll            = 100 * time.Millisecond
	slowestPoll          = time.Second
	oneProbe             = 5 * time.Second // time limit of a single check
)

// healthy polls the checks until they have passed for Health.Hold without a
// break, the time-out ends, or systemd says that the unit has failed for good.
func (s *session) healthy(ctx context.Context) error {
	limit, hold := time.Duration(s.conf.App.Health.Timeout), time.Duration(s.conf.App.Health.Hold)
	if limit <= 0 {
		limit = defaultHealthTimeout
	}
	deadline := s.deps.Clock.Now().Add(limit)
	defer s.waits(Wait{For: s.conf.App.Unit + " to be healthy", Until: deadline.Add(hold)})()
	var since time.Time // when the checks began to pass
	for wait := firstPoll; ; wait = min(2*wait, slowestPoll) {
		err := s.probe(ctx)
		now := s.deps.Clock.Now()
		if err == nil {
			if since.IsZero() {
				since = now
			}
			left := hold - now.Sub(since)
			if left <= 0 {
				return nil
			}
			if err := s.deps.Clock.Sleep(ctx, min(left, slowestPoll)); err != nil {
				return err
			}
			continue
		}
		since = time.Time{}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case wait >= slowestPoll && s.unitFailed(ctx):
			return s.startFault(ctx, fmt.Errorf("waiting for %s: it has failed (%w)", s.conf.App.Unit, err))
		case !now.Before(deadline):
			return s.startFault(ctx, fmt.Errorf("waiting for %s: not healthy after %s: %w", s.conf.App.Unit, limit, err))
		}
		if err := s.deps.Clock.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// probe runs every check once; the first that says no is the answer.
func (s *session) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, oneProbe)
	defer cancel()
	h := s.conf.App.Health
	if h.URL == "" && h.TCP == "" && h.Command == "" {
		return s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"is-active", "--quiet", s.conf.App.Unit}})
	}
	for _, check := range []struct {
		set bool
		ask func(context.Context) error
	}{{h.URL != "", s.probeURL}, {h.TCP != "", s.probeTCP}, {h.Command != "", s.probeCommand}} {
		if check.set {
			if err := check.ask(ctx); err != nil {
				return err
			}
		}
	}
	// Whoever else holds the port may answer well while the unit restarts over
	// and over.
	if state := s.unitState(ctx); state["SubState"] == "auto-restart" || slices.Contains([]string{"failed", "inactive"}, state["ActiveState"]) {
		return fmt.Errorf("the checks pass, but not by %s: it is %s (%s)", s.conf.App.Unit, state["ActiveState"], state["SubState"])
	}
	return nil
}

// probeURL wants a 2xx answer.
func (s *session) probeURL(ctx context.Context) error {
	url := s.conf.App.Health.URL
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fault.New(fault.Usage, "correct the app's health.url in bakehouse.yaml", fmt.Errorf("asking %s: %w", url, err))
	}
	res, err := s.deps.HTTP.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	_ = res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return nil
}

// probeTCP wants a connection.
func (s *session) probeTCP(ctx context.Context) error {
	conn, err := s.deps.Dial(ctx, "tcp", s.conf.App.Health.TCP)
	if err != nil {
		return err
	}
	return conn.Close()
}

// probeCommand wants exit code 0.
func (s *session) probeCommand(ctx context.Context) error {
	var out lastBytes // it may print for as long as it runs
	err := s.inUnit(ctx, task{name: "health", dir: Layout{Root: s.conf.App.Root}.Current(), args: []string{"/bin/sh", "-c", s.conf.App.Health.Command}, limit: oneProbe, out: &out})
	var exit *ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("running %q: %w%s", s.conf.App.Health.Command, exit, lastLine(out.String()))
	}
	return err
}
