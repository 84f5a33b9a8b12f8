package story

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Census lists everything that a bake could leave behind, each as "kind id".
type Census []string

// Census counts what is there now, in EC2 and on the Chef server.
func (w *World) Census(ctx context.Context) (Census, error) {
	var c Census
	for _, count := range []func(context.Context) (Census, error){
		w.instances, w.images, w.volumes, w.groups, w.keyPairs, w.chefObjects,
	} {
		part, err := count(ctx)
		if err != nil {
			return nil, fmt.Errorf("taking the census: %w", err)
		}
		c = append(c, part...)
	}
	slices.Sort(c)
	return c, nil
}

// Since returns what c has and before had not.
func (c Census) Since(before Census) Census {
	var added Census
	for _, item := range c {
		if !slices.Contains(before, item) {
			added = append(added, item)
		}
	}
	return added
}

// String reads as a list.
func (c Census) String() string { return strings.Join(c, ", ") }

// instances counts those that are not terminated; a terminated one stays
// listed for an hour, on EC2 as here, and costs nothing.
func (w *World) instances(ctx context.Context) (c Census, err error) {
	pages := ec2.NewDescribeInstancesPaginator(w.EC2, &ec2.DescribeInstancesInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				if i.State.Name != types.InstanceStateNameTerminated {
					c = append(c, "instance "+aws.ToString(i.InstanceId))
				}
			}
		}
	}
	return c, nil
}

// images counts images and snapshots of this account.
func (w *World) images(ctx context.Context) (c Census, err error) {
	images := ec2.NewDescribeImagesPaginator(w.EC2, &ec2.DescribeImagesInput{Owners: []string{"self"}})
	for images.HasMorePages() {
		out, err := images.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, i := range out.Images {
			c = append(c, "image "+aws.ToString(i.ImageId))
		}
	}
	snapshots := ec2.NewDescribeSnapshotsPaginator(w.EC2, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	for snapshots.HasMorePages() {
		out, err := snapshots.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range out.Snapshots {
			c = append(c, "snapshot "+aws.ToString(s.SnapshotId))
		}
	}
	return c, nil
}

// volumes counts volumes.
func (w *World) volumes(ctx context.Context) (c Census, err error) {
	pages := ec2.NewDescribeVolumesPaginator(w.EC2, &ec2.DescribeVolumesInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range out.Volumes {
			c = append(c, "volume "+aws.ToString(v.VolumeId))
		}
	}
	return c, nil
}

// groups counts security groups.
func (w *World) groups(ctx context.Context) (c Census, err error) {
	pages := ec2.NewDescribeSecurityGroupsPaginator(w.EC2, &ec2.DescribeSecurityGroupsInput{})
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, g := range out.SecurityGroups {
			c = append(c, "security group "+aws.ToString(g.GroupId))
		}
	}
	return c, nil
}

// keyPairs counts key pairs.
func (w *World) keyPairs(ctx context.Context) (c Census, err error) {
	out, err := w.EC2.DescribeKeyPairs(ctx, &ec2.DescribeKeyPairsInput{})
	if err != nil {
		return nil, err
	}
	for _, k := range out.KeyPairs {
		c = append(c, "key pair "+aws.ToString(k.KeyName))
	}
	return c, nil
}

// chefObjects counts the Chef server's nodes and clients.
func (w *World) chefObjects(ctx context.Context) (c Census, err error) {
	nodes, err := w.Chef.NodeNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		c = append(c, "node "+n)
	}
	clients, err := w.Chef.ClientNames(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range clients {
		c = append(c, "client "+n)
	}
	return c, nil
}
