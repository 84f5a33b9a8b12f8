//go:build lab

package gateway_test

import (
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// bake makes an image of a fresh running instance; the snapshot is left
// running.
func (b *bench) bake(name string) string {
	b.t.Helper()
	i := b.run(func(in *ec2.RunInstancesInput) {
		in.BlockDeviceMappings = []types.BlockDeviceMapping{{
			DeviceName: aws.String("/dev/sda1"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(11)},
		}}
	})
	b.machines.set(*i.InstanceId, "running")
	tags := []types.Tag{{Key: aws.String("bake"), Value: aws.String(name)}}
	out, err := b.ec2.CreateImage(b.ctx, &ec2.CreateImageInput{
		InstanceId: i.InstanceId, Name: aws.String(name),
		TagSpecifications: []types.TagSpecification{
			{ResourceType: types.ResourceTypeImage, Tags: tags}, {ResourceType: types.ResourceTypeSnapshot, Tags: tags},
		},
	})
	if err != nil {
		b.t.Fatalf("CreateImage: %v", err)
	}
	return *out.ImageId
}

func (b *bench) image(id string, filters ...types.Filter) *types.Image {
	b.t.Helper()
	out, err := b.ec2.DescribeImages(b.ctx, &ec2.DescribeImagesInput{ImageIds: []string{id}, Filters: filters})
	if err != nil {
		b.t.Fatalf("DescribeImages: %v", err)
	}
	if len(out.Images) == 0 {
		return nil
	}
	return &out.Images[0]
}

// settle ends the snapshot under way with err and waits for the image.
func (b *bench) settle(id string, err error) *types.Image {
	b.t.Helper()
	b.machines.snapshots <- err
	for {
		if im := b.image(id); im.State != types.ImageStatePending || b.ctx.Err() != nil {
			return im
		}
	}
}

func testImage(b *bench) {
	id := b.bake("image-one")
	im := b.image(id)
	if im.State != types.ImageStatePending {
		b.t.Errorf("image is %s before its snapshot ends", im.State)
	}
	_, err := b.ec2.RunInstances(b.ctx, &ec2.RunInstancesInput{
		ImageId: aws.String(id), InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	})
	wantCode(b.t, "launching a pending image", err, "InvalidAMIID.Unavailable")
	snapshot := *im.BlockDeviceMappings[0].Ebs.SnapshotId
	snaps, err := b.ec2.DescribeSnapshots(b.ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{snapshot}})
	if err != nil || snaps.Snapshots[0].State != types.SnapshotStatePending || *snaps.Snapshots[0].VolumeSize != 11 {
		b.t.Errorf("snapshot: %v, %+v", err, snaps)
	}
	if tags := snaps.Snapshots[0].Tags; len(tags) != 1 || *tags[0].Value != "image-one" {
		b.t.Errorf("snapshot tags are %+v", tags)
	}
	available := types.Filter{Name: aws.String("state"), Values: []string{"available"}}
	if b.image(id, available) != nil {
		b.t.Error("a pending image is found as available")
	}
	im = b.settle(id, nil)
	if im.State != types.ImageStateAvailable || im.RootDeviceType != types.DeviceTypeEbs || *im.RootDeviceName != "/dev/sda1" {
		b.t.Errorf("image is %s, root %s %s", im.State, im.RootDeviceType, *im.RootDeviceName)
	}
	if size := *im.BlockDeviceMappings[0].Ebs.VolumeSize; size != 11 {
		b.t.Errorf("root volume is %d GiB, want 11", size)
	}
	if len(im.Tags) != 1 || b.image(id, available) == nil {
		b.t.Errorf("image tags %+v, or not found as available", im.Tags)
	}
	i := b.run(func(in *ec2.RunInstancesInput) { in.ImageId = aws.String(id) })
	vols, err := b.ec2.DescribeVolumes(b.ctx, &ec2.DescribeVolumesInput{
		VolumeIds: []string{*i.BlockDeviceMappings[0].Ebs.VolumeId},
	})
	if err != nil || *vols.Volumes[0].Size != 11 {
		b.t.Errorf("volume of a launch: %v, %+v", err, vols)
	}
}

func testImageFails(b *bench) {
	im := b.settle(b.bake("image-fails"), errors.New("disk full"))
	if im.State != types.ImageStateFailed || im.StateReason == nil || *im.StateReason.Message != "disk full" {
		b.t.Errorf("image is %s because of %+v", im.State, im.StateReason)
	}
}

