package asg_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// next makes another version of the group's template.
func (c client) next() error {
	_, err := c.ec2.CreateLaunchTemplateVersion(c.ctx, &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateName: &c.name,
		LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: aws.String(image), InstanceType: ec2types.InstanceTypeT3Small, EbsOptimized: aws.Bool(true)}})
	return err
}

// to is a desired configuration of a version.
func (c client) to(version string) *types.DesiredConfiguration {
	return &types.DesiredConfiguration{LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: &c.name, Version: &version}}
}

func (c client) refresh(version string, p types.RefreshPreferences) error {
	in := &as.StartInstanceRefreshInput{AutoScalingGroupName: &c.name, Preferences: &p}
	if version != "" {
		in.DesiredConfiguration = c.to(version)
	}
	_, err := c.as.StartInstanceRefresh(c.ctx, in)
	return err
}

func (c client) newest() (types.InstanceRefresh, error) {
	out, err := c.as.DescribeInstanceRefreshes(c.ctx, &as.DescribeInstanceRefreshesInput{AutoScalingGroupName: &c.name})
	if err != nil {
		return types.InstanceRefresh{}, err
	}
	if len(out.InstanceRefreshes) == 0 {
		return types.InstanceRefresh{}, fmt.Errorf("there are no refreshes")
	}
	return out.InstanceRefreshes[0], nil
}

// stands demands a refresh's status and how far it is.
func (p *plant) stands(what string, status types.InstanceRefreshStatus, percent, left int32) types.InstanceRefresh {
	p.t.Helper()
	r, err := p.newest()
	p.must(err)
	if r.Status != status || aws.ToInt32(r.PercentageComplete) != percent || aws.ToInt32(r.InstancesToUpdate) != left {
		p.t.Fatalf("%s: the refresh is %s, %d %%, %d left (%s); want %s, %d %%, %d left; the group holds %q", what, r.Status, aws.ToInt32(r.PercentageComplete),
			aws.ToInt32(r.InstancesToUpdate), aws.ToString(r.StatusReason), status, percent, left, p.states())
	}
	return r
}

func (p *plant) versions() string {
	p.t.Helper()
	g, err := p.describe()
	p.must(err)
	var out []string
	for _, i := range g.Instances {
		out = append(out, *i.LaunchTemplate.Version)
	}
	return strings.Join(out, " ")
}

func TestARefreshReplacesWithinItsBoundsAndUpdatesTheGroup(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(4)
	p.must(p.next())
	p.must(p.refresh("2", types.RefreshPreferences{MinHealthyPercentage: aws.Int32(50), InstanceWarmup: aws.Int32(60)}))
	p.must(code(p.refresh("2", types.RefreshPreferences{}), "InstanceRefreshInProgress"))
	p.stands("before the first tick", "Pending", 0, 4)
	p.tick(0)
	p.expect("with half replaced", "i-03 InService", "i-04 InService", "i-05 InService", "i-06 InService")
	if r := p.stands("while they warm up", "InProgress", 0, 4); !strings.Contains(aws.ToString(r.StatusReason), "i-05 is warming up") {
		t.Errorf("it waits for %q", aws.ToString(r.StatusReason))
	}
	_, err := p.as.UpdateAutoScalingGroup(p.ctx, &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: &p.name, LaunchTemplate: p.to("1").LaunchTemplate})
	p.must(code(err, "ValidationError"))
	p.tick(time.Minute)
	p.stands("when they are warm", "InProgress", 50, 2)
	p.expect("then the others", "i-05 InService", "i-06 InService", "i-07 InService", "i-08 InService")
	p.tick(time.Minute)
	p.stands("at the end", "Successful", 100, 0)
	g, err := p.describe()
	if err != nil || *g.LaunchTemplate.Version != "2" || p.versions() != "2 2 2 2" {
		t.Errorf("the group launches version %s and holds %s", *g.LaunchTemplate.Version, p.versions())
	}
}

func TestARefreshLaunchesFirstWhereItMayStandAboveItsCapacity(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(2)
	p.must(p.next())
	p.must(p.refresh("2", types.RefreshPreferences{MinHealthyPercentage: aws.Int32(100), MaxHealthyPercentage: aws.Int32(150), InstanceWarmup: aws.Int32(60)}))
	p.tick(0)
	p.expect("with one more", "i-01 InService", "i-02 InService", "i-03 InService")
	p.tick(time.Minute)
	p.expect("with the first replaced", "i-02 InService", "i-03 InService", "i-04 InService")
	p.tick(time.Minute)
	p.tick(0)
	p.expect("with both", "i-03 InService", "i-04 InService")
	p.stands("at the end", "Successful", 100, 0)
}

