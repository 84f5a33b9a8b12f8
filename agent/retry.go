package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"bakehouse/internal/fault"
)

// patience says how often and how patiently something is tried again.
type patience struct {
	For       string        // what is waited for, for the status
	Attempts  int           // at most; 0 means that only Until ends it
	Until     time.Time     // no new attempt starts after this; zero means never
	Base, Cap time.Duration // the n-th wait is random in [0, min(Cap, Base·2ⁿ))
}

// finalError marks an error that another attempt cannot cure.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// retry calls try until it succeeds, gives up, or ctx ends. The waits have full
// jitter: a whole group that boots at once must not ask in step. Errors of
// kind Usage and Check, and finalError, are not tried again.
func (a *Agent) retry(ctx context.Context, p patience, try func() error) error {
	wait, over := p.Base, func() {}
	for n := 1; ; n++ {
		err := try()
		over()
		if err == nil || ctx.Err() != nil || p.Attempts > 0 && n >= p.Attempts || isFinal(err) {
			return err
		}
		pause := rand.N(min(wait, p.Cap) + 1)
		if !p.Until.IsZero() && a.deps.Clock.Now().Add(pause).After(p.Until) {
			return err
		}
		a.deps.Events.Note("attempt failed, trying again: " + err.Error())
		// It goes on while the next attempt is under way.
		over = a.waits(Wait{For: firstOf(p.For, "another attempt"), Next: a.deps.Clock.Now().Add(pause), Until: p.Until, Attempt: n + 1, Error: err.Error()})
		if cerr := a.deps.Clock.Sleep(ctx, pause); cerr != nil {
			over()
			return errors.Join(cerr, err)
		}
		wait = min(2*wait, p.Cap) // bounded, or a long wait would overflow it
	}
}

// isFinal says that another attempt would end the same.
func isFinal(err error) bool {
	var final finalError
	var aborted abortError
	kind := fault.KindOf(err)
	return errors.As(err, &final) || errors.As(err, &aborted) || errors.Is(err, ErrRebooting) ||
		kind == fault.Usage || kind == fault.Check
}
