//go:build lab

package gateway_test

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/awserr"
)

// dryRuns are the calls by which a tool asks for its rights, about things
// that do not exist.
func dryRuns(c *ec2.Client) map[string]func(context.Context) error {
	yes, instance, image := aws.Bool(true), []string{"i-00000000000000000"}, aws.String("ami-00000000000000000")
	return map[string]func(context.Context) error{
		"StopInstances": func(ctx context.Context) error {
			_, err := c.StopInstances(ctx, &ec2.StopInstancesInput{DryRun: yes, InstanceIds: instance})
			return err
		},
		"TerminateInstances": func(ctx context.Context) error {
			_, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{DryRun: yes, InstanceIds: instance})
			return err
		},
		"CreateSecurityGroup": func(ctx context.Context) error {
			_, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{DryRun: yes, GroupName: aws.String("dry"), Description: aws.String("x")})
			return err
		},
		"AuthorizeSecurityGroupIngress": func(ctx context.Context) error {
			_, err := c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{DryRun: yes, GroupId: aws.String("sg-00000000000000000"),
				IpPermissions: []types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: []types.IpRange{{CidrIp: aws.String("10.0.0.0/8")}}}}})
			return err
		},
		"DeleteSecurityGroup": func(ctx context.Context) error {
			_, err := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{DryRun: yes, GroupId: aws.String("sg-00000000000000000")})
			return err
		},
		"CreateImage": func(ctx context.Context) error {
			_, err := c.CreateImage(ctx, &ec2.CreateImageInput{DryRun: yes, InstanceId: aws.String(instance[0]), Name: aws.String("dry")})
			return err
		},
		"DeregisterImage": func(ctx context.Context) error {
			_, err := c.DeregisterImage(ctx, &ec2.DeregisterImageInput{DryRun: yes, ImageId: image})
			return err
		},
		"DeleteSnapshot": func(ctx context.Context) error {
			_, err := c.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{DryRun: yes, SnapshotId: aws.String("snap-00000000000000000")})
			return err
		},
		"EnableImageDeprecation": func(ctx context.Context) error {
			_, err := c.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{DryRun: yes, ImageId: image, DeprecateAt: aws.Time(time.Now().AddDate(1, 0, 0))})
			return err
		},
		"CreateTags": func(ctx context.Context) error {
			_, err := c.CreateTags(ctx, &ec2.CreateTagsInput{DryRun: yes, Resources: []string{*image}, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
			return err
		},
		"DeleteTags": func(ctx context.Context) error {
			_, err := c.DeleteTags(ctx, &ec2.DeleteTagsInput{DryRun: yes, Resources: []string{*image}, Tags: []types.Tag{{Key: aws.String("a")}}})
			return err
		},
		"DescribeInstances": func(ctx context.Context) error {
			_, err := c.DescribeInstances(ctx, &ec2.DescribeInstancesInput{DryRun: yes})
			return err
		},
		"DescribeSnapshots": func(ctx context.Context) error {
			_, err := c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{DryRun: yes, OwnerIds: []string{"self"}})
			return err
		},
		"DescribeSecurityGroups": func(ctx context.Context) error {
			_, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{DryRun: yes})
			return err
		},
	}
}

func testDryRunsDoNothing(b *bench) {
	for action, ask := range dryRuns(b.ec2) {
		if err := ask(b.ctx); !awserr.IsDryRunOK(err) && !awserr.IsNotFound(err) {
			b.t.Errorf("%s: a dry run came to %v", action, err)
		}
	}
	groups, err := b.ec2.DescribeSecurityGroups(b.ctx, &ec2.DescribeSecurityGroupsInput{GroupNames: []string{"dry"}})
	if err == nil && len(groups.SecurityGroups) > 0 {
		b.t.Error("a dry run made a security group")
	}
}
