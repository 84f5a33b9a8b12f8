//go:build linux

package company

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/jonboulle/clockwork"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/lab/hypervisor"
	"bakehouse/test/lab/imds"
)

// account is the emulator's; EC2 shows it as the owner of everything.
const account = "123456789012"

// metadata serves 169.254.169.254.
func (c *company) metadata() (http.Handler, error) {
	authority, err := imds.NewAuthority(time.Now())
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(IdentityCert(c.cfg.RunDir), authority.PEM(), 0o644); err != nil {
		return nil, fmt.Errorf("writing the certificate of identity documents: %w", err)
	}
	return imds.NewSigned(guestsByAddress{c.parts.hyper, c.target}, clockwork.NewRealClock(), authority), nil
}

// session tells the gateway whose role session an access key is.
func (c *company) session(accessKey string) (gateway.Session, bool) {
	for _, m := range c.parts.hyper.Machines() {
		if imds.AccessKeyID(m.Instance.ID) != accessKey || m.Instance.Detail.IamInstanceProfile == nil {
			continue
		}
		secret, token := imds.Secret(m.Instance.ID)
		return gateway.Session{Account: account, Role: describe(m).Role.Name, Name: m.Instance.ID, Secret: secret, Token: token}, true
	}
	return gateway.Session{}, false
}

// target is where the group of an instance is said to take it. The gateway
// starts after the metadata service, and before any guest.
func (c *company) target(instanceID string) string {
	if c.parts.gateway == nil {
		return ""
	}
	return c.parts.gateway.LifecycleTarget(instanceID)
}

// guestsByAddress tells the metadata service who asks.
type guestsByAddress struct {
	hyper  *hypervisor.Hypervisor
	target func(instanceID string) string
}

// ByAddr describes the instance that lives at addr as it is now.
func (g guestsByAddress) ByAddr(addr netip.Addr) (imds.Instance, bool) {
	m, ok := g.hyper.ByAddress(addr)
	if !ok {
		return imds.Instance{}, false
	}
	in := describe(m)
	if target := g.target(in.ID); target != "" {
		in.LifecycleState = target
	}
	return in, true
}

// describe turns what EC2 says of an instance into what it is told itself.
func describe(m hypervisor.Machine) imds.Instance {
	d := m.Instance.Detail
	in := imds.Instance{
		ID: m.Instance.ID, ImageID: m.Instance.ImageID, Type: string(d.InstanceType),
		Hostname: aws.ToString(d.PrivateDnsName), PrivateIP: m.Instance.Address, MAC: m.Instance.MAC.String(),
		AccountID: account, Region: Region, ReservationID: m.Instance.Reservation, Architecture: string(d.Architecture),
		LaunchIndex: int(aws.ToInt32(d.AmiLaunchIndex)), LaunchTime: aws.ToTime(d.LaunchTime),
		KeyName: aws.ToString(d.KeyName), PublicKey: m.PublicKey,
		SubnetID: aws.ToString(d.SubnetId), SubnetCIDR: subnetOf(m.Instance.Address),
		VPCID: aws.ToString(d.VpcId), VPCCIDR: network().Prefix.String(),
		RootDevice: aws.ToString(d.RootDeviceName), Spot: m.Instance.Spot(),
		UserData: m.UserData, Tags: map[string]string{},
	}
	if d.Placement != nil {
		in.Zone = aws.ToString(d.Placement.AvailabilityZone)
		in.ZoneID = aws.ToString(d.Placement.AvailabilityZoneId)
	}
	for _, tag := range d.Tags {
		in.Tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		if aws.ToString(tag.Key) == "aws:autoscaling:groupName" {
			in.LifecycleState = "InService" // where every launch goes unless the lab is told otherwise
		}
	}
	for _, g := range d.SecurityGroups {
		in.Groups = append(in.Groups, imds.Group{ID: aws.ToString(g.GroupId), Name: aws.ToString(g.GroupName)})
	}
	if len(d.NetworkInterfaces) > 0 {
		in.InterfaceID = aws.ToString(d.NetworkInterfaces[0].NetworkInterfaceId)
	}
	describeOptions(&in, m, d)
	return in
}

// describeOptions fills in what a launch may or may not have asked for.
func describeOptions(in *imds.Instance, m hypervisor.Machine, d types.Instance) {
	if p := d.IamInstanceProfile; p != nil {
		// The lab's profiles are named after their role, as the console makes them.
		in.Role = &imds.Role{Name: path.Base(aws.ToString(p.Arn)), ProfileARN: aws.ToString(p.Arn), ProfileID: aws.ToString(p.Id)}
	}
	if o := d.MetadataOptions; o != nil {
		in.EndpointDisabled = o.HttpEndpoint == types.InstanceMetadataEndpointStateDisabled
		in.TokensRequired = o.HttpTokens == types.HttpTokensStateRequired
		in.TagsInMetadata = o.InstanceMetadataTags == types.InstanceMetadataTagsStateEnabled
	}
	if m.Notice != nil {
		in.SpotAction = &imds.SpotAction{Action: m.Notice.Action, Time: m.Notice.At}
		// EC2 sends the recommendation with the notice at the latest.
		in.Rebalance = m.Notice.At.Add(-time.Second)
	}
	if in.Architecture == "" {
		in.Architecture = "x86_64"
	}
}

// subnetOf returns the default subnet that holds addr: /20 each, as EC2's
// default VPC has them.
func subnetOf(addr netip.Addr) string {
	prefix, err := addr.Prefix(20)
	if err != nil {
		return ""
	}
	return prefix.String()
}
