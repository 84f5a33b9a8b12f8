package main

import (
	"context"
	"encoding/base64"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/awscfg"
)

// hand makes things as people do, with other tools.
type hand struct {
	t   *testing.T
	as  *as.Client
	ec2 *ec2.Client
	cw  *cloudwatch.Client
}

func (d *desk) hand() hand {
	d.t.Helper()
	w, err := d.world(context.Background(), awscfg.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	return hand{d.t, w.Groups.(*as.Client), w.EC2.(*ec2.Client), w.Alarms.(*cloudwatch.Client)}
}

func must[T any](h hand) func(T, error) T {
	return func(v T, err error) T {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
		return v
	}
}

// template makes the launch template hand with versions 1 and 2.
func (h hand) template() {
	h.t.Helper()
	ctx := context.Background()
	data := &ec2types.RequestLaunchTemplateData{ImageId: aws.String("ami-1"), InstanceType: "t3.small", KeyName: aws.String("ops"), SecurityGroupIds: []string{"sg-12345678"},
		IamInstanceProfile: &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("web")}, Monitoring: &ec2types.LaunchTemplatesMonitoringRequest{Enabled: aws.Bool(true)},
		UserData:        aws.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\necho 'it''s: #1'\n\n  indented\ttab\n"))),
		MetadataOptions: &ec2types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: aws.Int32(2)}}
	must[*ec2.CreateLaunchTemplateOutput](h)(h.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("hand"), LaunchTemplateData: data}))
	data.InstanceType = "t3.large"
	must[*ec2.CreateLaunchTemplateVersionOutput](h)(h.ec2.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateName: aws.String("hand"), LaunchTemplateData: data}))
}

func (h hand) group(in as.CreateAutoScalingGroupInput) {
	h.t.Helper()
	in.AutoScalingGroupName = aws.String("web")
	if in.MinSize == nil {
		in.MinSize, in.MaxSize = aws.Int32(0), aws.Int32(5)
	}
	if in.AvailabilityZones == nil && in.VPCZoneIdentifier == nil {
		in.AvailabilityZones = []string{"us-east-1a"}
	}
	if in.LaunchConfigurationName == nil && in.MixedInstancesPolicy == nil && in.LaunchTemplate == nil {
		in.LaunchTemplate = of("1")
	}
	must[*as.CreateAutoScalingGroupOutput](h)(h.as.CreateAutoScalingGroup(context.Background(), &in))
}

func of(version string) *astypes.LaunchTemplateSpecification {
	return &astypes.LaunchTemplateSpecification{LaunchTemplateName: aws.String("hand"), Version: &version}
}

func (h hand) policy(in as.PutScalingPolicyInput) string {
	h.t.Helper()
	in.AutoScalingGroupName = aws.String("web")
	return *must[*as.PutScalingPolicyOutput](h)(h.as.PutScalingPolicy(context.Background(), &in)).PolicyARN
}

func (h hand) alarm(in cloudwatch.PutMetricAlarmInput) {
	h.t.Helper()
	in.ComparisonOperator, in.EvaluationPeriods, in.Threshold = "GreaterThanThreshold", aws.Int32(2), aws.Float64(1.5)
	if in.Metrics == nil {
		in.Namespace, in.MetricName, in.Statistic, in.Period = aws.String("AWS/SQS"), aws.String("Age"), "Maximum", aws.Int32(60)
	}
	must[*cloudwatch.PutMetricAlarmOutput](h)(h.cw.PutMetricAlarm(context.Background(), &in))
}

func simple() as.PutScalingPolicyInput {
	return as.PutScalingPolicyInput{PolicyName: aws.String("by hand"), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: aws.Int32(1)}
}

