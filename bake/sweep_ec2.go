package bake

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// SweepEC2 is the part of EC2 that a sweep uses.
type SweepEC2 interface {
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
	DescribeSnapshots(context.Context, *ec2.DescribeSnapshotsInput, ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error)
	DescribeSecurityGroups(context.Context, *ec2.DescribeSecurityGroupsInput, ...func(*ec2.Options)) (*ec2.DescribeSecurityGroupsOutput, error)
	DescribeVolumes(context.Context, *ec2.DescribeVolumesInput, ...func(*ec2.Options)) (*ec2.DescribeVolumesOutput, error)
	TerminateInstances(context.Context, *ec2.TerminateInstancesInput, ...func(*ec2.Options)) (*ec2.TerminateInstancesOutput, error)
	DisableImageDeregistrationProtection(context.Context, *ec2.DisableImageDeregistrationProtectionInput, ...func(*ec2.Options)) (*ec2.DisableImageDeregistrationProtectionOutput, error)
	DeregisterImage(context.Context, *ec2.DeregisterImageInput, ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error)
	DeleteSnapshot(context.Context, *ec2.DeleteSnapshotInput, ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error)
	DeleteSecurityGroup(context.Context, *ec2.DeleteSecurityGroupInput, ...func(*ec2.Options)) (*ec2.DeleteSecurityGroupOutput, error)
	DeleteVolume(context.Context, *ec2.DeleteVolumeInput, ...func(*ec2.Options)) (*ec2.DeleteVolumeOutput, error)
}

// lookIn finds what carries the tag of a bake in one region.
func lookIn(ctx context.Context, api SweepEC2, region string) ([]Found, error) {
	l := &looker{api: api, region: region, tagged: []types.Filter{ami.Filter("tag-key", ami.TagBakeID)}}
	for _, look := range []struct {
		action string
		f      func(context.Context) error
	}{
		{"ec2:DescribeInstances", l.instances}, {"ec2:DescribeImages", l.images}, {"ec2:DescribeSnapshots", l.snapshots},
		{"ec2:DescribeVolumes", l.volumes}, {"ec2:DescribeSecurityGroups", l.groups},
	} {
		if err := look.f(ctx); err != nil {
			return nil, awsfault.New(look.action, "looking for what bakes left in "+region, err)
		}
	}
	return l.found, nil
}

// looker gathers what it finds in one region.
type looker struct {
	api    SweepEC2
	region string
	tagged []types.Filter
	found  []Found
}

func (l *looker) add(kind Kind, id, name *string, tags []types.Tag) {
	f := Found{Resource: Resource{Kind: kind, ID: aws.ToString(id), Name: aws.ToString(name)}, Region: l.region}
	for _, t := range tags {
		switch aws.ToString(t.Key) {
		case ami.TagBakeID:
			f.BakeID = aws.ToString(t.Value)
		case ami.TagExpires:
			f.Expires = aws.ToString(t.Value)
		}
	}
	l.found = append(l.found, f)
}

func (l *looker) instances(ctx context.Context) error {
	pages := ec2.NewDescribeInstancesPaginator(l.api, &ec2.DescribeInstancesInput{Filters: append(l.tagged,
		ami.Filter("instance-state-name", "pending", "running", "stopping", "stopped"))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				l.add(KindInstance, i.InstanceId, nil, i.Tags)
			}
		}
	}
	return nil
}

func (l *looker) images(ctx context.Context) error {
	pages := ec2.NewDescribeImagesPaginator(l.api, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: l.tagged,
		IncludeDisabled: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, i := range page.Images {
			l.add(KindImage, i.ImageId, i.Name, i.Tags)
			l.found[len(l.found)-1].protected = ami.From(i).Protected
		}
	}
	return nil
}

func (l *looker) snapshots(ctx context.Context) error {
	pages := ec2.NewDescribeSnapshotsPaginator(l.api, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: l.tagged})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, s := range page.Snapshots {
			l.add(KindSnapshot, s.SnapshotId, nil, s.Tags)
		}
	}
	return nil
}

