//go:build lab

package gateway_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// testManyInstances lists more launches than fit on a page of moto's: EC2 pages
// only for who asks for it.
func testManyInstances(b *bench) {
	const count = 101
	mine := []types.Filter{{Name: aws.String("tag:many"), Values: []string{"yes"}}}
	for range count {
		_, err := b.ec2.RunInstances(b.ctx, &ec2.RunInstancesInput{ImageId: aws.String(baseImage), InstanceType: types.InstanceTypeT3Small,
			MinCount: aws.Int32(1), MaxCount: aws.Int32(1), TagSpecifications: []types.TagSpecification{{
				ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("many"), Value: aws.String("yes")}}}}})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	listed := func(in *ec2.DescribeInstancesInput) (n int, more bool) {
		out, err := b.ec2.DescribeInstances(b.ctx, in)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range out.Reservations {
			n += len(r.Instances)
		}
		return n, out.NextToken != nil
	}
	for _, f := range [][]types.Filter{mine, append(mine, types.Filter{Name: aws.String("instance-state-name"), Values: []string{"pending"}})} {
		if n, more := listed(&ec2.DescribeInstancesInput{Filters: f}); n != count || more {
			b.t.Errorf("%d of %d instances listed at once, more to come: %v", n, count, more)
		}
	}
	if n, more := listed(&ec2.DescribeInstancesInput{Filters: mine, MaxResults: aws.Int32(50)}); n != 50 || !more {
		b.t.Errorf("a page of 50 has %d instances, more to come: %v", n, more)
	}
}