// handMade are kinds of groups, by what is special about them.
func handMade() map[string]func(h hand) {
	ctx := context.Background()
	out := map[string]func(h hand){
		"plain":           func(h hand) { h.group(as.CreateAutoScalingGroupInput{}) },
		"latest version":  func(h hand) { h.group(as.CreateAutoScalingGroupInput{LaunchTemplate: of("$Latest")}) },
		"default version": func(h hand) { h.group(as.CreateAutoScalingGroupInput{LaunchTemplate: of("$Default")}) },
		"launch configuration": func(h hand) {
			must[*as.CreateLaunchConfigurationOutput](h)(h.as.CreateLaunchConfiguration(ctx, &as.CreateLaunchConfigurationInput{LaunchConfigurationName: aws.String("lc"), ImageId: aws.String("ami-1"),
				InstanceType: aws.String("t3.small"), UserData: aws.String("IyEvYmluL3NoCg==")}))
			h.group(as.CreateAutoScalingGroupInput{LaunchConfigurationName: aws.String("lc")})
		},
		"load balancers": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{LoadBalancerNames: []string{"classic-1", "classic-2"}, TargetGroupARNs: []string{"arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/a/1"},
				HealthCheckType: aws.String("ELB"), HealthCheckGracePeriod: aws.Int32(77)})
		},
		"mixed policy": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{MixedInstancesPolicy: &astypes.MixedInstancesPolicy{
				LaunchTemplate: &astypes.LaunchTemplate{LaunchTemplateSpecification: of("2"), Overrides: []astypes.LaunchTemplateOverrides{
					{InstanceType: aws.String("t3.small"), WeightedCapacity: aws.String("1")}, {InstanceType: aws.String("t3.large"), WeightedCapacity: aws.String("4")}}},
				InstancesDistribution: &astypes.InstancesDistribution{OnDemandBaseCapacity: aws.Int32(1), OnDemandPercentageAboveBaseCapacity: aws.Int32(0), SpotAllocationStrategy: aws.String("price-capacity-optimized")}}})
		},
		"network and capacity": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{MinSize: aws.Int32(1), MaxSize: aws.Int32(9), DesiredCapacity: aws.Int32(3), VPCZoneIdentifier: aws.String("subnet-1,subnet-2"), DefaultCooldown: aws.Int32(9),
				DefaultInstanceWarmup: aws.Int32(11), MaxInstanceLifetime: aws.Int32(86400), CapacityRebalance: aws.Bool(true), TerminationPolicies: []string{"OldestInstance", "Default"}, NewInstancesProtectedFromScaleIn: aws.Bool(true),
				InstanceMaintenancePolicy: &astypes.InstanceMaintenancePolicy{MinHealthyPercentage: aws.Int32(90), MaxHealthyPercentage: aws.Int32(120)},
				Tags:                      []astypes.Tag{{Key: aws.String("Name"), Value: aws.String("a: b #c"), PropagateAtLaunch: aws.Bool(true)}, {Key: aws.String("Cost"), Value: aws.String("007"), PropagateAtLaunch: aws.Bool(false)}}})
		},
	}
	maps.Copy(out, withParts())
	maps.Copy(out, withRareThings())
	return out
}

