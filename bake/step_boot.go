package bake

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// silence is the default of World.Silence. It doubles each further time.
const silence = 20 * time.Second

// awaitState waits until the builder is in a state that it was asked into this
// moment. Another final state ends it.
func (s *Session) awaitState(ctx context.Context, want types.InstanceStateName) (*types.Instance, error) {
	var found *types.Instance
	pace := statePace()
	if want == types.InstanceStateNameTerminated {
		pace.Soon = s.due()
	}
	err := pollLater(ctx, s.Clock, pace, func(ctx context.Context) (bool, error) {
		i, err := s.look(ctx)
		if err != nil {
			return false, err
		}
		if i == nil || i.State == nil {
			return want == types.InstanceStateNameTerminated, nil
		}
		found = i
		s.progress("%s is %s", s.instance, i.State.Name)
		if i.State.Name == want {
			return true, nil
		}
		if want != types.InstanceStateNameTerminated && over(i) {
			return false, died(s.instance, i)
		}
		return false, nil
	})
	return found, err
}

// look returns the builder as EC2 shows it; nil: it is too new for EC2, or gone
// for long.
func (s *Session) look(ctx context.Context) (*types.Instance, error) {
	i, err := s.describe(ctx, ami.Filter("instance-id", s.instance))
	return i, awsfault.New("ec2:DescribeInstances", "looking at instance "+s.instance, err)
}

// over says that an instance will never run again.
func over(i *types.Instance) bool {
	return i.State != nil && oneOf(string(i.State.Name), "terminated", "shutting-down")
}

// died says why EC2 ended the builder by itself.
func died(id string, i *types.Instance) error {
	why := "no reason given"
	if i.StateReason != nil {
		why = aws.ToString(i.StateReason.Message)
	}
	return fault.Newf(fault.AWS, "look up the reason (volume limits and KMS keys are the usual ones) and bake again",
		"waiting for instance %s: it was terminated: %s", id, why)
}

// boot learns the address to reach the builder by. The reply to the launch has
// a private one, and then nothing is asked: SSH itself tells when the builder
// runs. A public one is given only once it does.
func (s *Session) boot(ctx context.Context) error {
	private := s.plan.Launch.Address != AddressPublic
	if private && s.private != "" && !s.bySSM() {
		s.addr = net.JoinHostPort(s.private, strconv.Itoa(sshPort))
		return nil
	}
	i, err := s.awaitState(ctx, types.InstanceStateNameRunning)
	if err != nil || s.bySSM() {
		return err
	}
	addr := aws.ToString(i.PrivateIpAddress)
	if !private {
		addr = aws.ToString(i.PublicIpAddress)
	}
	if addr == "" {
		return fault.Newf(fault.AWS, "use --address private, or a subnet that gives public addresses",
			"connecting to %s: it has no %s address", s.instance, s.plan.Launch.Address)
	}
	s.addr = net.JoinHostPort(addr, strconv.Itoa(sshPort))
	return nil
}

// connect waits until the builder answers; over SSH it must show the host key
// that we made.
func (s *Session) connect(ctx context.Context) error {
	s.progress("%s", s.place())
	m, err := s.answered(ctx)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", s.place(), err)
	}
	s.machine, s.booted = m, s.Clock.Now().Sub(s.launched)
	return nil
}

// answered is the builder as soon as it answers. One that stays silent may have
// been ended by EC2, and then there is nothing to wait for.
func (s *Session) answered(ctx context.Context) (Machine, error) {
	if s.bySSM() { // boot has seen it run
		m, err := s.reach(ctx)
		return m, s.unreached(ctx, err)
	}
	for patience := cmp.Or(s.Silence, silence); ; patience *= 2 {
		short, cancel := context.WithTimeout(ctx, patience)
		m, err := s.reach(short)
		silent := short.Err() != nil
		cancel()
		if err == nil || !silent || ctx.Err() != nil {
			return m, s.unreached(ctx, err)
		}
		i, lerr := s.look(ctx)
		switch {
		case lerr != nil:
			return nil, lerr
		case i != nil && over(i):
			return nil, died(s.instance, i)
		case i != nil && i.State != nil:
			s.progress("%s is %s and does not answer yet", s.instance, i.State.Name)
		}
	}
}

// unreached says what to do about a builder that cannot be reached.
func (s *Session) unreached(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return fault.New(fault.AWS, s.unreachable(), err)
}

func (s *Session) target() host.Target {
	return host.Target{Addr: s.addr, User: s.plan.Launch.SSHUser, Signer: s.userKey.signer, HostKey: s.hostKey.public, Via: s.plan.bastion}
}

// disconnect closes the connection; a connection that is broken is closed.
func (s *Session) disconnect(context.Context) error {
	if s.machine != nil {
		_ = s.machine.Close()
		s.machine = nil
	}
	return nil
}
