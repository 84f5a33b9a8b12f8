package scaling

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/test/asg"
)

// machines are the instances of a region's groups, on the lab's EC2.
type machines struct {
	ec2    *ec2.Client
	groups *autoscaling.Client
	state  func(id string) (string, bool)

	mu       sync.Mutex
	known    map[string]bool // instances that the hypervisor has had
	starting map[string]bool // those that were told to, and do not yet
}

// places are the zones of the region, and those of its subnets; nil when EC2
// does not tell, which makes every name one.
func (m *machines) places() (zones []string, subnets map[string]string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	z, err := m.ec2.DescribeAvailabilityZones(ctx, &ec2.DescribeAvailabilityZonesInput{})
	if err != nil {
		return nil, nil
	}
	for _, one := range z.AvailabilityZones {
		zones = append(zones, aws.ToString(one.ZoneName))
	}
	n, err := m.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	if err != nil || len(n.Subnets) == 0 {
		return zones, nil
	}
	subnets = map[string]string{}
	for _, one := range n.Subnets {
		subnets[aws.ToString(one.SubnetId)] = aws.ToString(one.AvailabilityZone)
	}
	return zones, subnets
}

// subnet is the zone of one that was made since; "" when there is none.
func (m *machines) subnet(ctx context.Context, id string) string {
	out, err := m.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{SubnetIds: []string{id}})
	if err != nil || len(out.Subnets) == 0 {
		return ""
	}
	return aws.ToString(out.Subnets[0].AvailabilityZone)
}

// Launch starts one instance from a launch template or a launch configuration.
func (m *machines) Launch(ctx context.Context, l asg.Launch) (string, error) {
	in := &ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1)}
	if l.Configuration != "" {
		c, err := m.configuration(ctx, l.Configuration)
		if err != nil {
			return "", err
		}
		fromConfiguration(in, c)
	} else {
		in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateId: &l.TemplateID, Version: &l.Version}
	}
	if l.Token != "" {
		in.ClientToken = &l.Token
	}
	if l.Type != "" {
		in.InstanceType = types.InstanceType(l.Type)
	}
	if l.Spot {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot}
	}
	if l.Subnet != "" {
		in.SubnetId = &l.Subnet
	} else if l.Zone != "" {
		in.Placement = &types.Placement{AvailabilityZone: &l.Zone}
	}
	spec := types.TagSpecification{ResourceType: types.ResourceTypeInstance}
	for _, k := range slices.Sorted(maps.Keys(l.Tags)) {
		spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(k), Value: aws.String(l.Tags[k])})
	}
	if len(spec.Tags) > 0 {
		in.TagSpecifications = []types.TagSpecification{spec}
	}
	out, err := m.ec2.RunInstances(ctx, in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Instances[0].InstanceId), nil
}

// configuration reads a launch configuration from the service that keeps it.
func (m *machines) configuration(ctx context.Context, name string) (astypes.LaunchConfiguration, error) {
	out, err := m.groups.DescribeLaunchConfigurations(ctx, &autoscaling.DescribeLaunchConfigurationsInput{LaunchConfigurationNames: []string{name}})
	if err != nil {
		return astypes.LaunchConfiguration{}, err
	}
	if len(out.LaunchConfigurations) != 1 {
		return astypes.LaunchConfiguration{}, fmt.Errorf("launching: there is no launch configuration %s", name)
	}
	return out.LaunchConfigurations[0], nil
}

// fromConfiguration fills a launch with what a launch configuration says.
func fromConfiguration(in *ec2.RunInstancesInput, c astypes.LaunchConfiguration) {
	in.ImageId, in.InstanceType, in.KeyName, in.UserData = c.ImageId, types.InstanceType(aws.ToString(c.InstanceType)), given(c.KeyName), given(c.UserData)
	for _, g := range c.SecurityGroups {
		if len(g) > 3 && g[:3] == "sg-" {
			in.SecurityGroupIds = append(in.SecurityGroupIds, g)
		} else {
			in.SecurityGroups = append(in.SecurityGroups, g)
		}
	}
	if p := aws.ToString(c.IamInstanceProfile); p != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: &p}
		if len(p) > 4 && p[:4] == "arn:" {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: &p}
		}
	}
	if o := c.MetadataOptions; o != nil {
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensState(o.HttpTokens),
			HttpEndpoint: types.InstanceMetadataEndpointState(o.HttpEndpoint), HttpPutResponseHopLimit: o.HttpPutResponseHopLimit}
	}
}

// given is a pointer to text that is not empty.
func given(s *string) *string {
	if aws.ToString(s) == "" {
		return nil
	}
	return s
}

// Terminate ends instances.
func (m *machines) Terminate(ctx context.Context, ids []string) error {
	_, err := m.ec2.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: ids})
	return err
}

// Stop stops the instances of a warm pool.
func (m *machines) Stop(ctx context.Context, ids []string) error {
	_, err := m.ec2.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: ids})
	return err
}

// Start starts them again.
func (m *machines) Start(ctx context.Context, ids []string) error {
	if _, err := m.ec2.StartInstances(ctx, &ec2.StartInstancesInput{InstanceIds: ids}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.starting[id] = true
	}
	return nil
}

// States asks the hypervisor, so that a tick makes no calls. What it has not
// seen yet is pending; what it has forgotten is gone.
func (m *machines) States(_ context.Context, ids []string) (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]string{}
	for _, id := range ids {
		state, known := m.state(id)
		switch {
		case !known && m.known[id]:
			continue
		case !known:
			out[id] = "pending"
			continue
		case m.starting[id] && (state == "stopped" || state == "stopping"):
			state = "pending"
		case state == "running":
			delete(m.starting, id)
		}
		m.known[id], out[id] = true, state
	}
	return out, nil
}

// Resolve finds a launch template on EC2.
func (m *machines) Resolve(ctx context.Context, ref asg.TemplateRef) (asg.Template, error) {
	version := ref.Version
	if version == "" {
		version = "$Default"
	}
	out, err := m.ec2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{
		LaunchTemplateId: given(&ref.ID), LaunchTemplateName: given(&ref.Name), Versions: []string{version}})
	if err != nil {
		return asg.Template{}, err
	}
	if len(out.LaunchTemplateVersions) == 0 {
		return asg.Template{}, fmt.Errorf("the launch template %s%s has no version %s", ref.ID, ref.Name, version)
	}
	v := out.LaunchTemplateVersions[0]
	t := asg.Template{ID: aws.ToString(v.LaunchTemplateId), Name: aws.ToString(v.LaunchTemplateName), Version: fmt.Sprint(aws.ToInt64(v.VersionNumber))}
	if d := v.LaunchTemplateData; d != nil {
		t.Type, t.Image = string(d.InstanceType), aws.ToString(d.ImageId)
	}
	return t, nil
}
