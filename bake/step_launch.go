package bake

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/await"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
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
			s.private = aws.ToString(out.Instances[0].PrivateIpAddress)
			return aws.ToString(out.Instances[0].InstanceId), nil
		},
		Find:   s.findBuilder,
		Refuse: func() error { return s.journal.gone(KindInstance, token) },
		Young:  s.group != s.plan.Launch.SecurityGroup, // the group is of this bake
	}.Run(ctx, s.Clock)
	if err != nil {
		return err
	}
	s.instance, s.launched = id, s.Clock.Now()
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