func TestARefreshOfASmallGroupReplacesOneAtATime(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(2)
	p.must(p.refresh("", types.RefreshPreferences{MinHealthyPercentage: aws.Int32(100), InstanceWarmup: aws.Int32(10)}))
	p.tick(0)
	p.expect("one", "i-02 InService", "i-03 InService")
	p.tick(10 * time.Second)
	p.expect("and the other", "i-03 InService", "i-04 InService")
	p.tick(10 * time.Second)
	p.stands("at the end", "Successful", 100, 0)
}

func TestARefreshStopsAtCheckpointsAndSkipsWhatMatches(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(4)
	p.must(p.next())
	p.must(p.refresh("2", types.RefreshPreferences{MinHealthyPercentage: aws.Int32(0), InstanceWarmup: aws.Int32(0), CheckpointPercentages: []int32{25, 100}, CheckpointDelay: aws.Int32(600)}))
	p.tick(0)
	if r := p.stands("at the checkpoint", "InProgress", 25, 3); !strings.Contains(aws.ToString(r.StatusReason), "Checkpoint of 25%") {
		t.Errorf("it waits for %q", aws.ToString(r.StatusReason))
	}
	_, err := p.as.CancelInstanceRefresh(p.ctx, &as.CancelInstanceRefreshInput{AutoScalingGroupName: &p.name})
	p.must(err)
	p.tick(0)
	p.stands("when it is cancelled", "Cancelled", 25, 3)
	p.must(p.refresh("2", types.RefreshPreferences{MinHealthyPercentage: aws.Int32(0), InstanceWarmup: aws.Int32(0), SkipMatching: aws.Bool(true)}))
	p.stands("the second", "Pending", 0, 3)
	p.tick(0)
	p.stands("the second", "Successful", 100, 0)
	if got := p.states()[0]; got != "i-05 InService" {
		t.Errorf("the one that matched is replaced: %q", p.states())
	}
}

// bad is a refresh to a version whose instances never answer their hook.
func (p *plant) bad(preferences types.RefreshPreferences) {
	p.t.Helper()
	p.size(2)
	p.hook("ready", onLaunch)
	p.must(p.next())
	p.must(p.refresh("2", preferences))
	p.tick(0)
	p.expect("with one that hangs", "i-02 InService", "i-03 Pending:Wait")
}

func TestABadVersionHoldsTheRefreshAndIsRolledBack(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.bad(types.RefreshPreferences{MinHealthyPercentage: aws.Int32(50), InstanceWarmup: aws.Int32(0)})
	p.tick(time.Minute)
	p.expect("with another that hangs", "i-02 InService", "i-04 Pending:Wait")
	p.stands("meanwhile", "InProgress", 0, 2)
	_, err := p.as.RollbackInstanceRefresh(p.ctx, &as.RollbackInstanceRefreshInput{AutoScalingGroupName: &p.name})
	p.must(err)
	p.tick(0)
	p.expect("with the old version again", "i-02 InService", "i-05 Pending:Wait")
	p.answer("ready", "i-05", "CONTINUE")
	r := p.stands("at the end", "RollbackSuccessful", 0, 2)
	if r.RollbackDetails == nil || !strings.Contains(*r.RollbackDetails.RollbackReason, "requested") {
		t.Errorf("the details are %+v", r.RollbackDetails)
	}
	g, err := p.describe()
	if err != nil || *g.LaunchTemplate.Version != "1" || p.versions() != "1 1" {
		t.Errorf("the group launches version %s and holds %s", *g.LaunchTemplate.Version, p.versions())
	}
}

