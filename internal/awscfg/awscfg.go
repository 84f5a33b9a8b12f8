// Package awscfg makes the one aws.Config of a process: region, credentials,
// bounded retries and user agent, from the SDK's standard sources.
package awscfg

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Options override the standard sources; the zero value takes them all.
type Options struct {
	Region    string
	Profile   string
	UserAgent string // for example bakehouse/1.2.3
}

// Load reads the standard sources. It calls no AWS service.
func Load(ctx context.Context, o Options) (aws.Config, error) {
	return aws.Config{}, errors.ErrUnsupported
}

// Check finds credentials, bounded to 5 s, so that a tool says at once that
// there are none. It calls no AWS service but a credential source.
func Check(ctx context.Context, cfg aws.Config) error { return errors.ErrUnsupported }
