package awserr

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/smithy-go"
)

func TestWhatIsUnseenIsToldFromWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&smithy.GenericAPIError{Code: "ValidationError", Message: "AutoScalingGroup name not found - web"}, true},
		{&smithy.GenericAPIError{Code: "ValidationError", Message: "The specified launch template, with template name web, does not exist."}, true},
		{&smithy.GenericAPIError{Code: "ValidationError", Message: "Max bound, 1, must be greater than or equal to min bound, 2"}, false},
		{&smithy.GenericAPIError{Code: "InvalidLaunchTemplateName.NotFoundException"}, true},
		{errors.New("not found"), false},
		{nil, false},
	} {
		if got := IsUnseen(c.err); got != c.want {
			t.Errorf("%v: %t", c.err, got)
		}
	}
}

func TestWhatPassesIsToldFromARefusal(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"Throttling": true, "InternalFailure": true, "AccessDenied": false, "ValidationError": false} {
		if got := IsPassing(&smithy.GenericAPIError{Code: code}); got != want {
			t.Errorf("%s: %t, want %t", code, got, want)
		}
	}
	if !IsPassing(errors.New("connection reset")) || IsPassing(nil) || IsPassing(context.Canceled) {
		t.Error("a lost reply passes; no error and the caller's own end do not")
	}
}

func TestARefreshInTheWayHasACodeOrWords(t *testing.T) {
	t.Parallel()
	words := &smithy.GenericAPIError{Code: "ValidationError", Message: "An active instance refresh with a desired configuration exists."}
	for _, yes := range []error{words, api("InstanceRefreshInProgress", 400)} {
		if !IsRefreshing(yes) {
			t.Errorf("%v is not known as a refresh in the way", yes)
		}
	}
	for _, no := range []error{nil, api("ValidationError", 400), &smithy.GenericAPIError{Code: "AccessDenied", Message: "no active instance refresh"}} {
		if IsRefreshing(no) {
			t.Errorf("%v is taken for a refresh in the way", no)
		}
	}
}