// withParts are groups with things that have calls of their own.
func withParts() map[string]func(h hand) {
	ctx := context.Background()
	web := aws.String("web")
	return map[string]func(h hand){
		"hooks": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{LifecycleHookSpecificationList: []astypes.LifecycleHookSpecification{{LifecycleHookName: aws.String("in"), LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_LAUNCHING"),
				HeartbeatTimeout: aws.Int32(60), DefaultResult: aws.String("ABANDON"), NotificationMetadata: aws.String(`{"a": 1}`)}}})
			must[*as.PutLifecycleHookOutput](h)(h.as.PutLifecycleHook(ctx, &as.PutLifecycleHookInput{AutoScalingGroupName: web, LifecycleHookName: aws.String("out"), LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_TERMINATING")}))
		},
		"schedules": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{})
			for _, in := range []as.PutScheduledUpdateGroupActionInput{
				{ScheduledActionName: aws.String("day"), Recurrence: aws.String("0 8 * * 1-5"), TimeZone: aws.String("Europe/Berlin"), MinSize: aws.Int32(2), DesiredCapacity: aws.Int32(3)},
				{ScheduledActionName: aws.String("once"), StartTime: aws.Time(time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)), MaxSize: aws.Int32(9)},
			} {
				in.AutoScalingGroupName = web
				must[*as.PutScheduledUpdateGroupActionOutput](h)(h.as.PutScheduledUpdateGroupAction(ctx, &in))
			}
		},
		"switches and notifications": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{})
			must[*as.SuspendProcessesOutput](h)(h.as.SuspendProcesses(ctx, &as.SuspendProcessesInput{AutoScalingGroupName: web, ScalingProcesses: []string{"AZRebalance", "ReplaceUnhealthy"}}))
			must[*as.EnableMetricsCollectionOutput](h)(h.as.EnableMetricsCollection(ctx, &as.EnableMetricsCollectionInput{AutoScalingGroupName: web, Granularity: aws.String("1Minute"), Metrics: []string{"GroupMinSize"}}))
			must[*as.PutNotificationConfigurationOutput](h)(h.as.PutNotificationConfiguration(ctx, &as.PutNotificationConfigurationInput{AutoScalingGroupName: web, TopicARN: aws.String("arn:aws:sns:us-east-1:1:t"),
				NotificationTypes: []string{"autoscaling:EC2_INSTANCE_TERMINATE", "autoscaling:EC2_INSTANCE_LAUNCH"}}))
		},
		"policies and alarms": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{})
			arn := h.policy(simple())
			h.alarm(cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("queue is old"), AlarmActions: []string{arn}, Dimensions: []cwtypes.Dimension{{Name: aws.String("QueueName"), Value: aws.String("jobs")}}})
			h.policy(as.PutScalingPolicyInput{PolicyName: aws.String("web|steps"), PolicyType: aws.String("StepScaling"), AdjustmentType: aws.String("PercentChangeInCapacity"), MinAdjustmentMagnitude: aws.Int32(2),
				StepAdjustments: []astypes.StepAdjustment{{MetricIntervalLowerBound: aws.Float64(0), MetricIntervalUpperBound: aws.Float64(10), ScalingAdjustment: aws.Int32(10)}, {MetricIntervalLowerBound: aws.Float64(10), ScalingAdjustment: aws.Int32(30)}}})
			h.policy(as.PutScalingPolicyInput{PolicyName: aws.String("cpu"), PolicyType: aws.String("TargetTrackingScaling"), TargetTrackingConfiguration: &astypes.TargetTrackingConfiguration{TargetValue: aws.Float64(50),
				PredefinedMetricSpecification: &astypes.PredefinedMetricSpecification{PredefinedMetricType: "ASGAverageCPUUtilization"}}})
			h.policy(as.PutScalingPolicyInput{PolicyName: aws.String("math"), PolicyType: aws.String("TargetTrackingScaling"), TargetTrackingConfiguration: &astypes.TargetTrackingConfiguration{TargetValue: aws.Float64(7),
				CustomizedMetricSpecification: &astypes.CustomizedMetricSpecification{Metrics: []astypes.TargetTrackingMetricDataQuery{
					{Id: aws.String("m1"), ReturnData: aws.Bool(false), MetricStat: &astypes.TargetTrackingMetricStat{Stat: aws.String("Sum"), Metric: &astypes.Metric{Namespace: aws.String("AWS/SQS"), MetricName: aws.String("Visible"),
						Dimensions: []astypes.MetricDimension{{Name: aws.String("QueueName"), Value: aws.String("jobs")}}}}},
					{Id: aws.String("e1"), Expression: aws.String("m1 / 2"), ReturnData: aws.Bool(true)}}}}})
		},
	}
}

