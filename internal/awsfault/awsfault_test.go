package awsfault

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	smithy "github.com/aws/smithy-go"

	"bakehouse/internal/fault"
)

func TestNewAdvisesByCode(t *testing.T) {
	t.Parallel()
	for code, advice := range map[string]string{
		"UnauthorizedOperation":        "allow ec2:RunInstances to the caller",
		"AccessDeniedException":        "allow ec2:RunInstances to the caller",
		"ExpiredToken":                 "renew the AWS credentials",
		"InsufficientInstanceCapacity": "try another --instance-type",
		"RequestLimitExceeded":         "wait a little",
		"AddressLimitExceeded":         "ask AWS for a higher limit",
		"InvalidParameterValue":        "correct the setting",
		"InternalError":                "",
	} {
		err := New("ec2:RunInstances", "launching", &smithy.OperationError{ServiceID: "EC2", OperationName: "RunInstances",
			Err: &smithy.GenericAPIError{Code: code, Message: "no"}})
		if got := fault.NextOf(err); !strings.HasPrefix(got, advice) || (advice == "") != (got == "") {
			t.Errorf("%s: advice %q, want %q", code, got, advice)
		}
		if err.Error() != "launching: "+code+": no" || fault.KindOf(err) != fault.AWS {
			t.Errorf("%s reads %q of kind %v", code, err, fault.KindOf(err))
		}
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != code {
			t.Errorf("%s: the SDK's error is lost", code)
		}
	}
}

func TestNewWithoutAReplyNamesTheEndpoint(t *testing.T) {
	t.Parallel()
	err := New("ec2:RunInstances", "launching", errors.New("dial tcp: refused"))
	if got := fault.NextOf(err); !strings.Contains(got, "endpoint") {
		t.Errorf("advice %q", got)
	}
	sent := &url.Error{Op: "Post", URL: "https://ec2.example.com/", Err: errors.New("connection refused")}
	err = New("ec2:RunInstances", "launching", &smithy.OperationError{ServiceID: "EC2", OperationName: "RunInstances",
		Err: fmt.Errorf("exceeded maximum number of attempts, 6, https response error StatusCode: 0: %w", sent)})
	if want := `launching: Post "https://ec2.example.com/": connection refused`; err.Error() != want {
		t.Errorf("it reads %q, want %q", err, want)
	}
}

func TestNewKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	if err := New("ec2:X", "doing", nil); err != nil {
		t.Errorf("no error became %v", err)
	}
	if err := New("ec2:X", "doing", fmt.Errorf("call: %w", context.Canceled)); fault.KindOf(err) == fault.AWS || !errors.Is(err, context.Canceled) {
		t.Errorf("the end of a context became %v", err)
	}
	inner := fault.Newf(fault.Check, "look", "checking: wrong")
	if err := New("ec2:X", "doing", inner); fault.KindOf(err) != fault.Check || fault.NextOf(err) != "look" {
		t.Errorf("a known kind became %v, %q", fault.KindOf(err), fault.NextOf(err))
	}
}
