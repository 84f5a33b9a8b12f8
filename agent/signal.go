package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// Tags that CloudFormation puts on what it makes; a group hands them on to its
// instances.
const (
	TagStack   = "aws:cloudformation:stack-name"
	TagLogical = "aws:cloudformation:logical-id"
)

const (
	signalSuccess = "SUCCESS"
	signalFailure = "FAILURE"
)

// Signal tells a CloudFormation stack of the outcome of first boot: what
// cfn-signal does, for a resource with a CreationPolicy or an UpdatePolicy
// that waits for signals.
type Signal struct {
	Stack    string `json:"stack,omitempty"`    // "" when the instance belongs to none
	Resource string `json:"resource,omitempty"` // logical id
	Instance string `json:"-"`                  // makes the signal unique, as CloudFormation asks of groups
	Status   string `json:"status,omitempty"`   // SUCCESS or FAILURE
}

// Stacks takes signals for CloudFormation.
type Stacks interface {
	// Signal is no error for a stack that does not wait for it any more.
	Signal(ctx context.Context, s Signal) error
}

// signal tells the stack once how first boot went. Whoever waits in a warm pool
// serves nothing yet and says nothing.
func (s *session) signal(ctx context.Context, n Notice, outcome error) error {
	if !s.conf.Group.SignalStack || s.j.Signal != nil || outcome == nil && n.warmed() {
		return nil
	}
	sig := Signal{Stack: s.j.Identity.Tags[TagStack], Resource: s.j.Identity.Tags[TagLogical], Instance: s.j.InstanceID, Status: signalSuccess}
	if outcome != nil {
		sig.Status = signalFailure
	}
	if sig.Stack == "" || sig.Resource == "" {
		s.deps.Events.Note("no stack to signal: the instance has no tags " + TagStack + " and " + TagLogical + " in its metadata")
		sig = Signal{}
	} else if err := s.signalStack(ctx, sig); err != nil {
		return err
	}
	s.j.Signal = &sig
	return s.save()
}

func (s *session) signalStack(ctx context.Context, sig Signal) error {
	cloud, err := s.connect(ctx)
	if err != nil {
		return err
	}
	p := patience{For: "stack " + sig.Stack + " to take the signal", Attempts: 6, Base: time.Second, Cap: 15 * time.Second}
	if err := s.retry(ctx, p, func() error { return cloud.Stacks.Signal(ctx, sig) }); err != nil {
		return fault.New(fault.AWS, "give the instance profile cloudformation:SignalResource on stack "+sig.Stack,
			fmt.Errorf("signalling %s of stack %s: %w", sig.Resource, sig.Stack, err))
	}
	s.deps.Events.Note("signalled " + sig.Resource + " of stack " + sig.Stack + ": " + sig.Status)
	return s.reached(StackSignalled)
}

// stacks is Stacks over the CloudFormation API.
type stacks struct{ api *jsonAPI }

// Signal implements Stacks.
func (c *stacks) Signal(ctx context.Context, s Signal) error {
	err := c.api.query(ctx, "cloudformation", url.Values{"Action": {"SignalResource"}, "Version": {"2010-05-15"},
		"StackName": {s.Stack}, "LogicalResourceId": {s.Resource}, "UniqueId": {s.Instance}, "Status": {s.Status}})
	// A stack that is complete, gone, or has had this signal refuses it, and has
	// no other code for that.
	if awserr.Code(err) == "ValidationError" {
		return nil
	}
	return err
}

// tellOutcome tells stack and group how first boot went; the stack first,
// because a group that is told ABANDON ends the machine. What was interrupted,
// or reboots, is not over.
func (s *session) tellOutcome(ctx context.Context, n Notice, err error) error {
	var aborted abortError
	if ctx.Err() != nil || errors.As(err, &aborted) || errors.Is(err, ErrRebooting) {
		return nil
	}
	signalled := s.signal(ctx, n, err)
	if errors.As(signalled, &aborted) {
		return signalled
	}
	return errors.Join(signalled, s.answer(ctx, n, err))
}

// told says that nobody waits for the outcome any more.
func (a *Agent) told(j *Journal) bool {
	return (a.conf.Group.LaunchHook == "" || j.Hook != nil) && (!a.conf.Group.SignalStack || j.Signal != nil)
}