// withRareThings are groups with what few people use.
func withRareThings() map[string]func(h hand) {
	ctx := context.Background()
	web := aws.String("web")
	return map[string]func(h hand){
		"warm pool": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{})
			must[*as.PutWarmPoolOutput](h)(h.as.PutWarmPool(ctx, &as.PutWarmPoolInput{AutoScalingGroupName: web, MinSize: aws.Int32(2), MaxGroupPreparedCapacity: aws.Int32(4), PoolState: "Hibernated",
				InstanceReusePolicy: &astypes.InstanceReusePolicy{ReuseOnScaleIn: aws.Bool(true)}}))
		},
		"traffic sources": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{TrafficSources: []astypes.TrafficSourceIdentifier{{Identifier: aws.String("arn:aws:vpc-lattice:us-east-1:123456789012:targetgroup/tg-0123456789abcdef0"), Type: aws.String("vpc-lattice")}}})
		},
		"types by attributes": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{MixedInstancesPolicy: &astypes.MixedInstancesPolicy{LaunchTemplate: &astypes.LaunchTemplate{LaunchTemplateSpecification: of("2"), Overrides: []astypes.LaunchTemplateOverrides{
				{InstanceRequirements: &astypes.InstanceRequirements{VCpuCount: &astypes.VCpuCountRequest{Min: aws.Int32(2), Max: aws.Int32(8)}, MemoryMiB: &astypes.MemoryMiBRequest{Min: aws.Int32(4096)},
					CpuManufacturers: []astypes.CpuManufacturer{"amd"}, BurstablePerformance: "excluded"}}}}}})
		},
		"a predictive policy": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{})
			h.policy(as.PutScalingPolicyInput{PolicyName: aws.String("web|forecast"), PolicyType: aws.String("PredictiveScaling"), PredictiveScalingConfiguration: &astypes.PredictiveScalingConfiguration{Mode: "ForecastOnly",
				MetricSpecifications: []astypes.PredictiveScalingMetricSpecification{{TargetValue: aws.Float64(40), PredefinedMetricPairSpecification: &astypes.PredictiveScalingPredefinedMetricPair{PredefinedMetricType: "ASGCPUUtilization"}}}}})
		},
		"a template with disks and interfaces": func(h hand) {
			must[*ec2.CreateLaunchTemplateOutput](h)(h.ec2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("web"), LaunchTemplateData: &ec2types.RequestLaunchTemplateData{
				ImageId: aws.String("ami-1"), InstanceType: "t3.small", EbsOptimized: aws.Bool(true),
				BlockDeviceMappings: []ec2types.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: aws.String("/dev/sda1"), Ebs: &ec2types.LaunchTemplateEbsBlockDeviceRequest{VolumeSize: aws.Int32(20), VolumeType: "gp3",
					Encrypted: aws.Bool(true), DeleteOnTermination: aws.Bool(true)}}},
				NetworkInterfaces: []ec2types.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{{DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: aws.Bool(false), Groups: []string{"sg-12345678"}}},
				TagSpecifications: []ec2types.LaunchTemplateTagSpecificationRequest{{ResourceType: "volume", Tags: []ec2types.Tag{{Key: aws.String("Team"), Value: aws.String("shop")}}}}}}))
			h.group(as.CreateAutoScalingGroupInput{LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateName: aws.String("web"), Version: aws.String("1")}})
		},
		"odd names": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{Tags: []astypes.Tag{{Key: aws.String("yes"), Value: aws.String("")}, {Key: aws.String("a:b/c"), Value: aws.String("true"), PropagateAtLaunch: aws.Bool(true)}}})
			arn := h.policy(as.PutScalingPolicyInput{PolicyName: aws.String("web|on|off"), AdjustmentType: aws.String("ExactCapacity"), ScalingAdjustment: aws.Int32(0)})
			h.alarm(cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("web|null: ~"), AlarmActions: []string{arn}, Metrics: []cwtypes.MetricDataQuery{
				{Id: aws.String("m1"), ReturnData: aws.Bool(false), MetricStat: &cwtypes.MetricStat{Stat: aws.String("Sum"), Period: aws.Int32(60), Metric: &cwtypes.Metric{Namespace: aws.String("A"), MetricName: aws.String("B")}}},
				{Id: aws.String("e1"), Expression: aws.String("m1 * 2"), ReturnData: aws.Bool(true)}}})
		},
		"an alarm that tells somebody": func(h hand) {
			h.group(as.CreateAutoScalingGroupInput{})
			h.alarm(cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("web|gone|M"), AlarmActions: []string{"arn:aws:sns:us-east-1:1:t"}, OKActions: []string{"arn:aws:sns:us-east-1:1:u"}})
		},
	}
}

func TestAPlanAfterAnImportIsEmpty(t *testing.T) {
	t.Parallel()
	for what, make := range handMade() {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			h := d.hand()
			h.template()
			make(h)
			code, out, errs := d.run("import", "--region", "us-east-1", "web")
			if code != 0 {
				t.Fatalf("import ends with %d: %s", code, errs)
			}
			d.write(out)
			d.want(0, "valid", "validate", "FILE")
			if plan := d.want(0, "Nothing to change", "plan", "--exit-code", "FILE"); !strings.HasPrefix(plan, "Nothing") {
				t.Errorf("imported as\n%s\nthe notes are\n%s", out, errs)
			}
		})
	}
}

func TestImportSaysWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	for what, want := range map[string]string{"launch configuration": "note: web: launch is left out: the group still uses launch configuration lc"} {
		d := newDesk(t)
		h := d.hand()
		h.template()
		handMade()[what](h)
		d.want(0, want, "import", "--region", "us-east-1", "web")
	}
}

func TestImportOfOneHalfWritesTheWholeBackstop(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.write(backed)
	d.want(0, "", "apply", "--yes", "FILE")
	code, out, errs := d.run("import", "--region", "us-east-1", "web-backstop")
	if code != 0 || !strings.Contains(errs, "note: web-backstop: it is the on-demand half of web; both are written as web, with mode backstop") || !strings.Contains(out, "mode: backstop") {
		t.Fatalf("import ends with %d: %s\n%s", code, errs, out)
	}
	d.write(out)
	d.want(0, "Nothing to change", "plan", "--exit-code", "FILE")
}
