package await

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/smithy-go"
)

func TestANameThatIsTakenAfterALostReplyIsLookedForAgain(t *testing.T) {
	t.Parallel()
	made, looks, calls := false, 0, 0
	c := Creation{Action: "ec2:CreateImage", Doing: "creating image x",
		Create: func(context.Context) (string, error) {
			if calls++; made {
				return "", &smithy.GenericAPIError{Code: "InvalidAMIName.Duplicate", Message: "x is in use"}
			}
			made = true
			return "", errors.New("connection reset")
		},
		Find: func(context.Context) (string, error) {
			if looks++; looks <= 5 {
				return "", nil // EC2 shows it late
			}
			return "ami-1", nil
		},
		Refuse: func() error { return errors.New("it is given up") },
	}
	if id, err := c.Run(t.Context(), &stopped{}); id != "ami-1" || err != nil || calls != 2 {
		t.Errorf("%q, %v after %d calls", id, err, calls)
	}
}

func TestANameThatIsTakenFromTheFirstIsRefused(t *testing.T) {
	t.Parallel()
	refused := 0
	c := Creation{Action: "ec2:CreateImage", Doing: "creating image x",
		Create: func(context.Context) (string, error) {
			return "", &smithy.GenericAPIError{Code: "InvalidAMIName.Duplicate"}
		},
		Find:   func(context.Context) (string, error) { return "ami-foreign", nil },
		Refuse: func() error { refused++; return nil },
	}
	if id, err := c.Run(t.Context(), &stopped{}); id != "" || err == nil || refused != 1 {
		t.Errorf("%q, %v, refused %d times", id, err, refused)
	}
}

func TestARefusalAfterALostReplyDoesNotSayThatNothingWasMade(t *testing.T) {
	t.Parallel()
	calls := 0
	c := Creation{Action: "ec2:CreateSecurityGroup", Doing: "creating x",
		Create: func(context.Context) (string, error) {
			if calls++; calls == 1 {
				return "", errors.New("connection reset")
			}
			return "", &smithy.GenericAPIError{Code: "UnauthorizedOperation"}
		},
		Find:   func(context.Context) (string, error) { return "", nil },
		Refuse: func() error { t.Error("what the lost call made was given up"); return nil },
	}
	if _, err := c.Run(t.Context(), &stopped{}); err == nil || calls != 2 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
