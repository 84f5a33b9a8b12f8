package asg_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/test/asg"
)

// wrong are calls that AWS refuses, with its code; name is a group of one.
func wrong(c client) map[string]error {
	var err error
	out := map[string]error{}
	add := func(want, what string) { out[what] = code(err, want) }
	update := func(change func(*as.UpdateAutoScalingGroupInput)) {
		in := &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &c.name}
		change(in)
		_, err = c.as.UpdateAutoScalingGroup(c.ctx, in)
	}
	update(func(in *as.UpdateAutoScalingGroupInput) { in.MinSize = aws.Int32(99) })
	add("ValidationError", "min above max")
	update(func(in *as.UpdateAutoScalingGroupInput) { in.DesiredCapacity = aws.Int32(99) })
	add("ValidationError", "desired outside")
	update(func(in *as.UpdateAutoScalingGroupInput) { in.TerminationPolicies = []string{"Youngest"} })
	add("ValidationError", "an unknown termination policy")
	update(func(in *as.UpdateAutoScalingGroupInput) { in.MaxInstanceLifetime = aws.Int32(60) })
	add("ValidationError", "a lifetime under a day")
	update(func(in *as.UpdateAutoScalingGroupInput) {
		in.LaunchTemplate = &types.LaunchTemplateSpecification{LaunchTemplateName: &c.name, Version: aws.String("99")}
	})
	add("ValidationError", "a version that is not there")
	_, err = c.as.DescribeAutoScalingGroups(c.ctx, &as.DescribeAutoScalingGroupsInput{NextToken: aws.String("2")})
	add("InvalidNextToken", "a token that nobody gave")
	_, err = c.as.DescribeAutoScalingGroups(c.ctx, &as.DescribeAutoScalingGroupsInput{MaxRecords: aws.Int32(101)})
	add("ValidationError", "a page too large")
	_, err = c.as.DeleteAutoScalingGroup(c.ctx, &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &c.name})
	add("ResourceInUse", "deleting a group with instances")
	_, err = c.as.SuspendProcesses(c.ctx, &as.SuspendProcessesInput{AutoScalingGroupName: &c.name, ScalingProcesses: []string{"Dance"}})
	add("ValidationError", "an unknown process")
	_, err = c.as.PutLifecycleHook(c.ctx, &as.PutLifecycleHookInput{AutoScalingGroupName: &c.name, LifecycleHookName: aws.String("h"), LifecycleTransition: aws.String(onEnd), HeartbeatTimeout: aws.Int32(5)})
	add("ValidationError", "a heartbeat of 5 seconds")
	_, err = c.as.CompleteLifecycleAction(c.ctx, &as.CompleteLifecycleActionInput{AutoScalingGroupName: &c.name, LifecycleHookName: aws.String("none"), LifecycleActionResult: aws.String("CONTINUE"), InstanceId: aws.String("i-1")})
	add("ValidationError", "an action of no hook")
	_, err = c.as.PutScalingPolicy(c.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &c.name, PolicyName: aws.String("p"), PolicyType: aws.String("StepScaling"), AdjustmentType: aws.String("ChangeInCapacity"),
		StepAdjustments: []types.StepAdjustment{{MetricIntervalUpperBound: aws.Float64(5), ScalingAdjustment: aws.Int32(1)}, {MetricIntervalLowerBound: aws.Float64(6), ScalingAdjustment: aws.Int32(2)}}})
	add("ValidationError", "a gap between steps")
	_, err = c.as.PutScalingPolicy(c.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &c.name, PolicyName: aws.String("p"), AdjustmentType: aws.String("ChangeInCapacity")})
	add("ValidationError", "a simple policy without adjustment")
	_, err = c.as.StartInstanceRefresh(c.ctx, &as.StartInstanceRefreshInput{AutoScalingGroupName: &c.name, Preferences: &types.RefreshPreferences{MaxHealthyPercentage: aws.Int32(120)}})
	add("ValidationError", "a refresh with a maximum only")
	_, err = c.as.StartInstanceRefresh(c.ctx, &as.StartInstanceRefreshInput{AutoScalingGroupName: &c.name, Preferences: &types.RefreshPreferences{CheckpointPercentages: []int32{50, 20}}})
	add("ValidationError", "checkpoints that fall")
	_, err = c.as.PutWarmPool(c.ctx, &as.PutWarmPoolInput{AutoScalingGroupName: &c.name, MinSize: aws.Int32(5), MaxGroupPreparedCapacity: aws.Int32(2)})
	add("ValidationError", "a warm pool whose bounds do not fit")
	_, err = c.as.EnterStandby(c.ctx, &as.EnterStandbyInput{AutoScalingGroupName: &c.name, InstanceIds: []string{"i-99"}, ShouldDecrementDesiredCapacity: aws.Bool(true)})
	add("ValidationError", "standby of a stranger")
	_, err = c.as.PutNotificationConfiguration(c.ctx, &as.PutNotificationConfigurationInput{AutoScalingGroupName: &c.name, TopicARN: aws.String("arn:t"), NotificationTypes: []string{"autoscaling:PARTY"}})
	add("ValidationError", "an unknown notification")
	_, err = c.as.EnableMetricsCollection(c.ctx, &as.EnableMetricsCollectionInput{AutoScalingGroupName: &c.name, Granularity: aws.String("5Minutes")})
	add("ValidationError", "another granularity")
	return out
}

