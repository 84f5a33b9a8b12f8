package main

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// describeInstances is the one call of EC2 that this tool makes. The client
// itself must not get into an interface: the CLI library brings reflection on
// methods in, and the linker would then keep all of EC2's hundreds of calls.
type describeInstances func(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)

// DescribeInstances makes the call.
func (f describeInstances) DescribeInstances(ctx context.Context, in *ec2.DescribeInstancesInput, o ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	return f(ctx, in, o...)
}
