package bake

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/await"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

func (p Plan) clientToken() string { return "bakehouse-" + p.BakeID + p.tokenSuffix }

func (p Plan) builderName() string { return "bake " + p.Recipe.Role + " " + p.BakeID }

// launch starts the builder in the first placement that AWS has capacity for.
func (s *Session) launch(ctx context.Context) error {
	data, err := s.bootData(s.plan.ExpiresAt)
	if err != nil {
		return err
	}
	return s.launchAny(ctx, "the builder", s.plan.Launch.Placements, data)
}

// launchAny walks on at once from a placement without capacity to the next.
func (s *Session) launchAny(ctx context.Context, what string, left []Placement, data string) error {
	for {
		where := left[0]
		err := s.launchAt(ctx, where, data)
		if err == nil {
			s.plan.Launch.Placement = where
			return nil
		}
		if !awserr.IsCapacity(err) {
			return err
		}
		code := awserr.Code(err)
		s.tried = append(s.tried, Attempt{where, awsfault.Brief(err).Error()})
		if left = remaining(left, where, code); len(left) == 0 {
			return s.noCapacity(what, err)
		}
		s.logf("%s: %s; trying %s", where, code, left[0])
	}
}

// noCapacity says that every placement was refused, and why.
func (s *Session) noCapacity(what string, err error) error {
	if len(s.tried) == 1 {
		return err
	}
	var codes []string
	for _, t := range s.tried {
		code, _, _ := strings.Cut(t.Reason, ":")
		codes = append(codes, t.Placement.String()+": "+code)
	}
	return fault.Newf(fault.AWS, "add another --instance-type or --subnet (for a proof, --prove-subnet) in other zones, or try later",
		"launching %s: AWS has no capacity for any of %d placements (%s): %w", what, len(s.tried), strings.Join(codes, ", "), err)
}

// launchAt asks for the builder in one placement. Every attempt has a client
// token of its own: EC2 refuses a known token with other parameters.
func (s *Session) launchAt(ctx context.Context, where Placement, data string) error {
	s.token = s.plan.clientToken()
	if n := len(s.tried); n > 0 {
		s.token += "-" + strconv.Itoa(n+1)
	}
	token := s.token
	if err := s.journal.intend(KindInstance, token); err != nil {
		return err
	}
	req := s.plan.runInstances(where, s.group, data)
	req.ClientToken = aws.String(token)
	id, err := await.Creation{
		Action: "ec2:RunInstances", Doing: "launching a " + where.String() + " from " + s.plan.Recipe.Base.ID,
		Create: func(ctx context.Context) (string, error) {
			out, err := s.EC2.RunInstances(ctx, req, await.Once)
			if err != nil {
				return "", err
			}
			if len(out.Instances) != 1 {
				return "", fmt.Errorf("EC2 answered with %d instances", len(out.Instances))
			}
			return aws.ToString(out.Instances[0].InstanceId), nil
		},
		Find:   s.findBuilder,
		Refuse: func() error { return s.journal.gone(KindInstance, token) },
		Young:  s.group != s.plan.Launch.SecurityGroup, // the group is of this bake
	}.Run(ctx, s.Clock)
	if err != nil {
		return err
	}
	s.instance = id
	s.progress("%s", id)
	return s.journal.made(KindInstance, token, id)
}

// runInstances is the request for the builder: one machine that can only be
// reached by who bakes, answers no IMDSv1, and is gone when it powers off.
func (p Plan) runInstances(where Placement, group, data string) *ec2.RunInstancesInput {
	l := p.Launch
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(p.Recipe.Base.ID), InstanceType: types.InstanceType(where.InstanceType),
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorTerminate,
		MetadataOptions:                   l.Metadata.request(),
		InstanceMarketOptions:             market(where.Market),
		UserData:                          aws.String(base64.StdEncoding.EncodeToString([]byte(data))),
		BlockDeviceMappings:               p.devices(),
		TagSpecifications: []types.TagSpecification{
			tagSpec(types.ResourceTypeInstance, p.builderName(), p.Tags),
			tagSpec(types.ResourceTypeVolume, p.builderName(), p.Tags),
		},
	}
	p.inputs.reserve(in)
	if l.InstanceProfile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(l.InstanceProfile)}
	}
	if l.Address == AddressPublic {
		// Only an interface of its own can be asked to have a public address.
		nic := types.InstanceNetworkInterfaceSpecification{DeviceIndex: aws.Int32(0), Groups: []string{group},
			AssociatePublicIpAddress: aws.Bool(true), DeleteOnTermination: aws.Bool(true)}
		if where.Subnet != "" {
			nic.SubnetId = aws.String(where.Subnet)
		}
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{nic}
		return in
	}
	if group != "" {
		in.SecurityGroupIds = []string{group}
	}
	if where.Subnet != "" {
		in.SubnetId = aws.String(where.Subnet)
	}
	return in
}

