package bake

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bakehouse/internal/awserr"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// awsFault gives a failed AWS call its kind and the step to take. action is
// the IAM action, for example ec2:RunInstances.
func awsFault(action, doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	var known *fault.Error
	if errors.As(err, &known) || ended(err) {
		return wrapped
	}
	return fault.New(fault.AWS, awsNext(action, err), fmt.Errorf("%s: %w", doing, brief{err}))
}

// brief is an AWS error that reads as code and message. The SDK's own text
// adds service, operation, status and request id around them.
type brief struct{ error }

// Error reads "CODE: MESSAGE".
func (b brief) Error() string {
	var api interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(b.error, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	return b.error.Error()
}

// Unwrap gives errors.As the SDK's error.
func (b brief) Unwrap() error { return b.error }

// ended says that a call failed only because its context ended.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func awsNext(action string, err error) string {
	code := awserr.Code(err)
	switch {
	case strings.Contains(code, "UnauthorizedOperation") || strings.HasPrefix(code, "AccessDenied"):
		return "allow " + action + " to the caller (aws sts get-caller-identity says who that is)"
	case awserr.IsAuth(err):
		return "renew the AWS credentials (aws sts get-caller-identity tells whether they work)"
	case awserr.IsCapacity(err):
		return "try another --instance-type or a --subnet in another zone"
	case awserr.IsThrottle(err):
		return "wait a little: AWS limits how often " + action + " may be called"
	case strings.HasSuffix(code, "LimitExceeded"):
		return "ask AWS for a higher limit, or remove what is not used"
	case strings.HasPrefix(code, "Invalid") || strings.HasPrefix(code, "Unsupported"):
		return "correct the setting that EC2's message names"
	case code == "":
		return "check that the region's endpoint can be reached from here"
	}
	return ""
}

// chefFault gives a failed call to the Chef server its kind and next step.
func chefFault(doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	if ended(err) || fault.NextOf(err) != "" {
		return keepKind(err, fault.Chef, wrapped)
	}
	next := "check that the Chef server can be reached from here"
	switch {
	case errors.Is(err, chefapi.ErrUnauthorized):
		next = "check --chef-client and --chef-key: the server does not know that name with that key (or the clocks differ by over 15 minutes)"
	case errors.Is(err, chefapi.ErrForbidden):
		next = "give the Chef client the right to do this, or use an admin's key"
	case errors.Is(err, chefapi.ErrNotFound):
		next = "upload it to the Chef server (knife upload), or correct the name"
	}
	return fault.New(fault.Chef, next, wrapped)
}

// keepKind classifies wrapped as kind unless its cause has a kind or is the
// end of the context.
func keepKind(cause error, kind fault.Kind, wrapped error) error {
	var known *fault.Error
	if errors.As(cause, &known) || ended(cause) {
		return wrapped
	}
	return fault.New(kind, "", wrapped)
}

// diskFull says whether a guest's words are about a full disk.
func diskFull(text string) bool {
	return strings.Contains(strings.ToLower(text), "no space left on device") || strings.Contains(text, "ENOSPC")
}

// guestFault classifies a failure inside the guest; output is what the guest
// said. A full disk has one cause and one remedy wherever it shows.
func guestFault(kind fault.Kind, doing string, err error, output string) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	if diskFull(output) || diskFull(err.Error()) {
		return fault.New(kind, "raise --root-volume-gb (bake.root_volume_gb)", fmt.Errorf("%s: the builder's disk is full: %w", doing, err))
	}
	return keepKind(err, kind, wrapped)
}
