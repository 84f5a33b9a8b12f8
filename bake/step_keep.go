package bake

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// requireIMDSv2 has every instance of the image refuse IMDSv1, whatever its
// launch says (imds_support of ModifyImageAttribute; CreateImage has no such
// parameter). It cannot be taken back, and need not be.
func (s *Session) requireIMDSv2(ctx context.Context, i *types.Image) error {
	if i.ImdsSupport == types.ImdsSupportValuesV20 {
		return nil
	}
	_, err := s.EC2.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: aws.String(s.image),
		ImdsSupport: &types.AttributeValue{Value: aws.String(string(types.ImdsSupportValuesV20))}})
	return awsfault.New("ec2:ModifyImageAttribute", "requiring IMDSv2 of instances of "+s.image, err)
}

// checkBootMode sees that the image boots as its base does: one that lost its
// UEFI mode starts on fewer instance types, and nobody would know why.
func (s *Session) checkBootMode(i *types.Image) error {
	if want := s.plan.Recipe.Base.BootMode; string(i.BootMode) != want {
		return fault.Newf(fault.Check, "look at the instance type's boot modes and bake again", "checking image %s: its boot mode is %q, that of its base %q",
			s.image, i.BootMode, want)
	}
	return nil
}

// keep makes the image last: deprecation, no expiry any more, protection. The
// protection comes last, so that nothing after it has to remove the image.
func (s *Session) keep(ctx context.Context) error {
	in := s.plan.inputs
	if in.DeprecateAfter > 0 {
		if err := s.deprecate(ctx, s.image, s.Clock.Now().Add(in.DeprecateAfter)); err != nil {
			return err
		}
	}
	if err := s.keepImage(ctx); err != nil {
		return err
	}
	if err := s.keepCopies(ctx); err != nil {
		return err
	}
	if !in.Protect {
		return nil
	}
	_, err := s.EC2.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: aws.String(s.image)})
	return awsfault.New("ec2:EnableImageDeregistrationProtection", "protecting "+s.image, err)
}

// deprecate has EC2 stop offering the image at a time; instances of it and
// launches by its id go on. EC2 rounds to the minute.
func (s *Session) deprecate(ctx context.Context, image string, at time.Time) error {
	_, err := s.EC2.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: aws.String(image), DeprecateAt: aws.Time(at.UTC())})
	return awsfault.New("ec2:EnableImageDeprecation", "deprecating "+image+" at "+at.UTC().Format(time.RFC3339), err)
}

// unprotect takes back a protection that may or may not be on: whether it was
// shows when the image is deregistered.
func (s *Session) unprotect(ctx context.Context) {
	if s.plan.inputs.Protect {
		_, _ = s.EC2.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(s.image)})
	}
}