// request asks for IMDSv2 only, always.
func (m Metadata) request() *types.InstanceMetadataOptionsRequest {
	out := &types.InstanceMetadataOptionsRequest{HttpPutResponseHopLimit: unlessZero(m.HopLimit),
		HttpTokens: types.HttpTokensStateRequired, HttpEndpoint: types.InstanceMetadataEndpointStateEnabled}
	if m.Tags {
		out.InstanceMetadataTags = types.InstanceMetadataTagsStateEnabled
	}
	return out
}

// market asks for a spot instance at up to the on-demand price. One-time
// requests leave nothing behind when the instance is gone.
func market(name string) *types.InstanceMarketOptionsRequest {
	if name != MarketSpot {
		return nil
	}
	return &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot, SpotOptions: &types.SpotMarketOptions{
		SpotInstanceType: types.SpotInstanceTypeOneTime, InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate}}
}

// devices makes every volume go with the builder, whatever the base says, and
// encrypts it from its first block on, if it is to be.
func (p Plan) devices() []types.BlockDeviceMapping {
	d := p.Recipe.Disk
	volume := func() *types.EbsBlockDevice {
		v := &types.EbsBlockDevice{DeleteOnTermination: aws.Bool(true)}
		if d.Encrypted {
			v.Encrypted = aws.Bool(true)
		}
		if d.KMSKey != "" {
			v.KmsKeyId = aws.String(d.KMSKey)
		}
		return v
	}
	root := volume()
	root.VolumeType = types.VolumeType(d.Type)
	root.VolumeSize, root.Iops, root.Throughput = unlessZero(int(p.Recipe.RootGB)), unlessZero(d.IOPS), unlessZero(d.Throughput)
	out := []types.BlockDeviceMapping{{DeviceName: aws.String(p.Recipe.Base.RootDevice), Ebs: root}}
	for _, name := range p.Recipe.Base.OtherDevices {
		out = append(out, types.BlockDeviceMapping{DeviceName: aws.String(name), Ebs: volume()})
	}
	return out
}

// unlessZero leaves a setting of 0 to EC2.
func unlessZero(n int) *int32 {
	if n == 0 {
		return nil
	}
	return aws.Int32(int32(n))
}

// findBuilder finds the instance that our client token started.
func (s *Session) findBuilder(ctx context.Context) (string, error) {
	i, err := s.describe(ctx, ami.Filter("client-token", s.token))
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
	wait := pollLater
	if want == types.InstanceStateNameTerminated { // an undo may come long after the call
		wait = poll
	}
	err := wait(ctx, s.Clock, statePace(), func(ctx context.Context) (bool, error) {
		i, err := s.describe(ctx, ami.Filter("instance-id", s.instance))
		if err != nil {
			return false, awsfault.New("ec2:DescribeInstances", "looking at instance "+s.instance, err)
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
	if s.bySSM() {
		return nil
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

// connect waits until the builder answers; over SSH it must show the host key
// that we made.
func (s *Session) connect(ctx context.Context) error {
	s.progress("%s", s.place())
	m, err := s.reach(ctx)
	if err != nil {
		if ctx.Err() == nil {
			return fault.New(fault.AWS, s.unreachable(), fmt.Errorf("connecting to %s: %w", s.place(), err))
		}
		return fmt.Errorf("connecting to %s: %w", s.place(), err)
	}
	s.machine = m
	return nil
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

// stop powers the builder off by the EC2 API, cleanly, with its volume whole.
// EC2 cannot stop an instance of a one-time spot request; CreateImage then
// shuts it down itself for the snapshot, as it does with every running one.
func (s *Session) stop(ctx context.Context) error {
	_ = s.disconnect(ctx)
	if s.plan.Launch.Market == MarketSpot {
		s.logf("a spot instance cannot be stopped; EC2 shuts it down for the snapshot")
		return nil
	}
	_, err := s.EC2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{s.instance}})
	if err != nil {
		return awsfault.New("ec2:StopInstances", "stopping "+s.instance, err)
	}
	_, err = s.awaitState(ctx, types.InstanceStateNameStopped)
	return err
}

// terminate ends the builder, also one whose launch was never confirmed, and
// waits until EC2 has let go of its interface and volumes.
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
	err := poll(ctx, s.Clock, pace{First: time.Second, Max: 2 * time.Second}, s.terminateCall())
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
