package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"bakehouse/internal/fault"
)

// channelMoves bounds how often first boot follows a channel that moves while
// the app starts.
const channelMoves = 5

// startLatest starts the app, and goes on until the build that runs is the one
// that the channel names at that moment: an instance that was born during a
// deploy must not serve the old build.
func (s *session) startLatest(ctx context.Context) error {
	for range channelMoves {
		if err := s.start(ctx); err != nil {
			return err
		}
		detail := s.detail
		now, err := s.latest(ctx)
		if err != nil {
			return err
		}
		if string(now) == s.j.Build {
			s.detail = detail
			return nil
		}
		s.deps.Events.Note("the channel moved to build " + now.Short() + " meanwhile")
		if err := s.pull(ctx); err != nil {
			return err
		}
	}
	return fault.Newf(fault.Timeout, "boot-agent first-boot", "starting %s: the channel moved %d times meanwhile", s.conf.App.Unit, channelMoves)
}

// start restarts the app's unit (which starts it when it is not active) and
// waits until the app says it is healthy. A build that does not get there makes
// room for the last good one.
func (s *session) start(ctx context.Context) error {
	began := s.deps.Clock.Now()
	err := s.launch(ctx)
	var aborted abortError
	switch {
	case err == nil:
		s.detail = fmt.Sprintf("%s healthy after %.1f s", s.conf.App.Unit, s.deps.Clock.Now().Sub(began).Seconds())
		s.j.approve(s.j.Build)
		return s.save()
	case ctx.Err() != nil, errors.As(err, &aborted):
		return err
	}
	return s.rollBack(ctx, err)
}

// launch brings the live release up and returns the verdict on it.
func (s *session) launch(ctx context.Context) error {
	build := Layout{Root: s.path(s.conf.App.Root)}.Live()
	if err := s.hook(ctx, PreStart, build); err != nil {
		return err
	}
	if err := s.restart(ctx); err != nil {
		return err
	}
	if err := s.reached(UnitStarted); err != nil {
		return err
	}
	if err := s.hook(ctx, PostStart, build); err != nil {
		return err
	}
	if err := s.healthy(ctx); err != nil {
		return err
	}
	return s.hook(ctx, Verify, build)
}

// restart has systemd start the app anew.
func (s *session) restart(ctx context.Context) error {
	unit := s.conf.App.Unit
	s.launched = s.deps.Clock.Now()
	if err := s.renderUnits(ctx); err != nil {
		return err
	}
	// Chef may have started the unit in vain until systemd gave it up; a unit
	// in that state refuses to start. Not failed is no error either.
	_ = s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"reset-failed", unit}})
	var out bytes.Buffer
	err := s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"restart", unit}, Out: &out})
	if err != nil && ctx.Err() == nil {
		err = s.startFault(ctx, fmt.Errorf("starting %s: %w%s", unit, err, lastLine(out.String())))
	}
	return err
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
		if words := s.lastWords(ctx); words != "" {
			err = fmt.Errorf("%w; the last that it said%s", err, words)
		}
	}
	return fault.New(fault.Check, next, err)
}

// lastWords is what the app wrote last since it was started, in the form of
// lastLine: a port in use, for example, is known to nobody else.
func (s *session) lastWords(ctx context.Context) string {
	var out lastBytes // an entry of the journal has no bound
	// By field and not by unit: systemd's own lines about the unit are left out.
	args := []string{"--quiet", "--no-pager", "--output=cat", "--lines=1", fmt.Sprintf("--since=@%d", s.launched.Unix()), "_SYSTEMD_UNIT=" + s.conf.App.Unit}
	if err := s.deps.Runner.Run(ctx, Command{Path: "journalctl", Args: args, Out: &out}); err != nil {
		return "" // the error has been told without it
	}
	return lastLine(out.String())
}

// lastLine returns ": " and the last line of a program's output, or nothing.
func lastLine(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if last := brief(lines[len(lines)-1]); last != "" {
		return ": " + last
	}
	return ""
}

// brief makes what a program printed fit for one line of an error, which goes
// to consoles, the journal and the node: cut, and without control characters.
func brief(line string) string {
	line = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(line))
	const most = 300
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return line
}
