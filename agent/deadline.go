package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

const defaultRegister = 10 * time.Minute

// limit is until when something is tried, and by whose order.
type limit struct {
	until   time.Time
	within  time.Duration
	setting string // of bakehouse.yaml
}

// registerLimit is how long registering is tried, one deadline for client and
// node: agent.register_within, or less where a launch hook waits for this
// instance and will be told ABANDON before that.
func (s *session) registerLimit() limit {
	now, within := s.deps.Clock.Now(), time.Duration(s.conf.Chef.RegisterWithin)
	if within <= 0 {
		within = defaultRegister
	}
	l := limit{now.Add(within), within, "agent.register_within"}
	if s.launchHook() == nil {
		return l
	}
	if end := s.launchEnd(); end.Before(l.until) {
		l = limit{end, max(end.Sub(now), 0), "what agent.launch_within leaves"}
	}
	return l
}

// try asks server by do until the limit. Each attempt holds several of chefapi's own,
// which span a restart of the server; these span a group that boots at once
// against a server that can take few of it at a time.
func (l limit) try(ctx context.Context, s *session, server string, do func(context.Context) error) error {
	// An attempt that hangs ends with the limit, too.
	limited, cancel := context.WithTimeout(ctx, max(l.until.Sub(s.deps.Clock.Now()), 0))
	defer cancel()
	p := patience{For: server, Until: l.until, Base: 2 * time.Second, Cap: 30 * time.Second}
	err := s.retry(limited, p, func() error { return do(limited) })
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil, isFinal(err), answered(err):
		return s.chefFault(err)
	}
	next := firstOf(fault.NextOf(s.chefFault(err)), "see boot-agent status") + "; " + l.setting + " is the time for it"
	return fault.New(fault.Timeout, next, fmt.Errorf("giving up on %s after %s (%s): %w", server, l.within.Round(time.Second), l.setting, err))
}

// answered says that the error is a refusal that was tried again in vain, as a
// signature that a clock had spoilt or a right that was not there yet, and not
// the silence of a server.
func answered(err error) bool {
	return errors.Is(err, chefapi.ErrUnauthorized) || errors.Is(err, chefapi.ErrForbidden) || fault.KindOf(err) == fault.AWS
}
