package distribute

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awsfault"
)

// SharePlan says who of an audience still lacks an image, and who its
// snapshots. Snapshots can be given to accounts alone: EC2's
// createVolumePermission knows no organisations.
type SharePlan struct {
	Region    string              `json:"region"`
	ImageID   string              `json:"image_id,omitempty"` // empty: the image is yet to be made
	Audience  Audience            `json:"audience"`           // as wished
	Image     Audience            `json:"image"`              // who lacks the image
	Snapshots map[string][]string `json:"snapshots,omitempty"`
	// KMSKey is the ARN of the image's key; empty: it is not encrypted.
	KMSKey string `json:"kms_key,omitempty"`

	all []string // all snapshots
}

// Empty says that everybody has everything.
func (p SharePlan) Empty() bool { return p.Image.Empty() && len(p.Snapshots) == 0 }

// PlanShare looks who lacks an image and its snapshots. An encrypted image
// whose key is AWS's own is a fault.Usage: nobody else could use it.
func (w World) PlanShare(ctx context.Context, region string, image types.Image, wished Audience) (SharePlan, error) {
	id, api := aws.ToString(image.ImageId), w.EC2(region)
	p := SharePlan{Region: region, ImageID: id, Audience: wished, Snapshots: map[string][]string{}, all: ami.Snapshots(image)}
	if wished.Empty() {
		return p, nil
	}
	if Encrypted(image) {
		var err error
		if p.KMSKey, err = w.KeyOf(ctx, region, image); err != nil {
			return p, err
		}
		if err := w.CheckKeys(ctx, Wishes{Share: wished}, Source{Region: region, Encrypted: true, KMSKey: p.KMSKey}); err != nil {
			return p, err
		}
	}
	out, err := api.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: image.ImageId, Attribute: types.ImageAttributeNameLaunchPermission})
	if err != nil {
		return p, awsfault.New("ec2:DescribeImageAttribute", "looking who may use "+id+" in "+region, err)
	}
	p.Image = wished.Without(holders(out.LaunchPermissions))
	for _, snap := range p.all {
		out, err := api.DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{SnapshotId: aws.String(snap), Attribute: types.SnapshotAttributeNameCreateVolumePermission})
		if err != nil {
			return p, awsfault.New("ec2:DescribeSnapshotAttribute", "looking who may use snapshot "+snap+" in "+region, err)
		}
		var have Audience
		for _, v := range out.CreateVolumePermissions {
			have.Accounts = append(have.Accounts, aws.ToString(v.UserId))
		}
		if lacking := wished.Without(have).Accounts; len(lacking) > 0 {
			p.Snapshots[snap] = lacking
		}
	}
	return p, nil
}

// KeyOf is the ARN of the key that the image's snapshots are encrypted with.
func (w World) KeyOf(ctx context.Context, region string, image types.Image) (string, error) {
	out, err := w.EC2(region).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"},
		Filters: []types.Filter{ami.Filter("snapshot-id", ami.Snapshots(image)...)}})
	if err != nil {
		return "", awsfault.New("ec2:DescribeSnapshots", "looking for the key of "+aws.ToString(image.ImageId)+" in "+region, err)
	}
	for _, s := range out.Snapshots {
		if key := aws.ToString(s.KmsKeyId); key != "" {
			return key, nil
		}
	}
	return "", nil
}

// holders are those whom launch permissions name.
func holders(all []types.LaunchPermission) (a Audience) {
	add := func(to *[]string, s *string) {
		if s != nil {
			*to = append(*to, *s)
		}
	}
	for _, p := range all {
		add(&a.Accounts, p.UserId)
		add(&a.Organizations, p.OrganizationArn)
		add(&a.Units, p.OrganizationalUnitArn)
	}
	return a
}

// Share carries a plan out. Shares are added, none is ever taken away.
func (w World) Share(ctx context.Context, p SharePlan) (Share, error) {
	done := Share{Region: p.Region, ImageID: p.ImageID, Audience: p.Audience, Added: []string{}}
	if len(p.Audience.Accounts) > 0 {
		done.Snapshots = p.all
	}
	api := w.EC2(p.Region)
	// Snapshots first: who gets an image gets one that can be used.
	for _, snap := range p.all {
		accounts := p.Snapshots[snap]
		if len(accounts) == 0 {
			continue
		}
		_, err := api.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{SnapshotId: aws.String(snap),
			Attribute: types.SnapshotAttributeNameCreateVolumePermission, OperationType: types.OperationTypeAdd, UserIds: accounts})
		if err != nil {
			return done, awsfault.New("ec2:ModifySnapshotAttribute", "sharing snapshot "+snap+" in "+p.Region, err)
		}
	}
	if !p.Image.Empty() {
		_, err := api.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: aws.String(p.ImageID),
			LaunchPermission: &types.LaunchPermissionModifications{Add: permissions(p.Image)}})
		if err != nil {
			return done, awsfault.New("ec2:ModifyImageAttribute", "sharing "+p.ImageID+" in "+p.Region, err)
		}
		done.Added = p.Image.All()
	}
	for _, accounts := range p.Snapshots {
		for _, a := range accounts {
			if !slices.Contains(done.Added, a) {
				done.Added = append(done.Added, a)
			}
		}
	}
	slices.Sort(done.Added)
	done.Notes = p.Notes()
	return done, nil
}

func permissions(a Audience) (out []types.LaunchPermission) {
	for _, s := range a.Accounts {
		out = append(out, types.LaunchPermission{UserId: aws.String(s)})
	}
	for _, s := range a.Organizations {
		out = append(out, types.LaunchPermission{OrganizationArn: aws.String(s)})
	}
	for _, s := range a.Units {
		out = append(out, types.LaunchPermission{OrganizationalUnitArn: aws.String(s)})
	}
	return out
}

// Notes say what else it takes until the audience can use the image.
func (p SharePlan) Notes() []string {
	var out []string
	if p.KMSKey != "" {
		out = append(out, "the policy of "+p.KMSKey+" must allow it too: "+strings.Join(Grants(p.KMSKey, p.Audience), ", "))
	}
	if len(p.Audience.Organizations)+len(p.Audience.Units) > 0 {
		out = append(out, "organisations get the image and can launch it; EC2 shares snapshots with accounts only")
	}
	return out
}
