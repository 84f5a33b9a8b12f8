//go:build linux

package company

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"bakehouse/test/lab/hypervisor"
	"bakehouse/test/lab/imds"
)

func TestDescribeTellsAnInstanceAboutItself(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	got := describe(hypervisor.Machine{
		Instance: hypervisor.Instance{
			ID: "i-1", Reservation: "r-1", ImageID: "ami-1", Address: netip.MustParseAddr("172.31.17.4"), MAC: net.HardwareAddr{2, 0, 0, 0, 0, 4},
			Detail: types.Instance{
				InstanceType: types.InstanceTypeT3Small, LaunchTime: &at, KeyName: aws.String("lab"),
				PrivateDnsName: aws.String("ip-172-31-17-4.ec2.internal"), SubnetId: aws.String("subnet-1"), VpcId: aws.String("vpc-1"),
				RootDeviceName: aws.String("/dev/sda1"), InstanceLifecycle: types.InstanceLifecycleTypeSpot,
				Placement:          &types.Placement{AvailabilityZone: aws.String("us-east-1b")},
				Tags:               []types.Tag{{Key: aws.String("aws:autoscaling:groupName"), Value: aws.String("web")}},
				SecurityGroups:     []types.GroupIdentifier{{GroupId: aws.String("sg-1"), GroupName: aws.String("default")}},
				NetworkInterfaces:  []types.InstanceNetworkInterface{{NetworkInterfaceId: aws.String("eni-1")}},
				IamInstanceProfile: &types.IamInstanceProfile{Arn: aws.String("arn:aws:iam::1:instance-profile/web"), Id: aws.String("AIPA1")},
				MetadataOptions: &types.InstanceMetadataOptionsResponse{HttpTokens: types.HttpTokensStateRequired,
					InstanceMetadataTags: types.InstanceMetadataTagsStateEnabled},
			},
		},
		UserData: []byte("#!/bin/sh"), PublicKey: "ssh-ed25519 AAAA lab",
		Notice: &hypervisor.Notice{Action: "stop", At: at},
	})
	want := imds.Instance{
		ID: "i-1", ImageID: "ami-1", Type: "t3.small", Hostname: "ip-172-31-17-4.ec2.internal",
		PrivateIP: netip.MustParseAddr("172.31.17.4"), MAC: "02:00:00:00:00:04", AccountID: account, ReservationID: "r-1",
		Region: Region, Zone: "us-east-1b", Architecture: "x86_64", LaunchTime: at,
		KeyName: "lab", PublicKey: "ssh-ed25519 AAAA lab",
		Groups: []imds.Group{{ID: "sg-1", Name: "default"}}, InterfaceID: "eni-1",
		SubnetID: "subnet-1", SubnetCIDR: "172.31.16.0/20", VPCID: "vpc-1", VPCCIDR: "172.31.0.0/16",
		RootDevice: "/dev/sda1", Spot: true, UserData: []byte("#!/bin/sh"), Tags: map[string]string{"aws:autoscaling:groupName": "web"}, LifecycleState: "InService",
		Role:           &imds.Role{Name: "web", ProfileARN: "arn:aws:iam::1:instance-profile/web", ProfileID: "AIPA1"},
		TokensRequired: true, TagsInMetadata: true,
		SpotAction: &imds.SpotAction{Action: "stop", Time: at}, Rebalance: at.Add(-time.Second),
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("what the instance is told (-want +got):\n%s", diff)
	}
}

func TestDescribeLeavesOutWhatALaunchDidNotAskFor(t *testing.T) {
	t.Parallel()
	got := describe(hypervisor.Machine{Instance: hypervisor.Instance{ID: "i-1", Address: netip.MustParseAddr("172.31.0.4")}})
	if got.Role != nil || got.Spot || got.SpotAction != nil || got.TokensRequired || got.EndpointDisabled || !got.Rebalance.IsZero() {
		t.Errorf("a plain instance is told %+v", got)
	}
}
