package bake

import (
	"context"
	"net/netip"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/bake/distribute"
	"bakehouse/bake/inventory"
	"bakehouse/bake/publish"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/chefrepo"
	"bakehouse/internal/host"
)

// World is everything outside the bake that it talks to. All fields are
// required, but for Chef and ChefLogin, which local mode does without.
type World struct {
	EC2 EC2
	// Regions and KMS give the clients of a region, for copies and shares.
	Regions  func(region string) distribute.EC2
	KMS      func(region string) distribute.KMS
	Publish  func(region string) publish.API // for images that are published
	SSM      Parameters
	Groups   Groups                                  // Auto Scaling; asked only for Inputs.Prove.Group
	Identity func(context.Context) (Identity, error) // who calls AWS (STS GetCallerIdentity)
	Chef     ChefServer
	// ChefLogin speaks to the same server as another client.
	ChefLogin func(client string, privatePEM []byte) (NodeMaker, error)
	// Connect retries until the machine answers, or ctx ends.
	Connect func(context.Context, host.Target) (Machine, error)
	// ConnectSSM waits until the instance's SSM agent answers, or ctx ends.
	ConnectSSM func(ctx context.Context, instance string) (Machine, error)
	Reporter   Reporter
	Clock      Clock
	// PublicAddr is this machine's address as the internet sees it.
	PublicAddr func(context.Context) (netip.Addr, error)
	// LocalAddr is the source address that this machine uses towards another.
	LocalAddr func(to netip.Addr) (netip.Addr, error)
	StateDir  string // journals of running bakes
	// Silence is how long a builder may leave SSH unanswered before EC2 is asked
	// whether it lives; 0: 20s.
	Silence time.Duration
	// Inventories is where they are kept beside the state folder; may be empty.
	Inventories inventory.Store
}

// EC2 is the part of EC2 that a bake uses. Every method may be retried by the
// SDK, but for RunInstances, CreateImage and CreateSecurityGroup: the bake
// asks for single attempts of those and looks for what a lost reply made.
type EC2 interface {
	networkAPI
	instanceAPI
	imageAPI
}

type networkAPI interface {
	DescribeSubnets(context.Context, *ec2.DescribeSubnetsInput, ...func(*ec2.Options)) (*ec2.DescribeSubnetsOutput, error)
	DescribeSecurityGroups(context.Context, *ec2.DescribeSecurityGroupsInput, ...func(*ec2.Options)) (*ec2.DescribeSecurityGroupsOutput, error)
	CreateSecurityGroup(context.Context, *ec2.CreateSecurityGroupInput, ...func(*ec2.Options)) (*ec2.CreateSecurityGroupOutput, error)
	AuthorizeSecurityGroupIngress(context.Context, *ec2.AuthorizeSecurityGroupIngressInput, ...func(*ec2.Options)) (*ec2.AuthorizeSecurityGroupIngressOutput, error)
	DeleteSecurityGroup(context.Context, *ec2.DeleteSecurityGroupInput, ...func(*ec2.Options)) (*ec2.DeleteSecurityGroupOutput, error)
}

type instanceAPI interface {
	RunInstances(context.Context, *ec2.RunInstancesInput, ...func(*ec2.Options)) (*ec2.RunInstancesOutput, error)
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
	RebootInstances(context.Context, *ec2.RebootInstancesInput, ...func(*ec2.Options)) (*ec2.RebootInstancesOutput, error)
	TerminateInstances(context.Context, *ec2.TerminateInstancesInput, ...func(*ec2.Options)) (*ec2.TerminateInstancesOutput, error)
	GetConsoleOutput(context.Context, *ec2.GetConsoleOutputInput, ...func(*ec2.Options)) (*ec2.GetConsoleOutputOutput, error)
}

type imageAPI interface {
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
	CreateImage(context.Context, *ec2.CreateImageInput, ...func(*ec2.Options)) (*ec2.CreateImageOutput, error)
	ModifyImageAttribute(context.Context, *ec2.ModifyImageAttributeInput, ...func(*ec2.Options)) (*ec2.ModifyImageAttributeOutput, error)
	EnableImageDeprecation(context.Context, *ec2.EnableImageDeprecationInput, ...func(*ec2.Options)) (*ec2.EnableImageDeprecationOutput, error)
	EnableImageDeregistrationProtection(context.Context, *ec2.EnableImageDeregistrationProtectionInput, ...func(*ec2.Options)) (*ec2.EnableImageDeregistrationProtectionOutput, error)
	DisableImageDeregistrationProtection(context.Context, *ec2.DisableImageDeregistrationProtectionInput, ...func(*ec2.Options)) (*ec2.DisableImageDeregistrationProtectionOutput, error)
	DeregisterImage(context.Context, *ec2.DeregisterImageInput, ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error)
	DescribeSnapshots(context.Context, *ec2.DescribeSnapshotsInput, ...func(*ec2.Options)) (*ec2.DescribeSnapshotsOutput, error)
	DeleteSnapshot(context.Context, *ec2.DeleteSnapshotInput, ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error)
	CreateTags(context.Context, *ec2.CreateTagsInput, ...func(*ec2.Options)) (*ec2.CreateTagsOutput, error)
	DeleteTags(context.Context, *ec2.DeleteTagsInput, ...func(*ec2.Options)) (*ec2.DeleteTagsOutput, error)
}

// Parameters reads SSM parameters: the public ones that name base images.
type Parameters interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// Groups knows Auto Scaling groups.
type Groups interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
}

// Identity is who calls AWS.
type Identity struct {
	Account string `json:"account"`
	ARN     string `json:"arn"`
}

// ChefServer is what a bake asks of the Chef server, as the operator.
// Deleting what is not there is success.
type ChefServer interface {
	chefrepo.RoleSource
	EnvironmentExists(ctx context.Context, name string) (bool, error)
	Environment(ctx context.Context, name string) (chefrepo.Environment, error)
	CookbookDigest(ctx context.Context, name, version string) (string, error)
	Policy(ctx context.Context, group, name string) (chefapi.Policy, error)
	SolveCookbooks(ctx context.Context, environment string, runList []string) (map[string]string, error)
	CreateClient(ctx context.Context, name string, publicPEM []byte) error
	DeleteClient(ctx context.Context, name string) error
	DeleteNode(ctx context.Context, name string) error
}

// NodeMaker creates a node, as the client that is to own it.
type NodeMaker interface {
	CreateNode(ctx context.Context, n chefapi.Node) error
}

// Machine is a connected guest.
type Machine interface {
	Run(ctx context.Context, c host.Command) error
	Output(ctx context.Context, c host.Command) ([]byte, error)
	Copy(ctx context.Context, c host.CopySpec) error
	Close() error
}

// Reporter is told how the bake goes. Its methods are called from several
// goroutines.
type Reporter interface {
	StepStarted(name string)
	StepProgress(name, detail string)
	StepLog(name, line string)
	StepDone(name string, took time.Duration, err error)
	Info(line string)
}

// Clock is the time as the bake sees it.
type Clock interface {
	Now() time.Time
	// Sleep waits for d, or until ctx ends, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}
