package asg_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/test/asg"
)

func TestAMaintenancePolicyReplacesBeforeItEnds(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1, func(in *as.CreateAutoScalingGroupInput) {
		in.InstanceMaintenancePolicy = &types.InstanceMaintenancePolicy{MinHealthyPercentage: aws.Int32(100), MaxHealthyPercentage: aws.Int32(200)}
		in.MaxInstanceLifetime = aws.Int32(86400)
	})
	p.yard.boots = "pending"
	_, err := p.as.SetInstanceHealth(p.ctx, &as.SetInstanceHealthInput{InstanceId: aws.String("i-01"), HealthStatus: aws.String("Unhealthy"), ShouldRespectGracePeriod: aws.Bool(false)})
	p.must(err)
	p.tick(time.Second)
	p.expect("while the new one boots", "i-01 InService", "i-02 Pending")
	p.must(p.yard.set("running", "i-02"))
	p.tick(time.Second)
	p.tick(time.Second)
	p.expect("when it serves", "i-02 InService")
	p.yard.boots = ""
	p.tick(24 * time.Hour)
	p.expect("after a day", "i-03 InService")
	if a := p.last(); !strings.Contains(*a.Cause, "maximum lifetime") {
		t.Errorf("the cause is %q", *a.Cause)
	}
}

func TestAnAbandonedEndIsRetainedWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1, func(in *as.CreateAutoScalingGroupInput) {
		in.InstanceLifecyclePolicy = &types.InstanceLifecyclePolicy{RetentionTriggers: &types.RetentionTriggers{TerminateHookAbandon: types.RetentionActionRetain}}
	})
	p.hook("bye", onEnd)
	p.desired(0)
	p.answer("bye", "i-01", "ABANDON")
	p.expect("retained", "i-01 Terminating:Retained")
	_, err := p.as.DeleteLifecycleHook(p.ctx, &as.DeleteLifecycleHookInput{AutoScalingGroupName: &p.name, LifecycleHookName: aws.String("bye")})
	p.must(err)
	p.must(p.out("i-01", false))
	p.tick(0)
	p.expect("ended by hand")
}

func TestAHookThatIsDeletedLetsGo(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	p.hook("bye", onEnd)
	p.desired(0)
	p.expect("held", "i-01 Terminating:Wait")
	_, err := p.as.DeleteLifecycleHook(p.ctx, &as.DeleteLifecycleHookInput{AutoScalingGroupName: &p.name, LifecycleHookName: aws.String("bye")})
	p.must(err)
	p.tick(0)
	p.expect("let go")
}

func TestTheOldestTemplateGoesFirst(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"OldestLaunchTemplate", "Default", "OldestInstance"} {
		p := newPlant(t)
		p.size(1, func(in *as.CreateAutoScalingGroupInput) { in.TerminationPolicies = []string{policy} })
		p.must(p.next())
		_, err := p.as.UpdateAutoScalingGroup(p.ctx, &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &p.name, LaunchTemplate: p.to("2").LaunchTemplate})
		p.must(err)
		p.tick(90 * time.Minute)
		p.desired(2)
		p.desired(1)
		p.expect(policy, "i-02 InService")
	}
}

func TestWhatEC2DoesNotKnowYetIsNotGone(t *testing.T) {
	t.Parallel()
	late := &lateYard{yard: yard{states: map[string]string{}}}
	p := newPlant(t, func(c *asg.Config) { c.Machines = late })
	p.size(1)
	p.expect("before EC2 knows it", "i-01 Pending")
	late.known = true
	p.tick(time.Second)
	p.expect("when it does", "i-01 InService")
	late.known = false
	p.tick(time.Second)
	if got := p.states(); len(got) != 1 || !strings.HasPrefix(got[0], "i-02") {
		t.Errorf("one that vanishes later is not replaced: %q", got)
	}
}

// lateYard knows of no machine at first.
type lateYard struct {
	yard
	known bool
}

func (y *lateYard) States(ctx context.Context, ids []string) (map[string]string, error) {
	if !y.known {
		return nil, nil
	}
	return y.yard.States(ctx, ids)
}

func TestAListenerMayCallTheService(t *testing.T) {
	t.Parallel()
	var seen []string
	var p *plant
	p = newPlant(t, func(c *asg.Config) {
		c.Notify = func(c asg.Change) {
			if c.Hook != "" {
				_, err := p.as.CompleteLifecycleAction(p.ctx, &as.CompleteLifecycleActionInput{AutoScalingGroupName: &p.name, LifecycleHookName: &c.Hook, InstanceId: &c.Instance, LifecycleActionResult: aws.String("CONTINUE")})
				if err != nil {
					t.Error(err)
				}
			}
			seen = append(seen, c.State)
		}
	})
	p.size(0)
	p.hook("ready", onLaunch)
	p.desired(1)
	p.tick(0)
	p.expect("answered by the listener", "i-01 InService")
	if want := []string{"Pending", "Pending:Wait", "Pending:Proceed", "InService"}; !slices.Equal(seen, want) {
		t.Errorf("heard %q, want %q", seen, want)
	}
}

