//go:build lab

package gateway_test

import (
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// CopyImage ends when the test says so.
func (m *machines) CopyImage(_, _ string) error { return <-m.copies }

// in is the bench as it looks from another region.
func (b *bench) in(region string) *bench {
	other := *b
	other.cfg.Region = region
	other.ec2 = ec2.NewFromConfig(other.cfg)
	return &other
}

// copyTo copies an image of us-east-1; the copy is left running.
func (b *bench) copyTo(region, source, name string, change ...func(*ec2.CopyImageInput)) string {
	b.t.Helper()
	tags := []types.Tag{{Key: aws.String("bake"), Value: aws.String(name)}}
	in := &ec2.CopyImageInput{Name: aws.String(name), SourceImageId: aws.String(source), SourceRegion: aws.String("us-east-1"),
		TagSpecifications: []types.TagSpecification{
			{ResourceType: types.ResourceTypeImage, Tags: tags}, {ResourceType: types.ResourceTypeSnapshot, Tags: tags}}}
	for _, fn := range change {
		fn(in)
	}
	out, err := b.in(region).ec2.CopyImage(b.ctx, in)
	if err != nil {
		b.t.Fatalf("CopyImage: %v", err)
	}
	return *out.ImageId
}

// settled waits until a copy is no longer pending.
func (b *bench) settled(id string) *types.Image {
	b.t.Helper()
	for {
		if im := b.image(id); im == nil || im.State != types.ImageStatePending || b.ctx.Err() != nil {
			return im
		}
	}
}

func (b *bench) snapshotOf(im *types.Image) types.Snapshot {
	b.t.Helper()
	out, err := b.ec2.DescribeSnapshots(b.ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{*im.BlockDeviceMappings[0].Ebs.SnapshotId}})
	if err != nil {
		b.t.Fatalf("DescribeSnapshots: %v", err)
	}
	return out.Snapshots[0]
}

func testCopy(b *bench) {
	source := b.bake("copied")
	b.settle(source, nil)
	_, err := b.ec2.ModifyImageAttribute(b.ctx, &ec2.ModifyImageAttributeInput{
		ImageId: aws.String(source), ImdsSupport: &types.AttributeValue{Value: aws.String("v2.0")}})
	if err != nil {
		b.t.Fatal(err)
	}
	west := b.in("us-west-2")
	id := b.copyTo("us-west-2", source, "copied")
	im := west.image(id)
	if im == nil || im.State != types.ImageStatePending || west.snapshotOf(im).State != types.SnapshotStatePending {
		b.t.Fatalf("a copy under way is %+v", im)
	}
	if len(im.Tags) != 1 || len(west.snapshotOf(im).Tags) != 1 {
		b.t.Errorf("tags %+v, of the snapshot %+v", im.Tags, west.snapshotOf(im).Tags)
	}
	b.machines.copies <- nil
	im = west.settled(id)
	from := b.image(source)
	if im.State != types.ImageStateAvailable || im.ImdsSupport != types.ImdsSupportValuesV20 || im.BootMode != from.BootMode ||
		*im.RootDeviceName != *from.RootDeviceName || *im.BlockDeviceMappings[0].Ebs.VolumeSize != 11 || aws.ToBool(im.BlockDeviceMappings[0].Ebs.Encrypted) {
		b.t.Errorf("the copy is %+v, its source %+v", im, from)
	}
	_, err = west.ec2.CopyImage(b.ctx, &ec2.CopyImageInput{Name: aws.String("copied"), SourceImageId: aws.String(source), SourceRegion: aws.String("us-east-1")})
	wantCode(b.t, "a name twice in a region", err, "InvalidAMIName.Duplicate")
	_, err = west.ec2.CopyImage(b.ctx, &ec2.CopyImageInput{Name: aws.String("other"), SourceImageId: aws.String(source), SourceRegion: aws.String("us-west-2")})
	wantCode(b.t, "a source of another region", err, "InvalidAMIID.NotFound")
	if _, err := west.ec2.DeregisterImage(b.ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id), DeleteAssociatedSnapshots: aws.Bool(true)}); err != nil {
		b.t.Errorf("deregistering the copy: %v", err)
	}
	if b.image(source) == nil {
		b.t.Error("the source went with its copy")
	}
}

