package bake

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

func (p Plan) clientToken() string { return "bakehouse-" + p.BakeID }

func (p Plan) builderName() string { return "bake " + p.Recipe.Role + " " + p.BakeID }

// launch starts the builder.
func (s *Session) launch(ctx context.Context) error {
	token := s.plan.clientToken()
	data, err := builderData(s.hostKey, s.userKey, s.plan.ExpiresAt)
	if err != nil {
		return err
	}
	if err := s.journal.intend(KindInstance, token); err != nil {
		return err
	}
	id, err := creation{
		action: "ec2:RunInstances", doing: "launching a " + s.plan.Launch.InstanceType + " from " + s.plan.Recipe.Base.ID,
		create: func(ctx context.Context) (string, error) {
			out, err := s.EC2.RunInstances(ctx, s.plan.runInstances(s.group, data), once)
			if err != nil {
				return "", err
			}
			if len(out.Instances) != 1 {
				return "", fmt.Errorf("EC2 answered with %d instances", len(out.Instances))
			}
			return aws.ToString(out.Instances[0].InstanceId), nil
		},
		find:   s.findBuilder,
		refuse: func() error { return s.journal.gone(KindInstance, token) },
	}.run(ctx, s.Clock)
	if err != nil {
		return err
	}
	s.instance = id
	s.progress("%s", id)
	return s.journal.made(KindInstance, token, id)
}

// runInstances is the request for the builder: one machine that can only be
// reached by who bakes, answers no IMDSv1, and is gone when it powers off.
func (p Plan) runInstances(group, data string) *ec2.RunInstancesInput {
	l := p.Launch
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(p.Recipe.Base.ID), InstanceType: types.InstanceType(l.InstanceType),
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), ClientToken: aws.String(p.clientToken()),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorTerminate,
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpTokens: types.HttpTokensStateRequired, HttpEndpoint: types.InstanceMetadataEndpointStateEnabled},
		UserData:            aws.String(base64.StdEncoding.EncodeToString([]byte(data))),
		BlockDeviceMappings: p.devices(),
		TagSpecifications: []types.TagSpecification{
			tagSpec(types.ResourceTypeInstance, p.builderName(), p.Tags),
			tagSpec(types.ResourceTypeVolume, p.builderName(), p.Tags),
		},
	}
	if l.InstanceProfile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(l.InstanceProfile)}
	}
	if l.Address == AddressPublic {
		// Only an interface of its own can be asked to have a public address.
		nic := types.InstanceNetworkInterfaceSpecification{DeviceIndex: aws.Int32(0), Groups: []string{group},
			AssociatePublicIpAddress: aws.Bool(true), DeleteOnTermination: aws.Bool(true)}
		if l.Subnet != "" {
			nic.SubnetId = aws.String(l.Subnet)
		}
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{nic}
		return in
	}
	in.SecurityGroupIds = []string{group}
	if l.Subnet != "" {
		in.SubnetId = aws.String(l.Subnet)
	}
	return in
}

// devices makes every volume go with the builder, whatever the base says.
func (p Plan) devices() []types.BlockDeviceMapping {
	root := &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true)}
	if p.Recipe.RootGB > 0 {
		root.VolumeSize = aws.Int32(p.Recipe.RootGB)
	}
	out := []types.BlockDeviceMapping{{DeviceName: aws.String(p.Recipe.Base.RootDevice), Ebs: root}}
	for _, name := range p.Recipe.Base.OtherDevices {
		out = append(out, types.BlockDeviceMapping{DeviceName: aws.String(name), Ebs: &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true)}})
	}
	return out
}

// findBuilder finds the instance that our client token started.
func (s *Session) findBuilder(ctx context.Context) (string, error) {
	i, err := s.describe(ctx, filter("client-token", s.plan.clientToken()))
	if err != nil || i == nil {
		return "", err
	}
	return aws.ToString(i.InstanceId), nil
}

// describe returns the first instance that matches, or nil. It asks by filter:
// an id that EC2 does not know yet is an empty answer then, not an error.
func (s *Session) describe(ctx context.Context, by types.Filter) (*types.Instance, error) {
	out, err := s.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: []types.Filter{by}})
	if err != nil {
		return nil, err
	}
	for _, r := range out.Reservations {
		for i := range r.Instances {
			return &r.Instances[i], nil
		}
	}
	return nil, nil
}

