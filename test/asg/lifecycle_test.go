package asg_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

const (
	onLaunch = "autoscaling:EC2_INSTANCE_LAUNCHING"
	onEnd    = "autoscaling:EC2_INSTANCE_TERMINATING"
)

// hook puts a hook of 60 seconds.
func (p *plant) hook(name, transition string) {
	p.t.Helper()
	_, err := p.as.PutLifecycleHook(p.ctx, &as.PutLifecycleHookInput{AutoScalingGroupName: &p.name, LifecycleHookName: &name, LifecycleTransition: &transition, HeartbeatTimeout: aws.Int32(60)})
	p.must(err)
}

// answer completes an action of an instance.
func (p *plant) answer(hook, id, result string) {
	p.t.Helper()
	_, err := p.as.CompleteLifecycleAction(p.ctx, &as.CompleteLifecycleActionInput{AutoScalingGroupName: &p.name, LifecycleHookName: &hook, InstanceId: &id, LifecycleActionResult: &result})
	p.must(err)
	p.tick(0)
}

func (p *plant) last() (a types.Activity) {
	p.t.Helper()
	all := p.activities()
	if len(all) == 0 {
		p.t.Fatal("there are no activities")
	}
	return all[0]
}

func TestHooksHoldAnInstanceUntilAllAreAnswered(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0)
	p.hook("ready", onLaunch)
	p.hook("warm", onLaunch)
	p.hook("bye", onEnd)
	p.desired(1)
	p.expect("while hooks wait", "i-01 Pending:Wait")
	c := p.news[len(p.news)-1]
	if c.Target != "InService" || c.Hook != "ready" || c.Token == "" || !c.Until.Equal(p.now.Add(time.Minute)) {
		t.Errorf("the news is %+v", c)
	}
	if a := p.last(); a.StatusCode != types.ScalingActivityStatusCodeMidLifecycleAction {
		t.Errorf("the activity is %s", a.StatusCode)
	}
	_, err := p.as.CompleteLifecycleAction(p.ctx, &as.CompleteLifecycleActionInput{AutoScalingGroupName: &p.name, LifecycleHookName: aws.String("ready"), LifecycleActionToken: &c.Token, LifecycleActionResult: aws.String("CONTINUE")})
	p.must(err)
	p.tick(0)
	p.expect("with one answered", "i-01 Pending:Wait")
	p.answer("warm", "i-01", "CONTINUE")
	p.expect("with both answered", "i-01 InService")
	p.desired(0)
	p.expect("before the end", "i-01 Terminating:Wait")
	if c := p.news[len(p.news)-1]; c.Target != "Terminated" || c.Hook != "bye" {
		t.Errorf("the news is %+v", c)
	}
	p.answer("bye", "i-01", "CONTINUE")
	p.expect("after the end")
}

func TestAHookThatIsAbandonedOrTimesOutEndsTheLaunch(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0)
	p.hook("ready", onLaunch)
	p.desired(1)
	p.answer("ready", "i-01", "ABANDON")
	p.expect("after ABANDON", "i-02 Pending:Wait")
	if a := p.activities(); !slices.ContainsFunc(a, func(a types.Activity) bool {
		return a.StatusCode == "Cancelled" && strings.Contains(*a.StatusMessage, "was completed with ABANDON")
	}) {
		t.Errorf("no activity tells of ABANDON: %d", len(a))
	}
	p.tick(50 * time.Second)
	_, err := p.as.RecordLifecycleActionHeartbeat(p.ctx, &as.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: &p.name, LifecycleHookName: aws.String("ready"), InstanceId: aws.String("i-02")})
	p.must(err)
	p.tick(50 * time.Second)
	p.expect("after a heartbeat", "i-02 Pending:Wait")
	p.tick(10 * time.Second)
	p.expect("when time is out", "i-03 Pending:Wait")
	if p.yard.states["i-02"] != "terminated" {
		t.Errorf("i-02 is %s", p.yard.states["i-02"])
	}
}