func TestARefreshWithoutProgressFailsAndTurnsBackByItself(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.bad(types.RefreshPreferences{MinHealthyPercentage: aws.Int32(50), InstanceWarmup: aws.Int32(0), AutoRollback: aws.Bool(true)})
	p.tick(time.Hour)
	p.stands("after an hour", "RollbackInProgress", 0, 2)
	p.tick(0)
	p.answer("ready", strings.Fields(p.states()[1])[0], "CONTINUE")
	p.stands("at the end", "RollbackSuccessful", 0, 2)

	p = newPlant(t)
	p.bad(types.RefreshPreferences{MinHealthyPercentage: aws.Int32(50), InstanceWarmup: aws.Int32(0)})
	p.tick(time.Hour)
	if r := p.stands("without a way back", "Failed", 0, 2); !strings.Contains(*r.StatusReason, "no progress for an hour") {
		t.Errorf("the reason is %q", *r.StatusReason)
	}
}

func TestWhatCannotBeUndoneIsNotRolledBack(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	back := func() error {
		_, err := p.as.RollbackInstanceRefresh(p.ctx, &as.RollbackInstanceRefreshInput{AutoScalingGroupName: &p.name})
		return err
	}
	p.must(code(back(), "ActiveInstanceRefreshNotFound"))
	_, err := p.as.CancelInstanceRefresh(p.ctx, &as.CancelInstanceRefreshInput{AutoScalingGroupName: &p.name})
	p.must(code(err, "ActiveInstanceRefreshNotFound"))
	p.must(p.refresh("", types.RefreshPreferences{}))
	p.must(code(back(), "IrreversibleInstanceRefresh"))
	p.tick(0)
	p.stands("a group of one", "Successful", 100, 0)
	p.must(p.refresh("$Latest", types.RefreshPreferences{}))
	p.must(code(back(), "IrreversibleInstanceRefresh"))
	p.must(code(p.refresh("1", types.RefreshPreferences{AutoRollback: aws.Bool(true)}), "InstanceRefreshInProgress"))
	p.tick(0)
	p.must(code(p.refresh("$Latest", types.RefreshPreferences{AutoRollback: aws.Bool(true)}), "IrreversibleInstanceRefresh"))
}

func TestARefreshWaitsForProtectedAndStandby(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		p      types.RefreshPreferences
		status types.InstanceRefreshStatus
		left   int32
		reason string
	}{
		"wait":   {types.RefreshPreferences{}, "InProgress", 2, "i-02 is protected"},
		"ignore": {types.RefreshPreferences{StandbyInstances: "Ignore", ScaleInProtectedInstances: "Ignore"}, "Successful", 0, ""},
		"go on":  {types.RefreshPreferences{StandbyInstances: "Terminate", ScaleInProtectedInstances: "Refresh"}, "Successful", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t)
			p.size(3)
			_, err := p.as.EnterStandby(p.ctx, &as.EnterStandbyInput{AutoScalingGroupName: &p.name, InstanceIds: []string{"i-01"}, ShouldDecrementDesiredCapacity: aws.Bool(true)})
			p.must(err)
			_, err = p.as.SetInstanceProtection(p.ctx, &as.SetInstanceProtectionInput{AutoScalingGroupName: &p.name, InstanceIds: []string{"i-02"}, ProtectedFromScaleIn: aws.Bool(true)})
			p.must(err)
			p.tick(0)
			c.p.InstanceWarmup = aws.Int32(0)
			p.must(p.refresh("", c.p))
			p.tick(0)
			r, err := p.newest()
			p.must(err)
			if r.Status != c.status || *r.InstancesToUpdate != c.left || !strings.Contains(aws.ToString(r.StatusReason), c.reason) {
				t.Errorf("%s, %d left, %q; the group holds %q", r.Status, *r.InstancesToUpdate, aws.ToString(r.StatusReason), p.states())
			}
		})
	}
}

func TestARefreshWaitsForSuspendedProcesses(t *testing.T) {
	t.Parallel()
	for _, process := range []string{"Launch", "Terminate", "InstanceRefresh"} {
		p := newPlant(t)
		p.size(1)
		_, err := p.as.SuspendProcesses(p.ctx, &as.SuspendProcessesInput{AutoScalingGroupName: &p.name, ScalingProcesses: []string{process}})
		p.must(err)
		p.must(p.refresh("", types.RefreshPreferences{InstanceWarmup: aws.Int32(0)}))
		p.tick(time.Minute)
		p.expect(process, "i-01 InService")
		_, err = p.as.ResumeProcesses(p.ctx, &as.ResumeProcessesInput{AutoScalingGroupName: &p.name})
		p.must(err)
		p.tick(time.Minute)
		p.expect(process+" resumed", "i-02 InService")
	}
}
