package asg_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"bakehouse/test/asg"
)

const image = "ami-0ba5e000000000001"

// client speaks to a service under test; name is its case's own.
type client struct {
	ctx  context.Context
	as   *as.Client
	ec2  *ec2.Client
	cw   *cloudwatch.Client
	name string
}

func newClient(t *testing.T, url, name string) client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &url, RetryMaxAttempts: 1, HTTPClient: &asg.Client{}, Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")}
	return client{ctx, as.NewFromConfig(cfg), ec2.NewFromConfig(cfg), cloudwatch.NewFromConfig(cfg), name}
}

// group makes an empty group with a launch template of its own.
func (c client) group(change ...func(*as.CreateAutoScalingGroupInput)) error {
	_, err := c.ec2.CreateLaunchTemplate(c.ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: &c.name,
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: aws.String(image), InstanceType: ec2types.InstanceTypeT3Small}})
	if err != nil {
		return err
	}
	in := &as.CreateAutoScalingGroupInput{AutoScalingGroupName: &c.name, MinSize: aws.Int32(0), MaxSize: aws.Int32(2), AvailabilityZones: []string{"us-east-1a"},
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: &c.name, Version: aws.String("1")}}
	for _, f := range change {
		f(in)
	}
	_, err = c.as.CreateAutoScalingGroup(c.ctx, in)
	return err
}

func (c client) describe() (types.AutoScalingGroup, error) {
	out, err := c.as.DescribeAutoScalingGroups(c.ctx, &as.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{c.name}})
	if err != nil {
		return types.AutoScalingGroup{}, err
	}
	if len(out.AutoScalingGroups) != 1 {
		return types.AutoScalingGroup{}, fmt.Errorf("%d groups of the name", len(out.AutoScalingGroups))
	}
	return out.AutoScalingGroups[0], nil
}

// same is an error unless got is want.
func same(what string, got, want any) error {
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

// code is an error unless err carries the code.
func code(err error, want string) error {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != want {
		return fmt.Errorf("got %v, want %s", err, want)
	}
	return nil
}

// contract is what AWS documents and autoscale leans on.
func contract() map[string]func(client) error {
	all := groupCases()
	maps.Copy(all, partCases())
	maps.Copy(all, otherCases())
	maps.Copy(all, instanceCases())
	maps.Copy(all, actionCases())
	return all
}

// groupCases are about a group's own fields.
func groupCases() map[string]func(client) error {
	return map[string]func(client) error{
		"a group keeps its sizes and template": func(c client) error {
			g, err := c.after(c.group())
			if err != nil {
				return err
			}
			return errors.Join(same("min", *g.MinSize, 0), same("max", *g.MaxSize, 2), same("desired", *g.DesiredCapacity, 0), same("version", *g.LaunchTemplate.Version, "1"))
		},
		"a second group of the name is refused": func(c client) error {
			if err := c.group(); err != nil {
				return err
			}
			_, err := c.as.CreateAutoScalingGroup(c.ctx, &as.CreateAutoScalingGroupInput{AutoScalingGroupName: &c.name, MinSize: aws.Int32(0), MaxSize: aws.Int32(2),
				AvailabilityZones: []string{"us-east-1a"}, LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: &c.name, Version: aws.String("1")}})
			return code(err, "AlreadyExists")
		},
		"warm-up, lifetime and maintenance are kept": func(c client) error {
			g, err := c.after(c.group(func(in *as.CreateAutoScalingGroupInput) {
				in.DefaultInstanceWarmup, in.MaxInstanceLifetime = aws.Int32(60), aws.Int32(86400)
				in.InstanceMaintenancePolicy = &types.InstanceMaintenancePolicy{MinHealthyPercentage: aws.Int32(90), MaxHealthyPercentage: aws.Int32(110)}
			}))
			if err != nil {
				return err
			}
			return errors.Join(same("warm-up", aws.ToInt32(g.DefaultInstanceWarmup), 60), same("lifetime", aws.ToInt32(g.MaxInstanceLifetime), 86400),
				same("maintenance", g.InstanceMaintenancePolicy != nil, true))
		},
		"an update writes cooldown and termination": func(c client) error {
			if err := c.group(); err != nil {
				return err
			}
			_, err := c.as.UpdateAutoScalingGroup(c.ctx, &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &c.name, DefaultCooldown: aws.Int32(7), TerminationPolicies: []string{"OldestInstance"}})
			g, err := c.after(err)
			if err != nil {
				return err
			}
			return errors.Join(same("cooldown", *g.DefaultCooldown, 7), same("termination", g.TerminationPolicies, []string{"OldestInstance"}))
		},
	}
}

