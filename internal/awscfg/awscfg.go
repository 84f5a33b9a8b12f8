// Package awscfg makes the one aws.Config of a process: region, credentials,
// bounded retries and user agent, from the SDK's standard sources. The
// endpoint is the standard AWS_ENDPOINT_URL.
package awscfg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	smithymiddleware "github.com/aws/smithy-go/middleware"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// Options override the standard sources; the zero value takes them all.
type Options struct {
	Region    string
	Profile   string
	UserAgent string // NAME/VERSION, for example bakehouse-bake-ami/1.2.3
}

// Bounds of every call.
const (
	maxAttempts   = 6 // AWS_MAX_ATTEMPTS, the SDK's own variable, wins
	maxBackoff    = 5 * time.Second
	dialTimeout   = 10 * time.Second
	answerTimeout = 60 * time.Second // from request to the reply's header
	checkTimeout  = 5 * time.Second
)

// Load reads the standard sources. It calls no AWS service. A missing region
// or profile is a fault.Usage.
func Load(ctx context.Context, o Options) (aws.Config, error) {
	opts := []func(*config.LoadOptions) error{
		config.WithRetryer(newRetryer),
		config.WithHTTPClient(httpClient()),
		config.WithAPIOptions([]func(*smithymiddleware.Stack) error{plainBodies}),
	}
	if o.Region != "" {
		opts = append(opts, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(o.Profile))
	}
	if name, version, _ := strings.Cut(o.UserAgent, "/"); name != "" {
		opts = append(opts, config.WithAPIOptions([]func(*smithymiddleware.Stack) error{middleware.AddUserAgentKeyValue(name, version)}))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	var noProfile config.SharedConfigProfileNotExistError
	switch {
	case errors.As(err, &noProfile):
		return aws.Config{}, fault.Newf(fault.Usage, "correct AWS_PROFILE or --profile, or run: aws configure --profile "+noProfile.Profile,
			"reading the AWS configuration: there is no profile %q", noProfile.Profile)
	case err != nil:
		return aws.Config{}, fault.New(fault.Usage, "look into ~/.aws/config and the AWS_ variables", fmt.Errorf("reading the AWS configuration: %s", oneLine(err)))
	case cfg.Region == "":
		return aws.Config{}, fault.Newf(fault.Usage, "set region in bakehouse.yaml, AWS_REGION or --region",
			"reading the AWS configuration: no region is set")
	}
	return cfg, nil
}

// newRetryer is the SDK's standard one, but for capacity errors: they come as
// HTTP 500 too, and are for the caller to answer with another type or zone.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.MaxBackoff = maxBackoff
		noCapacity := retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if awserr.IsCapacity(err) {
				return aws.FalseTernary
			}
			return aws.UnknownTernary
		})
		o.Retryables = append([]retry.IsErrorRetryable{noCapacity}, o.Retryables...)
	})
}

// httpClient bounds what the SDK's default leaves open: a connection that is
// accepted and never answered.
func httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) { t.ResponseHeaderTimeout = answerTimeout })
}

// Check finds credentials within 5 s, so that a tool says at once that there
// are none instead of asking an instance metadata service that is not there.
// It calls nothing but the credential source. Errors are fault.AWS.
func Check(ctx context.Context, cfg aws.Config) error {
	return check(ctx, cfg, checkTimeout)
}

func check(ctx context.Context, cfg aws.Config, timeout time.Duration) error {
	const next = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with aws sso login"
	if cfg.Credentials == nil {
		return fault.Newf(fault.AWS, next, "finding AWS credentials: no source is configured")
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := cfg.Credentials.Retrieve(bounded)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("finding AWS credentials: %w", context.Cause(ctx))
	case bounded.Err() != nil:
		return fault.Newf(fault.AWS, next, "finding AWS credentials: no source answered within %v", timeout)
	case strings.Contains(err.Error(), "no EC2 IMDS role found"):
		// The end of the SDK's chain; it has no error value for it.
		return fault.Newf(fault.AWS, next, "finding AWS credentials: none in the environment, in ~/.aws or from an instance role")
	}
	return fault.New(fault.AWS, next, fmt.Errorf("finding AWS credentials: %s", oneLine(err)))
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