func TestWhatAWSRefusesIsRefusedAndLeavesTheGroupAsItWas(t *testing.T) {
	t.Parallel()
	p := newPlant(t, func(c *asg.Config) { c.Zones = []string{"us-east-1a", "us-east-1b"} })
	p.size(1)
	before, err := p.describe()
	p.must(err)
	for what, err := range wrong(p.client) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	after, err := p.describe()
	p.must(err)
	if a, b := plainOf(t, before), plainOf(t, after); a != b {
		t.Errorf("the group was %s and is %s", a, b)
	}
	other := p.client
	other.name = "far"
	p.must(code(other.group(func(in *as.CreateAutoScalingGroupInput) { in.AvailabilityZones = []string{"eu-north-1a"} }), "ValidationError"))
}

func TestProtectionAndActivitiesStopADeletion(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1, func(in *as.CreateAutoScalingGroupInput) {
		in.DeletionProtection = types.DeletionProtectionPreventForceDeletion
	})
	drop := func(force bool) error {
		_, err := p.as.DeleteAutoScalingGroup(p.ctx, &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &p.name, ForceDelete: &force})
		return err
	}
	p.must(code(drop(true), "ResourceInUse"))
	p.hook("bye", onEnd)
	p.desired(0)
	p.must(code(drop(false), "ScalingActivityInProgress"))
	_, err := p.as.UpdateAutoScalingGroup(p.ctx, &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &p.name, DeletionProtection: types.DeletionProtectionNone})
	p.must(err)
	p.must(drop(true))
	g, err := p.describe()
	if err != nil || aws.ToString(g.Status) != "Delete in progress" {
		t.Errorf("the status is %q, %v", aws.ToString(g.Status), err)
	}
	p.tick(0)
	if _, err := p.describe(); err == nil {
		t.Error("the group is still there")
	}
	if p.yard.states["i-01"] != "terminated" {
		t.Errorf("its instance is %s", p.yard.states["i-01"])
	}
}

func TestLimitsOfAGroupAreKept(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0)
	for i := range 51 {
		name := fmt.Sprint("hook-", i)
		_, err := p.as.PutLifecycleHook(p.ctx, &as.PutLifecycleHookInput{AutoScalingGroupName: &p.name, LifecycleHookName: &name, LifecycleTransition: aws.String(onLaunch)})
		if i < 50 {
			p.must(err)
		} else {
			p.must(code(err, "LimitExceeded"))
		}
	}
	_, err := p.as.PutLifecycleHook(p.ctx, &as.PutLifecycleHookInput{AutoScalingGroupName: &p.name, LifecycleHookName: aws.String("hook-7"), HeartbeatTimeout: aws.Int32(90)})
	p.must(err)
	p.s.Fail("UpdateAutoScalingGroup", "ResourceContention")
	_, err = p.as.UpdateAutoScalingGroup(p.ctx, &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &p.name, MaxSize: aws.Int32(3)})
	p.must(code(err, "ResourceContention"))
}