func TestStandbyAndDetachTakeInstancesOutOfService(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(3)
	_, err := p.as.EnterStandby(p.ctx, &as.EnterStandbyInput{AutoScalingGroupName: &p.name, InstanceIds: []string{"i-01"}, ShouldDecrementDesiredCapacity: aws.Bool(true)})
	p.must(err)
	p.tick(0)
	p.expect("in standby", "i-01 Standby", "i-02 InService", "i-03 InService")
	_, err = p.as.ExitStandby(p.ctx, &as.ExitStandbyInput{AutoScalingGroupName: &p.name, InstanceIds: []string{"i-01"}})
	p.must(err)
	p.tick(0)
	p.expect("back", "i-01 InService", "i-02 InService", "i-03 InService")
	_, err = p.as.DetachInstances(p.ctx, &as.DetachInstancesInput{AutoScalingGroupName: &p.name, InstanceIds: []string{"i-02"}, ShouldDecrementDesiredCapacity: aws.Bool(false)})
	p.must(err)
	p.tick(0)
	p.expect("with one detached and replaced", "i-01 InService", "i-03 InService", "i-04 InService")
	if p.yard.states["i-02"] != "running" {
		t.Errorf("the detached instance is %s", p.yard.states["i-02"])
	}
	p.desired(2)
	_, err = p.as.AttachInstances(p.ctx, &as.AttachInstancesInput{AutoScalingGroupName: &p.name, InstanceIds: []string{"i-02"}})
	p.must(err)
	p.tick(0)
	if got := p.states(); len(got) != 3 || !slices.Contains(got, "i-02 InService") {
		t.Errorf("after attaching: %q", got)
	}
}

func TestWhatIsIllIsReplaced(t *testing.T) {
	t.Parallel()
	var ill []string
	p := newPlant(t, health(&ill))
	p.size(2, func(in *as.CreateAutoScalingGroupInput) {
		in.HealthCheckType, in.HealthCheckGracePeriod = aws.String("ELB"), aws.Int32(100)
	})
	p.must(p.yard.set("terminated", "i-01"))
	p.tick(time.Second)
	p.expect("with a machine gone", "i-02 InService", "i-03 InService")
	if a := p.activities(); !strings.Contains(*a[0].Cause, "an unhealthy instance needing to be replaced") || !strings.Contains(*a[1].Cause, "an EC2 health check indicating it has been terminated or stopped") {
		t.Errorf("the causes are %q, %q", *a[0].Cause, *a[1].Cause)
	}
	ill = []string{"i-02"}
	p.tick(time.Second)
	p.expect("within the grace period", "i-02 InService", "i-03 InService")
	p.tick(100 * time.Second)
	p.expect("after it", "i-03 InService", "i-04 InService")
	_, err := p.as.SuspendProcesses(p.ctx, &as.SuspendProcessesInput{AutoScalingGroupName: &p.name, ScalingProcesses: []string{"ReplaceUnhealthy"}})
	p.must(err)
	_, err = p.as.SetInstanceHealth(p.ctx, &as.SetInstanceHealthInput{InstanceId: aws.String("i-03"), HealthStatus: aws.String("Unhealthy"), ShouldRespectGracePeriod: aws.Bool(false)})
	p.must(err)
	p.tick(time.Second)
	p.expect("while nothing is replaced", "i-03 InService", "i-04 InService")
	_, err = p.as.ResumeProcesses(p.ctx, &as.ResumeProcessesInput{AutoScalingGroupName: &p.name, ScalingProcesses: []string{"ReplaceUnhealthy"}})
	p.must(err)
	p.tick(time.Second)
	p.expect("afterwards", "i-04 InService", "i-05 InService")
}