func (l *looker) volumes(ctx context.Context) error {
	pages := ec2.NewDescribeVolumesPaginator(l.api, &ec2.DescribeVolumesInput{Filters: l.tagged})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, v := range page.Volumes {
			l.add(KindVolume, v.VolumeId, nil, v.Tags)
		}
	}
	return nil
}

func (l *looker) groups(ctx context.Context) error {
	pages := ec2.NewDescribeSecurityGroupsPaginator(l.api, &ec2.DescribeSecurityGroupsInput{Filters: l.tagged})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range page.SecurityGroups {
			l.add(KindSecurityGroup, g.GroupId, g.GroupName, g.Tags)
		}
	}
	return nil
}

// terminateAll asks for the end of every doomed instance at once. Failures
// show again when each is removed.
func (s Sweeper) terminateAll(ctx context.Context, doomed []Found) {
	for _, v := range doomed {
		if v.Kind == KindInstance {
			_, _ = s.EC2(v.Region).TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{v.ID}})
		}
	}
}

// remove removes one resource and waits until it is gone, or in nobody's way.
func (s Sweeper) remove(ctx context.Context, f Found) error {
	switch f.Kind {
	case KindChefClient:
		return chefFault("deleting Chef client "+f.Name, s.Chef.DeleteClient(ctx, f.Name))
	case KindChefNode:
		return chefFault("deleting Chef node "+f.Name, s.Chef.DeleteNode(ctx, f.Name))
	}
	if f.protected {
		if err := unprotect(ctx, s.EC2(f.Region), f); err != nil {
			return err
		}
	}
	action, call := sweepCall(s.EC2(f.Region), f)
	tries := 0
	err := poll(ctx, s.Clock, pace{First: time.Second, Max: 5 * time.Second}, func(ctx context.Context) (bool, error) {
		tries++
		done, err := call(ctx)
		if awserr.IsNotFound(err) || (err == nil && done) {
			return true, nil
		}
		if err != nil && (tries >= 20 || awserr.IsAuth(err)) {
			return false, err
		}
		if tries >= 120 {
			return false, fault.Newf(fault.Timeout, "sweep again", "it is still there")
		}
		return false, nil
	})
	return awsfault.New(action, "removing "+string(f.Kind)+" "+f.ID, err)
}

// sweepCall is the call that removes a resource; it is repeated until done.
func sweepCall(api SweepEC2, f Found) (action string, call func(context.Context) (done bool, err error)) {
	switch f.Kind {
	case KindInstance:
		return "ec2:TerminateInstances", func(ctx context.Context) (bool, error) {
			out, err := api.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{f.ID}})
			return err == nil && terminated(out), err
		}
	case KindImage:
		return "ec2:DeregisterImage", func(ctx context.Context) (bool, error) {
			_, err := api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(f.ID)})
			return true, err
		}
	case KindSnapshot:
		return "ec2:DeleteSnapshot", func(ctx context.Context) (bool, error) {
			_, err := api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(f.ID)})
			return true, err
		}
	case KindVolume:
		return "ec2:DeleteVolume", func(ctx context.Context) (bool, error) {
			_, err := api.DeleteVolume(ctx, &ec2.DeleteVolumeInput{VolumeId: aws.String(f.ID)})
			return true, err
		}
	}
	return "ec2:DeleteSecurityGroup", func(ctx context.Context) (bool, error) {
		_, err := api.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: aws.String(f.ID)})
		return true, err
	}
}

// unprotect takes the protection off an image. A bake protects what it has
// finished; when it fails after that and cannot undo it, the protection is on.
func unprotect(ctx context.Context, api SweepEC2, f Found) error {
	_, err := api.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(f.ID)})
	if awserr.IsNotFound(err) {
		return nil
	}
	return awsfault.New(actUnprotect, "taking the protection off image "+f.ID, err)
}

// terminated reads the states in the reply: terminating an instance that is
// terminated already succeeds, and so tells when it is over.
func terminated(out *ec2.TerminateInstancesOutput) bool {
	for _, i := range out.TerminatingInstances {
		if i.CurrentState == nil || i.CurrentState.Name != types.InstanceStateNameTerminated {
			return false
		}
	}
	return true
}
