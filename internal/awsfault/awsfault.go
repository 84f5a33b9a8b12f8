// Package awsfault gives failed AWS calls their kind and the step to take: the
// one place that turns an AWS error code into advice.
package awsfault

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// New gives a failed AWS call its kind (fault.AWS) and the step to take; nil
// stays nil, and the end of a context stays what it is. action is
// the IAM action, for example ec2:RunInstances.
func New(action, doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	var known *fault.Error
	if errors.As(err, &known) || ended(err) {
		return wrapped
	}
	return fault.New(fault.AWS, next(action, err), fmt.Errorf("%s: %w", doing, brief{err}))
}

// Brief is err, read as code and message only.
func Brief(err error) error { return brief{err} }

// brief is an AWS error that reads as code and message. The SDK's own text
// adds service, operation, status and request id around them.
type brief struct{ error }

// Error reads "CODE: MESSAGE", or which endpoint could not be reached and why.
func (b brief) Error() string {
	var api interface {
		ErrorCode() string
		ErrorMessage() string
	}
	if errors.As(b.error, &api) {
		return api.ErrorCode() + ": " + api.ErrorMessage()
	}
	var unsent *url.Error
	if errors.As(b.error, &unsent) {
		return unsent.Error() // method, endpoint and why: the SDK's count of attempts says no more
	}
	return b.error.Error()
}

// Unwrap gives errors.As the SDK's error.
func (b brief) Unwrap() error { return b.error }

// ended says that a call failed only because its context ended.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func next(action string, err error) string {
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
