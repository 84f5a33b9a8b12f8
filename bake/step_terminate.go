package bake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/await"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
)

// release asks EC2 to end the builder, which nobody needs once its image can be
// used: it ends while the bake goes on. Whether that worked is for terminate to
// see, which asks again if it did not.
func (s *Session) release(ctx context.Context) {
	if s.instance == "" {
		return
	}
	_, err := s.EC2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{s.instance}}, await.Once)
	if err == nil {
		s.ending = s.Clock.Now()
	}
}

// terminate ends the builder, also one whose launch was never confirmed. EC2
// takes no termination back ("permanent and irreversible", TerminateInstances),
// so its word is enough as long as a group of ours is deleted afterwards: EC2
// deletes none that an interface still uses. Without one, it waits for the end
// itself, because a machine that lives could still make traces elsewhere.
func (s *Session) terminate(ctx context.Context) error {
	token := s.token
	r, ours := s.journal.get(KindInstance, token)
	if !ours {
		return nil
	}
	if s.instance = r.ID; s.instance == "" {
		id, err := await.LookFor(ctx, s.Clock, s.findBuilder)
		if err != nil {
			return s.unlessAbsent(KindInstance, token, err)
		}
		s.instance = id
		if err := s.journal.made(KindInstance, token, id); err != nil {
			return err
		}
	}
	if s.ending.IsZero() {
		if err := poll(ctx, s.Clock, pace{First: time.Second, Max: 2 * time.Second}, s.terminateCall()); err != nil {
			return err
		}
		s.ending = s.Clock.Now()
	}
	if _, grouped := s.journal.get(KindSecurityGroup, s.plan.groupName()); !grouped || s.plan.tokenSuffix != "" {
		if _, err := s.awaitState(ctx, types.InstanceStateNameTerminated); err != nil {
			return err
		}
	}
	return s.journal.gone(KindInstance, token)
}

// terminateCall asks EC2 to terminate the builder. An id that EC2 does not
// know may be too new for it, so that counts only after a few tries.
func (s *Session) terminateCall() func(context.Context) (bool, error) {
	tries := 0
	return func(ctx context.Context) (bool, error) {
		tries++
		_, err := s.EC2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{s.instance}})
		if awserr.IsNotFound(err) {
			return tries >= newLooks, nil
		}
		return err == nil, awsfault.New("ec2:TerminateInstances", "terminating "+s.instance, err)
	}
}

// unlessAbsent ends the search for something that was perhaps made: nothing
// found after a few looks means that it never was.
func (s *Session) unlessAbsent(kind Kind, name string, err error) error {
	if !errors.Is(err, await.ErrNotYet) {
		return fmt.Errorf("looking for %s %s: %w", kind, name, err)
	}
	return s.journal.gone(kind, name)
}