func TestAUserEndsInstancesAndSetsCapacityWithinBounds(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(2)
	end := func(id string, less bool) error {
		_, err := p.as.TerminateInstanceInAutoScalingGroup(p.ctx, &as.TerminateInstanceInAutoScalingGroupInput{InstanceId: &id, ShouldDecrementDesiredCapacity: &less})
		p.tick(0)
		return err
	}
	p.must(end("i-01", false))
	p.expect("with a replacement", "i-02 InService", "i-03 InService")
	p.must(end("i-02", true))
	p.expect("with none", "i-03 InService")
	p.must(code(end("i-99", true), "ValidationError"))
	set := func(n int32, honour bool) error {
		_, err := p.as.SetDesiredCapacity(p.ctx, &as.SetDesiredCapacityInput{AutoScalingGroupName: &p.name, DesiredCapacity: &n, HonorCooldown: &honour})
		return err
	}
	p.must(code(set(21, false), "ValidationError"))
	p.must(set(2, true))
	p.must(code(set(3, true), "ScalingActivityInProgress"))
	p.must(set(3, false))
	p.tick(301 * time.Second)
	p.must(set(1, true))
}

func TestScaleInKeepsToPoliciesProtectionAndZones(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0, func(in *as.CreateAutoScalingGroupInput) {
		in.TerminationPolicies, in.AvailabilityZones = []string{"NewestInstance"}, []string{"us-east-1a", "us-east-1b"}
	})
	for i := range 4 {
		p.desired(int32(i + 1))
		p.tick(time.Minute)
	}
	p.desired(3)
	p.expect("newest first", "i-01 InService", "i-02 InService", "i-03 InService")
	_, err := p.as.SetInstanceProtection(p.ctx, &as.SetInstanceProtectionInput{AutoScalingGroupName: &p.name, InstanceIds: []string{"i-01", "i-03"}, ProtectedFromScaleIn: aws.Bool(true)})
	p.must(err)
	p.desired(1)
	p.expect("but for the protected", "i-01 InService", "i-03 InService")
	if a := p.last(); a.StatusCode != "Cancelled" || !strings.Contains(*a.StatusMessage, "protected from scale-in") {
		t.Errorf("the last activity is %s, %s", a.StatusCode, aws.ToString(a.StatusMessage))
	}
	out, err := p.as.DescribeAutoScalingInstances(p.ctx, &as.DescribeAutoScalingInstancesInput{InstanceIds: []string{"i-01"}})
	if err != nil || len(out.AutoScalingInstances) != 1 || !*out.AutoScalingInstances[0].ProtectedFromScaleIn || *out.AutoScalingInstances[0].HealthStatus != "HEALTHY" {
		t.Errorf("DescribeAutoScalingInstances answers %+v, %v", out, err)
	}
}

func TestSuspendedProcessesDoNothing(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	_, err := p.as.SuspendProcesses(p.ctx, &as.SuspendProcessesInput{AutoScalingGroupName: &p.name, ScalingProcesses: []string{"Launch", "Terminate"}})
	p.must(err)
	p.desired(2)
	p.expect("without Launch", "i-01 InService")
	p.desired(0)
	p.expect("without Terminate", "i-01 InService")
	_, err = p.as.ResumeProcesses(p.ctx, &as.ResumeProcessesInput{AutoScalingGroupName: &p.name})
	p.must(err)
	p.tick(0)
	p.expect("with both")
}

// The metadata service announces a termination as soon as the group decides on
// it, and an agent may have its answer before the group looks again.
func TestATerminationHookWaitsFromTheMomentItIsAnnounced(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	p.hook("bye", onEnd)
	in := &as.TerminateInstanceInAutoScalingGroupInput{InstanceId: aws.String("i-01"), ShouldDecrementDesiredCapacity: aws.Bool(true)}
	_, err := p.as.TerminateInstanceInAutoScalingGroup(p.ctx, in)
	p.must(err)
	if last := p.news[len(p.news)-1]; last.Target != "Terminated" || last.Hook != "bye" {
		t.Errorf("the last that was told is %+v, want the hook's wait", last)
	}
	p.answer("bye", "i-01", "CONTINUE") // before the group looks again
	if g, err := p.describe(); err != nil || len(g.Instances) > 0 {
		t.Errorf("after the answer the group has %+v (%v)", g.Instances, err)
	}
}