// awaitState waits until the builder is in a state. Another final state ends it.
func (s *Session) awaitState(ctx context.Context, want types.InstanceStateName) (*types.Instance, error) {
	var found *types.Instance
	err := poll(ctx, s.Clock, statePace(), func(ctx context.Context) (bool, error) {
		i, err := s.describe(ctx, filter("instance-id", s.instance))
		if err != nil {
			return false, awsFault("ec2:DescribeInstances", "looking at instance "+s.instance, err)
		}
		if i == nil || i.State == nil {
			return want == types.InstanceStateNameTerminated, nil
		}
		found = i
		s.progress("%s is %s", s.instance, i.State.Name)
		if i.State.Name == want {
			return true, nil
		}
		if want != types.InstanceStateNameTerminated && oneOf(string(i.State.Name), "terminated", "shutting-down") {
			return false, died(s.instance, i)
		}
		return false, nil
	})
	return found, err
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

// boot waits until the builder runs and has the address to reach it by.
func (s *Session) boot(ctx context.Context) error {
	i, err := s.awaitState(ctx, types.InstanceStateNameRunning)
	if err != nil {
		return err
	}
	addr := aws.ToString(i.PrivateIpAddress)
	if s.plan.Launch.Address == AddressPublic {
		addr = aws.ToString(i.PublicIpAddress)
	}
	if addr == "" {
		return fault.Newf(fault.AWS, "use --address private, or a subnet that gives public addresses",
			"connecting to %s: it has no %s address", s.instance, s.plan.Launch.Address)
	}
	s.addr = net.JoinHostPort(addr, strconv.Itoa(sshPort))
	return nil
}

// connect waits for the builder's SSH, which must show the host key we made.
func (s *Session) connect(ctx context.Context) error {
	s.progress("%s", s.addr)
	m, err := s.Connect(ctx, s.target())
	if err != nil {
		if ctx.Err() == nil {
			return fault.New(fault.AWS, "check that port 22 of the builder can be reached from here", fmt.Errorf("connecting to %s: %w", s.addr, err))
		}
		return fmt.Errorf("connecting to %s: %w", s.addr, err)
	}
	s.machine = m
	return nil
}

func (s *Session) target() host.Target {
	return host.Target{Addr: s.addr, User: s.plan.Launch.SSHUser, Signer: s.userKey.signer, HostKey: s.hostKey.public}
}

// disconnect closes the connection; a connection that is broken is closed.
func (s *Session) disconnect(context.Context) error {
	if s.machine != nil {
		_ = s.machine.Close()
		s.machine = nil
	}
	return nil
}

// stop powers the builder off by the EC2 API, cleanly, with its volume whole.
func (s *Session) stop(ctx context.Context) error {
	_ = s.disconnect(ctx)
	_, err := s.EC2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{s.instance}})
	if err != nil {
		return awsFault("ec2:StopInstances", "stopping "+s.instance, err)
	}
	_, err = s.awaitState(ctx, types.InstanceStateNameStopped)
	return err
}

// terminate ends the builder, also one whose launch was never confirmed, and
// waits until EC2 has let go of its interface and volumes.
func (s *Session) terminate(ctx context.Context) error {
	token := s.plan.clientToken()
	r, ours := s.journal.get(KindInstance, token)
	if !ours {
		return nil
	}
	if s.instance = r.ID; s.instance == "" {
		id, err := lookFor(ctx, s.Clock, s.findBuilder)
		if err != nil {
			return s.unlessAbsent(KindInstance, token, err)
		}
		s.instance = id
		if err := s.journal.made(KindInstance, token, id); err != nil {
			return err
		}
	}
	err := poll(ctx, s.Clock, pace{time.Second, 2 * time.Second}, s.terminateCall())
	if err != nil {
		return err
	}
	if _, err := s.awaitState(ctx, types.InstanceStateNameTerminated); err != nil {
		return err
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
			return tries >= 5, nil
		}
		return err == nil, awsFault("ec2:TerminateInstances", "terminating "+s.instance, err)
	}
}

// unlessAbsent ends the search for something that was perhaps made: nothing
// found after a few looks means that it never was.
func (s *Session) unlessAbsent(kind Kind, name string, err error) error {
	if !errors.Is(err, errNotYet) {
		return fmt.Errorf("looking for %s %s: %w", kind, name, err)
	}
	return s.journal.gone(kind, name)
}
