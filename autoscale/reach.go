package autoscale

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
)

// unreached says that no answer came at all.
func unreached(err error) bool {
	var sent *url.Error
	return awserr.Code(err) == "" && errors.As(err, &sent) && !errors.Is(err, context.Canceled)
}

// brief is what went wrong with a call without what the SDK says around it.
func brief(err error) error {
	var sent *url.Error
	if unreached(err) && errors.As(err, &sent) {
		return fmt.Errorf("no answer from %s: %w", sent.URL, sent.Err)
	}
	return awsfault.Brief(err)
}