// partCases are about what belongs to a group.
func partCases() map[string]func(client) error {
	return map[string]func(client) error{
		"a policy answers its ARN and is listed": func(c client) error {
			if err := c.group(); err != nil {
				return err
			}
			out, err := c.as.PutScalingPolicy(c.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &c.name, PolicyName: aws.String("up"), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: aws.Int32(1)})
			if err != nil {
				return err
			}
			list, err := c.as.DescribePolicies(c.ctx, &as.DescribePoliciesInput{AutoScalingGroupName: &c.name})
			if err != nil || len(list.ScalingPolicies) != 1 {
				return fmt.Errorf("%v, %v", list, err)
			}
			return same("ARN", aws.ToString(out.PolicyARN), aws.ToString(list.ScalingPolicies[0].PolicyARN))
		},
		"a scheduled action is kept": func(c client) error {
			if err := c.group(); err != nil {
				return err
			}
			_, err := c.as.PutScheduledUpdateGroupAction(c.ctx, &as.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: &c.name, ScheduledActionName: aws.String(c.name + "-day"), Recurrence: aws.String("0 8 * * *"), MinSize: aws.Int32(1)})
			if err != nil {
				return err
			}
			out, err := c.as.DescribeScheduledActions(c.ctx, &as.DescribeScheduledActionsInput{AutoScalingGroupName: &c.name})
			if err != nil || len(out.ScheduledUpdateGroupActions) != 1 {
				return fmt.Errorf("%v, %v", out, err)
			}
			return same("recurrence", aws.ToString(out.ScheduledUpdateGroupActions[0].Recurrence), "0 8 * * *")
		},
		"notifications are kept": func(c client) error {
			if err := c.group(); err != nil {
				return err
			}
			_, err := c.as.PutNotificationConfiguration(c.ctx, &as.PutNotificationConfigurationInput{AutoScalingGroupName: &c.name, TopicARN: aws.String("arn:aws:sns:us-east-1:1:t"), NotificationTypes: []string{"autoscaling:TEST_NOTIFICATION"}})
			return err
		},
	}
}

// otherCases are about the rest.
func otherCases() map[string]func(client) error {
	return map[string]func(client) error{
		"hooks are kept": func(c client) error {
			if err := c.group(); err != nil {
				return err
			}
			if _, err := c.as.PutLifecycleHook(c.ctx, &as.PutLifecycleHookInput{AutoScalingGroupName: &c.name, LifecycleHookName: aws.String("h"), LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_LAUNCHING"), HeartbeatTimeout: aws.Int32(60)}); err != nil {
				return err
			}
			out, err := c.as.DescribeLifecycleHooks(c.ctx, &as.DescribeLifecycleHooksInput{AutoScalingGroupName: &c.name})
			if err != nil || len(out.LifecycleHooks) != 1 {
				return fmt.Errorf("%v, %v", out, err)
			}
			return same("timeout", aws.ToInt32(out.LifecycleHooks[0].HeartbeatTimeout), 60)
		},
		"metrics can be switched off": func(c client) error {
			if err := c.group(); err != nil {
				return err
			}
			_, err := c.as.DisableMetricsCollection(c.ctx, &as.DisableMetricsCollectionInput{AutoScalingGroupName: &c.name, Metrics: []string{"GroupTotalInstances"}})
			return err
		},
		"the latest versions of all templates come at once": func(c client) error {
			if err := c.group(); err != nil {
				return err
			}
			out, err := c.ec2.DescribeLaunchTemplateVersions(c.ctx, &ec2.DescribeLaunchTemplateVersionsInput{Versions: []string{"$Latest", "$Default"}})
			if err != nil {
				return err
			}
			return same("some versions", len(out.LaunchTemplateVersions) > 0, true)
		},
		"alarms are kept": func(c client) error {
			_, err := c.cw.PutMetricAlarm(c.ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: &c.name, Namespace: aws.String("N"), MetricName: aws.String("M"), Statistic: "Average",
				ComparisonOperator: "GreaterThanThreshold", Threshold: aws.Float64(70.5), Period: aws.Int32(60), EvaluationPeriods: aws.Int32(2), AlarmActions: []string{"arn:a"}})
			if err != nil {
				return err
			}
			out, err := c.cw.DescribeAlarms(c.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{c.name}})
			if err != nil || len(out.MetricAlarms) != 1 {
				return fmt.Errorf("%v, %v", out, err)
			}
			return same("threshold", *out.MetricAlarms[0].Threshold, 70.5)
		},
	}
}

// after describes unless err has ended the case.
func (c client) after(err error) (types.AutoScalingGroup, error) {
	if err != nil {
		return types.AutoScalingGroup{}, err
	}
	return c.describe()
}

func TestTheServiceKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, check := range contract() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(asg.New(time.Now))
			defer server.Close()
			if err := check(newClient(t, server.URL, "web-group")); err != nil {
				t.Error(err)
			}
		})
	}
}
