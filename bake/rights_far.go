package bake

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/await"
)

// farQuestions are those about copies and shares: a copy is asked for in the
// first region that it goes to, with the tags that it is to have.
func (w World) farQuestions(p Plan) map[string]question {
	dry, image, snapshot := aws.Bool(true), aws.String(noImage), aws.String(noSnapshot)
	out := map[string]question{}
	if copies := p.inputs.Distribute.Copies; len(copies) > 0 {
		to := w.Regions(copies[0].Region)
		out["ec2:CopyImage"] = question{standIn: true, ask: func(ctx context.Context, _ EC2) error {
			_, err := to.CopyImage(ctx, &ec2.CopyImageInput{DryRun: dry, SourceImageId: image, SourceRegion: aws.String(p.Launch.Region), Name: aws.String(p.ImageName),
				TagSpecifications: []types.TagSpecification{tagSpec(types.ResourceTypeImage, p.ImageName, p.Tags), tagSpec(types.ResourceTypeSnapshot, p.ImageName, p.Tags)}}, await.Once)
			return err
		}}
	}
	if p.inputs.Distribute.Share.Empty() {
		return out
	}
	here := w.Regions(p.Launch.Region)
	out["ec2:DescribeImageAttribute"] = question{standIn: true, ask: func(ctx context.Context, _ EC2) error {
		_, err := here.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{DryRun: dry, ImageId: image, Attribute: types.ImageAttributeNameLaunchPermission})
		return err
	}}
	out["ec2:DescribeSnapshotAttribute"] = question{standIn: true, ask: func(ctx context.Context, _ EC2) error {
		_, err := here.DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{DryRun: dry, SnapshotId: snapshot, Attribute: types.SnapshotAttributeNameCreateVolumePermission})
		return err
	}}
	out["ec2:ModifySnapshotAttribute"] = question{standIn: true, ask: func(ctx context.Context, _ EC2) error {
		_, err := here.ModifySnapshotAttribute(ctx, &ec2.ModifySnapshotAttributeInput{DryRun: dry, SnapshotId: snapshot, Attribute: types.SnapshotAttributeNameCreateVolumePermission,
			OperationType: types.OperationTypeAdd, UserIds: []string{p.Launch.Account}})
		return err
	}}
	return out
}