func TestActivitiesOutliveTheirGroup(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	_, err := p.as.DeleteAutoScalingGroup(p.ctx, &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &p.name, ForceDelete: aws.Bool(true)})
	p.must(err)
	p.tick(0)
	for _, deleted := range []bool{false, true} {
		out, err := p.as.DescribeScalingActivities(p.ctx, &as.DescribeScalingActivitiesInput{AutoScalingGroupName: &p.name, IncludeDeletedGroups: &deleted})
		if want := map[bool]int{true: 2}[deleted]; err != nil || len(out.Activities) != want {
			t.Errorf("deleted groups %t: %d activities, want %d, %v", deleted, len(out.Activities), want, err)
		}
	}
}

func TestSchedulesAreBatched(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0)
	out, err := p.as.BatchPutScheduledUpdateGroupAction(p.ctx, &as.BatchPutScheduledUpdateGroupActionInput{AutoScalingGroupName: &p.name, ScheduledUpdateGroupActions: []types.ScheduledUpdateGroupActionRequest{
		{ScheduledActionName: aws.String("good"), Recurrence: aws.String("0 8 * * *"), MinSize: aws.Int32(1)}, {ScheduledActionName: aws.String("bad"), Recurrence: aws.String("never"), MinSize: aws.Int32(1)}}})
	if err != nil || len(out.FailedScheduledUpdateGroupActions) != 1 || *out.FailedScheduledUpdateGroupActions[0].ScheduledActionName != "bad" || *out.FailedScheduledUpdateGroupActions[0].ErrorCode != "ValidationError" {
		t.Errorf("putting fails for %+v, %v", out, err)
	}
	gone, err := p.as.BatchDeleteScheduledAction(p.ctx, &as.BatchDeleteScheduledActionInput{AutoScalingGroupName: &p.name, ScheduledActionNames: []string{"good", "none"}})
	if err != nil || len(gone.FailedScheduledActions) != 1 || *gone.FailedScheduledActions[0].ScheduledActionName != "none" {
		t.Errorf("deleting fails for %+v, %v", gone, err)
	}
}

func TestARefreshFailsOnAnAlarmAndBakesBeforeItSucceeds(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	p.policy(as.PutScalingPolicyInput{PolicyName: aws.String("errors"), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: aws.Int32(0)})
	p.must(p.next())
	quick := types.RefreshPreferences{InstanceWarmup: aws.Int32(0), BakeTime: aws.Int32(600), AutoRollback: aws.Bool(true), AlarmSpecification: &types.AlarmSpecification{Alarms: []string{"errors"}}}
	p.must(p.refresh("2", quick))
	p.tick(0)
	p.stands("replaced", "Baking", 100, 0)
	p.load(90, 1)
	p.tick(0)
	if r := p.stands("with an alarm", "RollbackSuccessful", 0, 0); !strings.Contains(*r.RollbackDetails.RollbackReason, "Alarm errors") || p.versions() != "1" {
		t.Errorf("%q; versions %s", *r.RollbackDetails.RollbackReason, p.versions())
	}
	p.load(10, 1)
	p.must(p.refresh("2", quick))
	p.load(10, 1)
	p.stands("again", "Baking", 100, 0)
	p.load(10, 10)
	p.stands("after the time", "Successful", 100, 0)
}

func TestZonesMayBeGivenByTheirIds(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(2, func(in *as.CreateAutoScalingGroupInput) {
		in.AvailabilityZones, in.AvailabilityZoneIds = nil, []string{"use1-az1", "use1-az2"}
	})
	if got := []string{p.yard.started[0].Zone, p.yard.started[1].Zone}; !slices.Equal(got, []string{"us-east-1a", "us-east-1b"}) {
		t.Errorf("launched in %q", got)
	}
}

// stubborn machines do not end at first.
type stubborn struct {
	yard
	calls int
}

func (y *stubborn) Terminate(ctx context.Context, ids []string) error {
	if y.calls++; y.calls == 1 {
		return errors.New("the API is down")
	}
	return y.yard.Terminate(ctx, ids)
}

func TestAnEndThatFailsIsTriedAgainAfterAPause(t *testing.T) {
	t.Parallel()
	y := &stubborn{yard: yard{states: map[string]string{}}}
	p := newPlant(t, func(c *asg.Config) { c.Machines = y })
	p.size(1)
	p.desired(0)
	p.expect("when it failed", "i-01 Terminating")
	if a := p.last(); !strings.Contains(aws.ToString(a.StatusMessage), "the API is down") || y.calls != 1 {
		t.Errorf("the message is %q after %d calls", aws.ToString(a.StatusMessage), y.calls)
	}
	p.tick(5 * time.Second)
	p.expect("afterwards")
}