func TestWhatChangedIsSeenLater(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.s.Lag(2)
	p.must(p.group())
	for range 2 {
		if _, err := p.describe(); err == nil {
			t.Fatal("a new group is seen at once")
		}
	}
	if _, err := p.describe(); err != nil {
		t.Fatal(err)
	}
	_, err := p.as.CreateOrUpdateTags(p.ctx, &as.CreateOrUpdateTagsInput{Tags: []types.Tag{{ResourceId: &p.name, ResourceType: aws.String("auto-scaling-group"), Key: aws.String("k"), Value: aws.String("v")}}})
	p.must(err)
	for i, want := range []int{0, 0, 1} {
		out, err := p.as.DescribeTags(p.ctx, &as.DescribeTagsInput{Filters: []types.Filter{{Name: aws.String("auto-scaling-group"), Values: []string{p.name}}}})
		if err != nil || len(out.Tags) != want {
			t.Errorf("call %d sees %d tags, want %d, %v", i, len(out.Tags), want, err)
		}
	}
}

func TestTrafficSourcesAreOneListInTwoViews(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0, func(in *as.CreateAutoScalingGroupInput) { in.TargetGroupARNs = []string{"arn:one"} })
	_, err := p.as.AttachTrafficSources(p.ctx, &as.AttachTrafficSourcesInput{AutoScalingGroupName: &p.name, TrafficSources: []types.TrafficSourceIdentifier{{Identifier: aws.String("arn:two"), Type: aws.String("elbv2")}, {Identifier: aws.String("arn:lattice"), Type: aws.String("vpc-lattice")}}})
	p.must(err)
	_, err = p.as.DetachLoadBalancerTargetGroups(p.ctx, &as.DetachLoadBalancerTargetGroupsInput{AutoScalingGroupName: &p.name, TargetGroupARNs: []string{"arn:one"}})
	p.must(err)
	out, err := p.as.DescribeTrafficSources(p.ctx, &as.DescribeTrafficSourcesInput{AutoScalingGroupName: &p.name})
	p.must(err)
	var ids []string
	for _, s := range out.TrafficSources {
		ids = append(ids, *s.Identifier+" "+*s.State)
	}
	slices.Sort(ids)
	g, err := p.describe()
	if !slices.Equal(ids, []string{"arn:lattice InService", "arn:two InService"}) || err != nil || !slices.Equal(g.TargetGroupARNs, []string{"arn:two"}) {
		t.Errorf("the sources are %q, the target groups %q, %v", ids, g.TargetGroupARNs, err)
	}
	_, err = p.as.DetachTrafficSources(p.ctx, &as.DetachTrafficSourcesInput{AutoScalingGroupName: &p.name, TrafficSources: []types.TrafficSourceIdentifier{{Identifier: aws.String("arn:two")}}})
	p.must(err)
	if g, err := p.describe(); err != nil || len(g.TargetGroupARNs) != 0 || len(g.TrafficSources) != 1 {
		t.Errorf("afterwards: %q, %+v, %v", g.TargetGroupARNs, g.TrafficSources, err)
	}
}

func TestTopicsHearOfLaunchesEndsAndFailures(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0)
	_, err := p.as.PutNotificationConfiguration(p.ctx, &as.PutNotificationConfigurationInput{AutoScalingGroupName: &p.name, TopicARN: aws.String("arn:topic"),
		NotificationTypes: []string{"autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_LAUNCH_ERROR", "autoscaling:EC2_INSTANCE_TERMINATE"}})
	p.must(err)
	p.desired(1)
	p.yard.refuse["all"] = "UnauthorizedOperation"
	p.desired(2)
	p.desired(0)
	var events []string
	for _, n := range p.s.Sent() {
		events = append(events, strings.TrimPrefix(n.Event, "autoscaling:")+" "+n.Instance)
	}
	if want := []string{"TEST_NOTIFICATION ", "EC2_INSTANCE_LAUNCH i-01", "EC2_INSTANCE_LAUNCH_ERROR ", "EC2_INSTANCE_TERMINATE i-01"}; !slices.Equal(events, want) {
		t.Errorf("sent %q, want %q", events, want)
	}
}

