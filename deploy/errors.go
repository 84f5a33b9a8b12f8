package deploy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// failed says which call on which object went wrong; action is the right that
// the call needs, for example s3:PutObject.
func (p *Publisher) failed(doing, key, action string, err error) error {
	subject := "s3://" + p.Bucket + "/" + key
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s %s: %w", doing, subject, &brief{"cut off", err})
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", doing, subject, &brief{"no answer in time", err})
	case awserr.IsNoBucket(err):
		return fault.Newf(fault.Usage, "check --bucket and the region, or create the bucket", "%s %s: there is no such bucket: %w", doing, subject, short(err))
	case strings.HasSuffix(awserr.Code(err), "TimeTooSkewed"):
		return fault.Newf(fault.AWS, "correct the clock of this machine", "%s %s: %w", doing, subject, short(err))
	case awserr.IsAuth(err):
		return fault.Newf(fault.AWS, "allow "+action+" on "+subject+", and s3:ListBucket so that a missing object is told from a forbidden one",
			"%s %s: %w", doing, subject, short(err))
	}
	next := ""
	if awserr.Code(err) == "" {
		next = "check the network, the region and AWS_ENDPOINT_URL"
	}
	return fault.Newf(fault.AWS, next, "%s %s: %w", doing, subject, short(err))
}

// brief is an error of the SDK without its account of request and attempts.
type brief struct {
	text string
	err  error
}

func (e *brief) Error() string { return e.text }
func (e *brief) Unwrap() error { return e.err }

// short keeps what S3 said or, without an answer, what the network did.
func short(err error) error {
	var said interface{ ErrorMessage() string }
	var broken *net.OpError
	switch {
	case errors.As(err, &said) && said.ErrorMessage() != "":
		return &brief{awserr.Code(err) + ": " + said.ErrorMessage(), err}
	case errors.As(err, &said):
		return &brief{awserr.Code(err), err}
	case errors.As(err, &broken):
		return &brief{broken.Error(), err}
	}
	return err
}
