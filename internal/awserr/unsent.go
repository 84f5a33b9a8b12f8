package awserr

import (
	"errors"

	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Unsent is what kept a request from being answered, without the SDK's account
// of the call around it; any other error is returned as it is.
func Unsent(err error) error {
	var e *smithyhttp.RequestSendError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