func testImageNames(b *bench) {
	id := b.bake("same name (x86) [a]")
	i := b.run()
	b.machines.set(*i.InstanceId, "running")
	_, err := b.ec2.CreateImage(b.ctx, &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("same name (x86) [a]")})
	wantCode(b.t, "a name twice", err, "InvalidAMIName.Duplicate")
	_, err = b.ec2.CreateImage(b.ctx, &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("a:b")})
	wantCode(b.t, "a bad name", err, "InvalidAMIName.Malformed")
	b.settle(id, nil)
}

func testImageAttributes(b *bench) {
	id := b.bake("image-attributes")
	b.settle(id, nil)
	_, err := b.ec2.ModifyImageAttribute(b.ctx, &ec2.ModifyImageAttributeInput{
		ImageId: aws.String(id), ImdsSupport: &types.AttributeValue{Value: aws.String("v2.0")},
	})
	if err != nil {
		b.t.Fatalf("ModifyImageAttribute: %v", err)
	}
	at := b.clock.now().Add(48 * time.Hour)
	if _, err := b.ec2.EnableImageDeprecation(b.ctx, &ec2.EnableImageDeprecationInput{ImageId: aws.String(id), DeprecateAt: &at}); err != nil {
		b.t.Fatalf("EnableImageDeprecation: %v", err)
	}
	im := b.image(id)
	if im.ImdsSupport != types.ImdsSupportValuesV20 || aws.ToString(im.DeprecationTime) == "" {
		b.t.Errorf("image has imds %q, deprecation %q", im.ImdsSupport, aws.ToString(im.DeprecationTime))
	}
	i := b.run(func(in *ec2.RunInstancesInput) { in.ImageId = aws.String(id) })
	if i.MetadataOptions.HttpTokens != types.HttpTokensStateRequired || *i.MetadataOptions.HttpPutResponseHopLimit != 2 {
		b.t.Errorf("launch of a v2.0 image has %+v", i.MetadataOptions)
	}
}

func testDeregister(b *bench) {
	id := b.bake("image-goes")
	snapshot := *b.settle(id, nil).BlockDeviceMappings[0].Ebs.SnapshotId
	b.protected(id)
	out, err := b.ec2.DeregisterImage(b.ctx, &ec2.DeregisterImageInput{
		ImageId: aws.String(id), DeleteAssociatedSnapshots: aws.Bool(true),
	})
	if err != nil || len(out.DeleteSnapshotResults) != 1 || out.DeleteSnapshotResults[0].ReturnCode != types.SnapshotReturnCodesSuccess {
		b.t.Fatalf("DeregisterImage: %v, %+v", err, out)
	}
	_, err = b.ec2.DescribeSnapshots(b.ctx, &ec2.DescribeSnapshotsInput{SnapshotIds: []string{snapshot}})
	wantCode(b.t, "describing a deleted snapshot", err, "InvalidSnapshot.NotFound")
	if !slices.Contains(b.machines.removed, id) {
		b.t.Errorf("the hypervisor keeps the image; it removed %v", b.machines.removed)
	}
	again := b.bake("image-goes") // the name is free again
	// Deregistering a pending image cancels its snapshot.
	if _, err := b.ec2.DeregisterImage(b.ctx, &ec2.DeregisterImageInput{ImageId: aws.String(again)}); err != nil {
		b.t.Errorf("deregistering a pending image: %v", err)
	}
}

// protected sees that a protected image cannot be deregistered, and takes the
// protection off.
func (b *bench) protected(id string) {
	if _, err := b.ec2.EnableImageDeregistrationProtection(b.ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: aws.String(id)}); err != nil {
		b.t.Fatalf("EnableImageDeregistrationProtection: %v", err)
	}
	if got := aws.ToString(b.image(id).DeregistrationProtection); got != "enabled-without-cooldown" {
		b.t.Errorf("protection is %q", got)
	}
	_, err := b.ec2.DeregisterImage(b.ctx, &ec2.DeregisterImageInput{ImageId: aws.String(id)})
	wantCode(b.t, "deregistering a protected image", err, "OperationNotPermitted")
	if _, err := b.ec2.DisableImageDeregistrationProtection(b.ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(id)}); err != nil {
		b.t.Fatalf("DisableImageDeregistrationProtection: %v", err)
	}
}

func testOwnSnapshots(b *bench) {
	out, err := b.ec2.DescribeSnapshots(b.ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	if err != nil {
		b.t.Fatalf("DescribeSnapshots: %v", err)
	}
	base := *b.image(baseImage).BlockDeviceMappings[0].Ebs.SnapshotId
	for _, s := range out.Snapshots {
		if *s.SnapshotId == base {
			b.t.Error("the base image's snapshot counts as own")
		}
	}
	theirs, err := b.ec2.DescribeSnapshots(b.ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"099720109477"}})
	if err != nil || len(theirs.Snapshots) != 1 {
		b.t.Errorf("the base owner's snapshots: %v, %+v", err, theirs)
	}
}
