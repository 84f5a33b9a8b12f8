package hypervisor

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// EC2 is a Cloud behind the EC2 API, normally the emulator itself.
type EC2 struct{ api *ec2.Client }

// NewEC2 returns a Cloud that talks to api.
func NewEC2(api *ec2.Client) EC2 { return EC2{api} }

// Instances lists every instance, terminated ones included. Instances without
// an address or a network card are left out: nothing could reach them.
func (e EC2) Instances(ctx context.Context) ([]Instance, error) {
	var all []Instance
	pages := ec2.NewDescribeInstancesPaginator(e.api, &ec2.DescribeInstancesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing instances: %w", err)
		}
		for _, r := range page.Reservations {
			for _, d := range r.Instances {
				if inst, ok := fromEC2(d); ok {
					inst.Reservation = aws.ToString(r.ReservationId)
					all = append(all, inst)
				}
			}
		}
	}
	return all, nil
}

// fromEC2 keeps an instance that has an address; a terminated one need not.
func fromEC2(d types.Instance) (Instance, bool) {
	inst := Instance{ID: aws.ToString(d.InstanceId), ImageID: aws.ToString(d.ImageId), Detail: d}
	if d.State != nil {
		inst.State = string(d.State.Name)
	}
	addr, err := netip.ParseAddr(aws.ToString(d.PrivateIpAddress))
	if err == nil {
		inst.Address = addr
	}
	for _, nic := range d.NetworkInterfaces {
		if mac, macErr := net.ParseMAC(aws.ToString(nic.MacAddress)); macErr == nil {
			inst.MAC = mac
			break
		}
	}
	dead := inst.State == "terminated" || inst.State == "shutting-down"
	return inst, inst.ID != "" && (dead || err == nil && inst.MAC != nil)
}

// UserData returns the decoded user data, nil when there is none.
func (e EC2) UserData(ctx context.Context, id string) ([]byte, error) {
	out, err := e.attribute(ctx, id, types.InstanceAttributeNameUserData)
	if err != nil {
		return nil, fmt.Errorf("reading user data of %s: %w", id, err)
	}
	if out.UserData == nil || aws.ToString(out.UserData.Value) == "" {
		return nil, nil
	}
	data, err := base64.StdEncoding.DecodeString(aws.ToString(out.UserData.Value))
	if err != nil {
		return nil, fmt.Errorf("decoding user data of %s: %w", id, err)
	}
	return data, nil
}

// PublicKey returns the public half of a key pair. A key pair deleted since the
// launch gives "": EC2 would have kept a copy, the emulator has not.
func (e EC2) PublicKey(ctx context.Context, keyName string) (string, error) {
	out, err := e.api.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{
		Filters:          []types.Filter{{Name: aws.String("key-name"), Values: []string{keyName}}},
		IncludePublicKey: aws.Bool(true),
	})
	if err != nil {
		return "", fmt.Errorf("reading key pair %s: %w", keyName, err)
	}
	for _, k := range out.KeyPairs {
		return strings.TrimSpace(aws.ToString(k.PublicKey)), nil
	}
	return "", nil
}

// defaultRootGiB is the root volume's size when EC2 does not tell one.
const defaultRootGiB = 8

// RootBytes returns the size of the volume behind the instance's root device.
func (e EC2) RootBytes(ctx context.Context, inst Instance) (int64, error) {
	var volume string
	for _, m := range inst.Detail.BlockDeviceMappings {
		if m.Ebs != nil && aws.ToString(m.DeviceName) == aws.ToString(inst.Detail.RootDeviceName) {
			volume = aws.ToString(m.Ebs.VolumeId)
		}
	}
	if volume == "" {
		return defaultRootGiB << 30, nil
	}
	out, err := e.api.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{VolumeIds: []string{volume}})
	if err != nil {
		return 0, fmt.Errorf("reading root volume of %s: %w", inst.ID, err)
	}
	for _, v := range out.Volumes {
		if size := aws.ToInt32(v.Size); size > 0 {
			return int64(size) << 30, nil
		}
	}
	return defaultRootGiB << 30, nil
}

// ShutdownBehavior returns "stop" or "terminate"; EC2's default is "stop".
func (e EC2) ShutdownBehavior(ctx context.Context, id string) (string, error) {
	out, err := e.attribute(ctx, id, types.InstanceAttributeNameInstanceInitiatedShutdownBehavior)
	if err != nil {
		return "", fmt.Errorf("reading shutdown behaviour of %s: %w", id, err)
	}
	if b := out.InstanceInitiatedShutdownBehavior; b != nil && aws.ToString(b.Value) != "" {
		return aws.ToString(b.Value), nil
	}
	return "stop", nil
}

func (e EC2) attribute(ctx context.Context, id string, name types.InstanceAttributeName) (*ec2.DescribeInstanceAttributeOutput, error) {
	return e.api.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{
		InstanceId: aws.String(id), Attribute: name,
	})
}

// Stop asks EC2 to stop an instance.
func (e EC2) Stop(ctx context.Context, id string) error {
	_, err := e.api.StopInstances(ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return fmt.Errorf("stopping %s: %w", id, err)
	}
	return nil
}

// Terminate asks EC2 to terminate an instance.
func (e EC2) Terminate(ctx context.Context, id string) error {
	_, err := e.api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		return fmt.Errorf("terminating %s: %w", id, err)
	}
	return nil
}
