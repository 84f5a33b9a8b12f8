//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
)

// scaling is a file of groups, with the clients that look at what became of it.
type scaling struct {
	t      *testing.T
	file   string
	tool   story.Tool // how the tool is called, but for its arguments
	groups *autoscaling.Client
	alarms *cloudwatch.Client
	lb     *elb.Client
}

func newScaling(t *testing.T) *scaling {
	t.Helper()
	theStory(t)
	return &scaling{t, filepath.Join(t.TempDir(), "autoscale.yaml"), story.Tool{Name: "autoscalectl"}, autoscaling.NewFromConfig(s.world.AWS),
		cloudwatch.NewFromConfig(s.world.AWS), elb.NewFromConfig(s.world.AWS)}
}

// write fills the file.
func (x *scaling) write(format string, args ...any) {
	x.t.Helper()
	if err := os.WriteFile(x.file, fmt.Appendf(nil, format, args...), 0o600); err != nil {
		x.t.Fatal(err)
	}
}

// run calls autoscalectl; FILE in args is the file.
func (x *scaling) run(ctx context.Context, args ...string) story.Outcome {
	x.t.Helper()
	for i := range args {
		if args[i] == "FILE" {
			args[i] = x.file
		}
	}
	tool := x.tool
	tool.Args = args
	o, err := s.world.Run(ctx, tool)
	if err != nil {
		x.t.Fatal(err)
	}
	return o
}

// ends calls autoscalectl, wants an exit code, and returns what it said.
func (x *scaling) ends(code int, args ...string) story.Outcome {
	x.t.Helper()
	o := x.run(deadline(x.t, 2*time.Minute), args...)
	if o.Code != code {
		x.t.Fatalf("autoscalectl %v: exit %d, want %d\n%s%s", args, o.Code, code, o.Stdout, o.Stderr)
	}
	return o
}

// settled applies the file, and wants the next plan to be empty.
func (x *scaling) settled() story.Outcome {
	x.t.Helper()
	o := x.ends(0, "apply", "--yes", "FILE")
	x.ends(0, "plan", "--exit-code", "FILE")
	return o
}

// group is a group as AWS has it; nil when there is none.
func (x *scaling) group(ctx context.Context, name string) (*astypes.AutoScalingGroup, error) {
	out, err := x.groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{name}})
	if err != nil || len(out.AutoScalingGroups) == 0 {
		return nil, err
	}
	return &out.AutoScalingGroups[0], nil
}

// serving waits until exactly n instances of a group are there, all in service
// and well, and returns them.
func (x *scaling) serving(ctx context.Context, name string, n int) (all []astypes.Instance) {
	x.t.Helper()
	ctx, cancel := within(ctx, 75*time.Second)
	defer cancel()
	err := story.Until(ctx, 200*time.Millisecond, func() error {
		g, err := x.group(ctx, name)
		if err != nil {
			return err
		}
		if g == nil {
			return fmt.Errorf("there is no group %s", name)
		}
		for _, i := range g.Instances {
			if i.LifecycleState != astypes.LifecycleStateInService || aws.ToString(i.HealthStatus) != "Healthy" {
				return fmt.Errorf("%s is %s, %s", aws.ToString(i.InstanceId), i.LifecycleState, aws.ToString(i.HealthStatus))
			}
		}
		if all = g.Instances; len(all) != n {
			return fmt.Errorf("group %s has %d instances in service, want %d", name, len(all), n)
		}
		return nil
	})
	if err != nil {
		x.t.Fatalf("%v\n%s", err, x.activities(name))
	}
	return all
}

// activities are what a group says it did, latest first.
func (x *scaling) activities(name string) string {
	ctx, cancel := ending(10 * time.Second)
	defer cancel()
	out, err := x.groups.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &name})
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, a := range out.Activities {
		fmt.Fprintf(&b, "%s: %s: %s %s\n", a.StatusCode, aws.ToString(a.Description), aws.ToString(a.Cause), aws.ToString(a.StatusMessage))
	}
	return b.String()
}

// removed ends a group with all it has, and its launch templates and alarms,
// at the end of the test: other tests count what is there.
func (x *scaling) removed(names ...string) {
	x.t.Cleanup(func() {
		ctx, cancel := ending(time.Minute)
		defer cancel()
		for _, name := range names {
			if err := x.remove(ctx, name); err != nil {
				x.t.Errorf("removing group %s: %v", name, err)
			}
		}
	})
}

func (x *scaling) remove(ctx context.Context, name string) error {
	g, err := x.group(ctx, name)
	if err != nil {
		return err
	}
	if g != nil {
		// Nobody waits for the agents: the machines go at once.
		hooks, err := x.groups.DescribeLifecycleHooks(ctx, &autoscaling.DescribeLifecycleHooksInput{AutoScalingGroupName: &name})
		if err != nil {
			return err
		}
		for _, h := range hooks.LifecycleHooks {
			if _, err := x.groups.DeleteLifecycleHook(ctx, &autoscaling.DeleteLifecycleHookInput{AutoScalingGroupName: &name, LifecycleHookName: h.LifecycleHookName}); err != nil {
				return err
			}
		}
		if _, err := x.groups.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: &name, ForceDelete: aws.Bool(true)}); err != nil {
			return err
		}
		if err := x.gone(ctx, name); err != nil {
			return err
		}
	}
	if err := membersGone(ctx, name); err != nil {
		return err
	}
	return x.removeParts(ctx, name)
}

// gone waits until there is no group of the name.
func (x *scaling) gone(ctx context.Context, name string) error {
	return story.Until(ctx, 200*time.Millisecond, func() error {
		if g, err := x.group(ctx, name); err != nil || g == nil {
			return err
		}
		return fmt.Errorf("group %s is still there", name)
	})
}

// membersGone waits until every instance that was a group's is terminated.
func membersGone(ctx context.Context, name string) error {
	return story.Until(ctx, 200*time.Millisecond, func() error {
		out, err := s.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: filter("tag:aws:autoscaling:groupName", name)})
		if err != nil {
			return err
		}
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				if i.State.Name != "terminated" {
					return fmt.Errorf("%s of group %s is %s", aws.ToString(i.InstanceId), name, i.State.Name)
				}
			}
		}
		return nil
	})
}

// removeParts takes away what outlives a group.
func (x *scaling) removeParts(ctx context.Context, name string) error {
	out, err := s.world.EC2.DescribeLaunchTemplates(ctx, &ec2.DescribeLaunchTemplatesInput{})
	if err != nil {
		return err
	}
	for _, l := range out.LaunchTemplates {
		if aws.ToString(l.LaunchTemplateName) != name {
			continue
		}
		if _, err := s.world.EC2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateId: l.LaunchTemplateId}); err != nil {
			return err
		}
	}
	alarms, err := x.alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String(name + "|")})
	if err != nil {
		return err
	}
	for _, a := range alarms.MetricAlarms {
		if _, err := x.alarms.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{aws.ToString(a.AlarmName)}}); err != nil {
			return err
		}
	}
	return nil
}
