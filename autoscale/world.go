package autoscale

import (
	"context"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// World is what this room needs of AWS. Readers alone are enough for Observe.
type World struct {
	Groups GroupsAPI
	EC2    EC2API
	Alarms AlarmsAPI
	// Balancers names the load balancer of a target group; it is asked where a
	// file says lookup.
	Balancers BalancersAPI
	// Parameters resolves images named ssm:/NAME.
	Parameters ParametersAPI
	Now        func() time.Time
	// Sleep waits between tries, or ends with ctx.
	Sleep func(ctx context.Context, d time.Duration) error
}

// GroupsAPI is the part of Auto Scaling that is read and written here.
type GroupsAPI interface {
	GroupsReader
	RefreshAPI
	SetInstanceProtection(context.Context, *as.SetInstanceProtectionInput, ...func(*as.Options)) (*as.SetInstanceProtectionOutput, error)
	CreateAutoScalingGroup(context.Context, *as.CreateAutoScalingGroupInput, ...func(*as.Options)) (*as.CreateAutoScalingGroupOutput, error)
	UpdateAutoScalingGroup(context.Context, *as.UpdateAutoScalingGroupInput, ...func(*as.Options)) (*as.UpdateAutoScalingGroupOutput, error)
	DeleteAutoScalingGroup(context.Context, *as.DeleteAutoScalingGroupInput, ...func(*as.Options)) (*as.DeleteAutoScalingGroupOutput, error)
	CreateOrUpdateTags(context.Context, *as.CreateOrUpdateTagsInput, ...func(*as.Options)) (*as.CreateOrUpdateTagsOutput, error)
	DeleteTags(context.Context, *as.DeleteTagsInput, ...func(*as.Options)) (*as.DeleteTagsOutput, error)
	PutScalingPolicy(context.Context, *as.PutScalingPolicyInput, ...func(*as.Options)) (*as.PutScalingPolicyOutput, error)
	DeletePolicy(context.Context, *as.DeletePolicyInput, ...func(*as.Options)) (*as.DeletePolicyOutput, error)
	PutScheduledUpdateGroupAction(context.Context, *as.PutScheduledUpdateGroupActionInput, ...func(*as.Options)) (*as.PutScheduledUpdateGroupActionOutput, error)
	DeleteScheduledAction(context.Context, *as.DeleteScheduledActionInput, ...func(*as.Options)) (*as.DeleteScheduledActionOutput, error)
	PutLifecycleHook(context.Context, *as.PutLifecycleHookInput, ...func(*as.Options)) (*as.PutLifecycleHookOutput, error)
	DeleteLifecycleHook(context.Context, *as.DeleteLifecycleHookInput, ...func(*as.Options)) (*as.DeleteLifecycleHookOutput, error)
	PutNotificationConfiguration(context.Context, *as.PutNotificationConfigurationInput, ...func(*as.Options)) (*as.PutNotificationConfigurationOutput, error)
	DeleteNotificationConfiguration(context.Context, *as.DeleteNotificationConfigurationInput, ...func(*as.Options)) (*as.DeleteNotificationConfigurationOutput, error)
	EnableMetricsCollection(context.Context, *as.EnableMetricsCollectionInput, ...func(*as.Options)) (*as.EnableMetricsCollectionOutput, error)
	DisableMetricsCollection(context.Context, *as.DisableMetricsCollectionInput, ...func(*as.Options)) (*as.DisableMetricsCollectionOutput, error)
	SuspendProcesses(context.Context, *as.SuspendProcessesInput, ...func(*as.Options)) (*as.SuspendProcessesOutput, error)
	ResumeProcesses(context.Context, *as.ResumeProcessesInput, ...func(*as.Options)) (*as.ResumeProcessesOutput, error)
	AttachLoadBalancerTargetGroups(context.Context, *as.AttachLoadBalancerTargetGroupsInput, ...func(*as.Options)) (*as.AttachLoadBalancerTargetGroupsOutput, error)
	DetachLoadBalancerTargetGroups(context.Context, *as.DetachLoadBalancerTargetGroupsInput, ...func(*as.Options)) (*as.DetachLoadBalancerTargetGroupsOutput, error)
	AttachLoadBalancers(context.Context, *as.AttachLoadBalancersInput, ...func(*as.Options)) (*as.AttachLoadBalancersOutput, error)
	AttachTrafficSources(context.Context, *as.AttachTrafficSourcesInput, ...func(*as.Options)) (*as.AttachTrafficSourcesOutput, error)
	DetachTrafficSources(context.Context, *as.DetachTrafficSourcesInput, ...func(*as.Options)) (*as.DetachTrafficSourcesOutput, error)
	PutWarmPool(context.Context, *as.PutWarmPoolInput, ...func(*as.Options)) (*as.PutWarmPoolOutput, error)
	DeleteWarmPool(context.Context, *as.DeleteWarmPoolInput, ...func(*as.Options)) (*as.DeleteWarmPoolOutput, error)
	DetachLoadBalancers(context.Context, *as.DetachLoadBalancersInput, ...func(*as.Options)) (*as.DetachLoadBalancersOutput, error)
}

// GroupsReader is the part of Auto Scaling that a plan needs.
type GroupsReader interface {
	StatusReader
	DescribeAutoScalingGroups(context.Context, *as.DescribeAutoScalingGroupsInput, ...func(*as.Options)) (*as.DescribeAutoScalingGroupsOutput, error)
	DescribeLaunchConfigurations(context.Context, *as.DescribeLaunchConfigurationsInput, ...func(*as.Options)) (*as.DescribeLaunchConfigurationsOutput, error)
	DescribePolicies(context.Context, *as.DescribePoliciesInput, ...func(*as.Options)) (*as.DescribePoliciesOutput, error)
	DescribeScheduledActions(context.Context, *as.DescribeScheduledActionsInput, ...func(*as.Options)) (*as.DescribeScheduledActionsOutput, error)
	DescribeLifecycleHooks(context.Context, *as.DescribeLifecycleHooksInput, ...func(*as.Options)) (*as.DescribeLifecycleHooksOutput, error)
	DescribeNotificationConfigurations(context.Context, *as.DescribeNotificationConfigurationsInput, ...func(*as.Options)) (*as.DescribeNotificationConfigurationsOutput, error)
}

// EC2API is the part of EC2 behind a group.
type EC2API interface {
	DescribeLaunchTemplateVersions(context.Context, *ec2.DescribeLaunchTemplateVersionsInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error)
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
	CreateLaunchTemplate(context.Context, *ec2.CreateLaunchTemplateInput, ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateOutput, error)
	CreateLaunchTemplateVersion(context.Context, *ec2.CreateLaunchTemplateVersionInput, ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateVersionOutput, error)
	ModifyLaunchTemplate(context.Context, *ec2.ModifyLaunchTemplateInput, ...func(*ec2.Options)) (*ec2.ModifyLaunchTemplateOutput, error)
}

// BalancersAPI is the part of Elastic Load Balancing that is read here.
type BalancersAPI interface {
	DescribeTargetGroups(context.Context, *elbv2.DescribeTargetGroupsInput, ...func(*elbv2.Options)) (*elbv2.DescribeTargetGroupsOutput, error)
}

// AlarmsAPI is the part of CloudWatch behind a group.
type AlarmsAPI interface {
	GetMetricData(context.Context, *cloudwatch.GetMetricDataInput, ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error)
	ListMetrics(context.Context, *cloudwatch.ListMetricsInput, ...func(*cloudwatch.Options)) (*cloudwatch.ListMetricsOutput, error)
	DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error)
	PutMetricAlarm(context.Context, *cloudwatch.PutMetricAlarmInput, ...func(*cloudwatch.Options)) (*cloudwatch.PutMetricAlarmOutput, error)
	DeleteAlarms(context.Context, *cloudwatch.DeleteAlarmsInput, ...func(*cloudwatch.Options)) (*cloudwatch.DeleteAlarmsOutput, error)
	ListTagsForResource(context.Context, *cloudwatch.ListTagsForResourceInput, ...func(*cloudwatch.Options)) (*cloudwatch.ListTagsForResourceOutput, error)
	TagResource(context.Context, *cloudwatch.TagResourceInput, ...func(*cloudwatch.Options)) (*cloudwatch.TagResourceOutput, error)
	UntagResource(context.Context, *cloudwatch.UntagResourceInput, ...func(*cloudwatch.Options)) (*cloudwatch.UntagResourceOutput, error)
}

// ParametersAPI is the part of Systems Manager that names images.
type ParametersAPI interface {
	GetParameters(context.Context, *ssm.GetParametersInput, ...func(*ssm.Options)) (*ssm.GetParametersOutput, error)
}
