package deploy

import (
	"context"
	"errors"
	"fmt"

	"bakehouse/internal/fault"
)

// answer is what the SDK's errors have when S3 answered.
type answer interface {
	error
	ErrorCode() string
	ErrorMessage() string
}

func code(err error) string {
	var api answer
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func isNotFound(err error) bool     { c := code(err); return c == "NoSuchKey" || c == "NotFound" }
func isNoBucket(err error) bool     { return code(err) == "NoSuchBucket" }
func isPrecondition(err error) bool { return code(err) == "PreconditionFailed" }
func isConflict(err error) bool {
	c := code(err)
	return c == "ConditionalRequestConflict" || c == "OperationAborted"
}

func isAuth(err error) bool {
	switch code(err) {
	case "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken":
		return true
	}
	return false
}

// failed says which call on which object went wrong; action is the right that
// the call needs, for example s3:PutObject.
func (p *Publisher) failed(doing, key, action string, err error) error {
	subject := "s3://" + p.Bucket + "/" + key
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", doing, subject, err)
	case isNoBucket(err):
		return fault.Newf(fault.Usage, "check --bucket and the region, or create the bucket", "%s %s: there is no such bucket: %w", doing, subject, short(err))
	case isAuth(err):
		return fault.Newf(fault.AWS, "allow "+action+" on "+subject+", and s3:ListBucket so that a missing object is told from a forbidden one",
			"%s %s: %w", doing, subject, short(err))
	}
	return fault.Newf(fault.AWS, "", "%s %s: %w", doing, subject, short(err))
}

// apiError prints what S3 said without the SDK's account of the request.
type apiError struct {
	code, message string
	err           error
}

func (e *apiError) Error() string {
	if e.message == "" {
		return e.code
	}
	return e.code + ": " + e.message
}

func (e *apiError) Unwrap() error { return e.err }

func short(err error) error {
	var api answer
	if !errors.As(err, &api) {
		return err
	}
	return &apiError{api.ErrorCode(), api.ErrorMessage(), err}
}
