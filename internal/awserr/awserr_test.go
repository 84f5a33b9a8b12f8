package awserr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// api is what an SDK call returns: operation, reply with status, API error.
func api(code string, status int) error {
	var inner error = errors.New("no body")
	if code != "" {
		inner = &smithy.GenericAPIError{Code: code, Message: "m"}
	}
	return fmt.Errorf("launching: %w", &smithy.OperationError{ServiceID: "EC2", OperationName: "X", Err: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: inner}})
}

// handmade is an error of a caller that uses no SDK.
type handmade string

func (h handmade) Error() string     { return string(h) }
func (h handmade) ErrorCode() string { return string(h) }

// classes are all predicates by name.
func classes() map[string]func(error) bool {
	return map[string]func(error) bool{"notfound": IsNotFound, "nobucket": IsNoBucket, "exists": IsExists, "inuse": IsInUse,
		"throttle": IsThrottle, "capacity": IsCapacity, "dryrun": IsDryRunOK, "auth": IsAuth, "precondition": IsPrecondition,
		"conflict": IsConflict, "lost": IsLost}
}

func TestEveryErrorIsInItsClassAlone(t *testing.T) {
	t.Parallel()
	cases := []struct {
		err   error
		class string // "" is none
	}{
		{nil, ""},
		{api("InvalidInstanceID.NotFound", 400), "notfound"}, {api("AWS.SimpleQueueService.NonExistentQueue", 400), "notfound"}, {api("InvalidAMIID.Unavailable", 400), "notfound"},
		{api("InvalidLaunchTemplateName.NotFoundException", 400), "notfound"}, {api("NoSuchKey", 404), "notfound"}, {api("NotFoundException", 400), "notfound"},
		{api("NotFound", 404), "notfound"}, {api("", 404), "notfound"}, {handmade("ParameterNotFound"), "notfound"},
		{api("NoSuchBucket", 404), "nobucket"},
		{api("InvalidGroup.Duplicate", 400), "exists"}, {api("BucketAlreadyOwnedByYou", 409), "exists"},
		{api("InvalidLaunchTemplateName.AlreadyExistsException", 400), "exists"},
		{api("DependencyViolation", 400), "inuse"}, {api("InvalidSnapshot.InUse", 400), "inuse"},
		{api("RequestLimitExceeded", 503), "throttle"}, {api("SlowDown", 503), "throttle"}, {api("x", 429), "throttle"},
		{api("InsufficientInstanceCapacity", 500), "capacity"}, {api("Unsupported", 400), "capacity"},
		{api("DryRunOperation", 412), "dryrun"},
		{api("UnauthorizedOperation", 403), "auth"}, {api("Forbidden", 403), "auth"}, {api("", 403), "auth"},
		{handmade("AccessDeniedException"), "auth"}, {api("RequestExpired", 400), "auth"},
		{api("PreconditionFailed", 412), "precondition"}, {api("", 412), "precondition"},
		{api("ConditionalRequestConflict", 409), "conflict"}, {api("", 409), "conflict"},
		{api("InternalError", 500), "lost"}, {api("", 502), "lost"}, {api("Whatever", 500), "lost"},
		{errors.New("read: connection reset by peer"), "lost"},
		{api("InvalidParameterValue", 400), ""}, {api("InvalidAMIID.Malformed", 400), ""},
		{fmt.Errorf("waiting: %w", context.Canceled), ""}, {fmt.Errorf("waiting: %w", context.DeadlineExceeded), ""},
	}
	for _, c := range cases {
		for name, is := range classes() {
			if c.class == "dryrun" && name == "precondition" {
				continue // EC2 answers a dry run with 412, which means something in S3 alone
			}
			if got := is(c.err); got != (name == c.class) {
				t.Errorf("%v (code %q, status %d): %s is %v", c.err, Code(c.err), Status(c.err), name, got)
			}
		}
	}
}

func TestAnExplicitDenyIsToldApart(t *testing.T) {
	t.Parallel()
	say := func(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }
	for err, want := range map[error]bool{
		say("UnauthorizedOperation", "You are not authorized … with an explicit deny in a service control policy"): true,
		say("UnauthorizedOperation", "… because no identity-based policy allows the ec2:StopInstances action"):     false,
		say("InvalidParameterValue", "an explicit deny"):                                                           false, nil: false,
	} {
		if IsExplicitDeny(err) != want {
			t.Errorf("%v: %v", err, !want)
		}
	}
}