func testCopyEncrypted(b *bench) {
	source := b.bake("to be encrypted")
	b.settle(source, nil)
	key, err := kms.NewFromConfig(b.in("us-west-1").cfg).CreateKey(b.ctx, &kms.CreateKeyInput{})
	if err != nil {
		b.t.Fatalf("CreateKey: %v", err)
	}
	encrypt := func(key string) func(*ec2.CopyImageInput) {
		return func(in *ec2.CopyImageInput) { in.Encrypted, in.KmsKeyId = aws.Bool(true), aws.String(key) }
	}
	west := b.in("us-west-1")
	b.machines.copies <- nil
	im := west.settled(b.copyTo("us-west-1", source, "encrypted", encrypt(*key.KeyMetadata.KeyId)))
	if snap := west.snapshotOf(im); !aws.ToBool(im.BlockDeviceMappings[0].Ebs.Encrypted) || !aws.ToBool(snap.Encrypted) || aws.ToString(snap.KmsKeyId) != *key.KeyMetadata.Arn {
		b.t.Errorf("image %+v, snapshot %+v", im.BlockDeviceMappings[0].Ebs, snap)
	}
	// A key that is not there shows only when the copy fails.
	im = west.settled(b.copyTo("us-west-1", source, "keyless", encrypt("alias/nobody")))
	if im.State != types.ImageStateFailed || im.StateReason == nil {
		b.t.Errorf("with a key that is not there, the copy is %s: %+v", im.State, im.StateReason)
	}
	_, err = west.ec2.CopyImage(b.ctx, &ec2.CopyImageInput{Name: aws.String("plain with key"), SourceImageId: aws.String(source),
		SourceRegion: aws.String("us-east-1"), KmsKeyId: key.KeyMetadata.KeyId})
	wantCode(b.t, "a key without encryption", err, "InvalidParameterDependency")
	ebs, err := kms.NewFromConfig(west.cfg).DescribeKey(b.ctx, &kms.DescribeKeyInput{KeyId: aws.String("alias/aws/ebs")})
	if err != nil || ebs.KeyMetadata.KeyManager != kmstypes.KeyManagerTypeAws {
		b.t.Errorf("the key that AWS manages: %+v, %v", ebs, err)
	}
}

func testShares(b *bench) {
	id := b.bake("shared")
	snap := aws.ToString(b.settle(id, nil).BlockDeviceMappings[0].Ebs.SnapshotId)
	const org, unit = "arn:aws:organizations::111122223333:organization/o-abcdefghij", "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-cdefgh34"
	_, err := b.ec2.ModifyImageAttribute(b.ctx, &ec2.ModifyImageAttributeInput{ImageId: aws.String(id), LaunchPermission: &types.LaunchPermissionModifications{
		Add: []types.LaunchPermission{{UserId: aws.String("111122223333")}, {OrganizationArn: aws.String(org)}, {OrganizationalUnitArn: aws.String(unit)}}}})
	if err != nil {
		b.t.Fatalf("ModifyImageAttribute: %v", err)
	}
	out, err := b.ec2.DescribeImageAttribute(b.ctx, &ec2.DescribeImageAttributeInput{ImageId: aws.String(id), Attribute: types.ImageAttributeNameLaunchPermission})
	if err != nil {
		b.t.Fatalf("DescribeImageAttribute: %v", err)
	}
	var have []string
	for _, p := range out.LaunchPermissions {
		have = append(have, aws.ToString(p.UserId)+aws.ToString(p.OrganizationArn)+aws.ToString(p.OrganizationalUnitArn))
	}
	if !slices.Equal(have, []string{"111122223333", org, unit}) {
		b.t.Errorf("launch permissions are %v", have)
	}
	_, err = b.ec2.ModifySnapshotAttribute(b.ctx, &ec2.ModifySnapshotAttributeInput{SnapshotId: aws.String(snap),
		Attribute: types.SnapshotAttributeNameCreateVolumePermission, OperationType: types.OperationTypeAdd, UserIds: []string{"111122223333"}})
	if err != nil {
		b.t.Fatalf("ModifySnapshotAttribute: %v", err)
	}
	who, err := b.ec2.DescribeSnapshotAttribute(b.ctx, &ec2.DescribeSnapshotAttributeInput{SnapshotId: aws.String(snap), Attribute: types.SnapshotAttributeNameCreateVolumePermission})
	if err != nil || len(who.CreateVolumePermissions) != 1 || aws.ToString(who.CreateVolumePermissions[0].UserId) != "111122223333" {
		b.t.Errorf("volume permissions are %+v, %v", who, err)
	}
	if by, err := b.ec2.GetEbsEncryptionByDefault(b.ctx, &ec2.GetEbsEncryptionByDefaultInput{}); err != nil || aws.ToBool(by.EbsEncryptionByDefault) {
		b.t.Errorf("encryption by default: %+v, %v", by, err)
	}
}