// elsewhere finds templates that a test moves.
type elsewhere struct{ latest string }

func (e *elsewhere) Resolve(_ context.Context, ref asg.TemplateRef) (asg.Template, error) {
	if ref.Name != "web" && ref.ID != "lt-1" {
		return asg.Template{}, fmt.Errorf("the launch template %s does not exist", ref.Name)
	}
	version := ref.Version
	if version == "$Latest" {
		version = e.latest
	}
	return asg.Template{ID: "lt-1", Name: "web", Version: version, Type: "t" + version + ".small"}, nil
}

func TestTemplatesMayLiveElsewhere(t *testing.T) {
	t.Parallel()
	e := &elsewhere{latest: "4"}
	p := newPlant(t, func(c *asg.Config) { c.Templates = e })
	create := func(name, version string) error {
		_, err := p.as.CreateAutoScalingGroup(p.ctx, &as.CreateAutoScalingGroupInput{AutoScalingGroupName: &p.name, MinSize: aws.Int32(1), MaxSize: aws.Int32(3), AvailabilityZones: []string{"us-east-1a"},
			LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: &name, Version: &version}})
		return err
	}
	p.must(code(create("none", "1"), "ValidationError"))
	p.must(create("web", "$Latest"))
	p.tick(0)
	e.latest = "5"
	p.desired(2)
	if got := p.versions(); got != "4 5" {
		t.Errorf("the instances have versions %s, want 4 5", got)
	}
	if g, err := p.describe(); err != nil || *g.Instances[1].InstanceType != "t5.small" || p.yard.started[1].Type != "" {
		t.Errorf("the second has type %s, %v, launched with %q", *g.Instances[1].InstanceType, err, p.yard.started[1].Type)
	}
	p.must(p.refresh("", types.RefreshPreferences{SkipMatching: aws.Bool(true), InstanceWarmup: aws.Int32(0)}))
	p.tick(0)
	if got := p.versions(); got != "5 5" {
		t.Errorf("after the refresh the instances have versions %s, want 5 5", got)
	}
	_, err := p.ec2.DescribeLaunchTemplateVersions(p.ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: aws.String("web")})
	p.must(code(err, "InvalidAction"))
}

// asking are machines that ask the service while they launch, as the lab's do.
type asking struct {
	yard
	ask func() error
}

func (a *asking) Launch(ctx context.Context, in asg.Launch) (string, error) {
	if err := a.ask(); err != nil {
		return "", err
	}
	return a.yard.Launch(ctx, in)
}

func TestCallsAreAnsweredWhileMachinesLaunch(t *testing.T) {
	t.Parallel()
	m := &asking{yard: yard{states: map[string]string{}}}
	s := asg.With(asg.Config{Machines: m, Parallel: 4, Now: func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }})
	server := httptest.NewServer(s)
	defer server.Close()
	c := newClient(t, server.URL, "web")
	m.ask = func() error { _, err := c.describe(); return err }
	if err := c.group(func(in *as.CreateAutoScalingGroupInput) { in.MinSize, in.MaxSize = aws.Int32(6), aws.Int32(6) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Tick(c.ctx); err != nil {
		t.Fatal(err)
	}
	if g, err := c.describe(); err != nil || len(g.Instances) != 6 {
		t.Errorf("%d instances, %v", len(g.Instances), err)
	}
}

// plainOf is a value as JSON.
func plainOf(t *testing.T, v any) string {
	t.Helper()
	return plain(t, reflect.ValueOf(v))
}
