package autoscale

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// board answers the reads of a status from what a test gives it, and counts
// them.
type board struct {
	GroupsAPI
	groups     []astypes.AutoScalingGroup
	activities []astypes.Activity
	refreshes  map[string]astypes.InstanceRefresh
	warm       []astypes.Instance
	calls      map[string]int
}

func (b *board) DescribeAutoScalingGroups(_ context.Context, in *as.DescribeAutoScalingGroupsInput, _ ...func(*as.Options)) (*as.DescribeAutoScalingGroupsOutput, error) {
	b.calls["groups"]++
	out := &as.DescribeAutoScalingGroupsOutput{}
	for _, g := range b.groups {
		if len(in.AutoScalingGroupNames) == 0 || slices.Contains(in.AutoScalingGroupNames, *g.AutoScalingGroupName) {
			out.AutoScalingGroups = append(out.AutoScalingGroups, g)
		}
	}
	return out, nil
}

func (b *board) DescribeScalingActivities(_ context.Context, in *as.DescribeScalingActivitiesInput, _ ...func(*as.Options)) (*as.DescribeScalingActivitiesOutput, error) {
	b.calls["activities"]++
	out := &as.DescribeScalingActivitiesOutput{}
	for _, a := range b.activities {
		if in.AutoScalingGroupName == nil || *in.AutoScalingGroupName == *a.AutoScalingGroupName {
			out.Activities = append(out.Activities, a)
		}
	}
	return out, nil
}

func (b *board) DescribeInstanceRefreshes(_ context.Context, in *as.DescribeInstanceRefreshesInput, _ ...func(*as.Options)) (*as.DescribeInstanceRefreshesOutput, error) {
	b.calls["refreshes"]++
	if r, there := b.refreshes[*in.AutoScalingGroupName]; there {
		return &as.DescribeInstanceRefreshesOutput{InstanceRefreshes: []astypes.InstanceRefresh{r}}, nil
	}
	return &as.DescribeInstanceRefreshesOutput{}, nil
}

func (b *board) DescribeWarmPool(context.Context, *as.DescribeWarmPoolInput, ...func(*as.Options)) (*as.DescribeWarmPoolOutput, error) {
	b.calls["warm"]++
	return &as.DescribeWarmPoolOutput{Instances: b.warm}, nil
}

func boardTime() time.Time { return time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC) }

// read looks at the board's groups.
func (b *board) read(t *testing.T, names ...string) map[string]GroupStatus {
	t.Helper()
	b.calls = map[string]int{}
	all, err := ReadStatus(context.Background(), World{Groups: b, Now: boardTime}, StatusOptions{Names: names, Since: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]GroupStatus{}
	for _, s := range all {
		out[s.Group] = s
	}
	return out
}

// live makes a group on version 2 with instances of "STATE HEALTH VERSION".
func live(name string, desired int, instances ...string) astypes.AutoScalingGroup {
	g := astypes.AutoScalingGroup{AutoScalingGroupName: &name, MinSize: ptr(int32(1)), MaxSize: ptr(int32(9)), DesiredCapacity: ptr(int32(desired)),
		DefaultCooldown: ptr(int32(300)), LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateName: &name, Version: ptr("2")}}
	for n, text := range instances {
		f := strings.Fields(text)
		g.Instances = append(g.Instances, astypes.Instance{InstanceId: ptr(fmt.Sprintf("i-%d", n)), LifecycleState: astypes.LifecycleState(f[0]), HealthStatus: &f[1],
			LaunchTemplate: &astypes.LaunchTemplateSpecification{Version: &f[2]}})
	}
	return g
}

// did makes an activity that began some minutes ago.
func did(group string, minutes int, status astypes.ScalingActivityStatusCode, message string) astypes.Activity {
	return astypes.Activity{AutoScalingGroupName: &group, StatusCode: status, StatusMessage: &message, Description: ptr("Launching a new EC2 instance"),
		Cause: ptr("an instance was started in response to a difference between desired and actual capacity"), StartTime: ptr(boardTime().Add(-time.Duration(minutes) * time.Minute))}
}

const noCapacity = "We currently do not have sufficient t3.small capacity in the Availability Zone you requested (us-east-1a). Launching EC2 instance failed."

func TestTroubleIsToldWithItsCause(t *testing.T) {
	t.Parallel()
	full := live("full", 2, "InService Healthy 2", "InService Healthy 2")
	short := live("short", 3, "InService Healthy 2")
	healed := live("healed", 1, "InService Healthy 2")
	ill := live("ill", 1, "InService Unhealthy 2")
	held := live("held", 1)
	held.SuspendedProcesses = []astypes.SuspendedProcess{{ProcessName: ptr("Launch")}}
	starting := live("starting", 2, "InService Healthy 2", "Pending Healthy 2")
	ending := live("ending", 1, "InService Healthy 2", "Terminating Unhealthy 1")
	going := live("going", 1)
	going.Status = ptr("Delete in progress")
	rolled := live("rolled", 1, "InService Healthy 2")
	weighty := live("weighty", 4, "InService Healthy 2")
	weighty.Instances[0].WeightedCapacity = ptr("4")
	b := &board{groups: []astypes.AutoScalingGroup{full, short, healed, ill, held, starting, ending, going, rolled, weighty},
		activities: []astypes.Activity{did("short", 1, "Failed", noCapacity), did("short", 2, "Failed", noCapacity), did("short", 3, "Successful", ""), did("short", 4, "Failed", "Your quota allows for 0 more"),
			did("healed", 1, "Successful", ""), did("healed", 2, "Failed", noCapacity), did("full", 90, "Failed", noCapacity)},
		refreshes: map[string]astypes.InstanceRefresh{"rolled": {AutoScalingGroupName: ptr("rolled"), Status: "RollbackSuccessful", StatusReason: ptr("an alarm"), EndTime: ptr(boardTime())},
			"full": {Status: "Failed", EndTime: ptr(boardTime().Add(-2 * time.Hour))}}}
	got := b.read(t)
	for name, want := range map[string][]string{
		"full": nil, "healed": nil, "ending": nil, "weighty": nil,
		"short":    {"capacity|launching fails (2 times, last 17:59): " + noCapacity, "|1 of 3 in service"},
		"ill":      {"health|1 instance is unhealthy", "|0 of 1 in service"},
		"held":     {"|0 of 1 in service"},
		"starting": {"|1 of 2 in service"},
		"going":    {"|AWS is deleting it: Delete in progress"},
		"rolled":   {"refresh|the instance refresh is RollbackSuccessful at 0 %: an alarm"},
	} {
		var said []string
		for _, tr := range got[name].Trouble {
			said = append(said, string(tr.Class)+"|"+tr.What)
		}
		if !slices.Equal(said, want) {
			t.Errorf("%s: trouble is %q, want %q", name, said, want)
		}
	}
	if r := got["held"].Trouble[0].Remedy; !strings.Contains(r, "Launch is suspended") {
		t.Errorf("a suspended Launch is not named: %q", r)
	}
	if r := got["starting"].Trouble[0].Remedy; r != "1 instance is starting; look again" {
		t.Errorf("a group that grows is not told apart: %q", r)
	}
}

func TestStatusTellsVersionsAndPoolsApart(t *testing.T) {
	t.Parallel()
	g := live("web", 3, "InService Healthy 2", "InService Healthy 1", "InService Healthy 1")
	g.WarmPoolConfiguration = &astypes.WarmPoolConfiguration{MinSize: ptr(int32(2)), PoolState: "Stopped"}
	b := &board{groups: []astypes.AutoScalingGroup{g}, warm: []astypes.Instance{{LifecycleState: "Warmed:Stopped", HealthStatus: ptr("Healthy"), LaunchTemplate: g.LaunchTemplate}}}
	s := b.read(t, "web", "none")["web"]
	if want := []Count{{"InService", "Healthy", "1", false, 2}, {"InService", "Healthy", "2", true, 1}}; !slices.Equal(s.Counts, want) {
		t.Errorf("counts are %+v, want %+v", s.Counts, want)
	}
	if s.WarmPool == nil || s.WarmPool.Size != 1 || s.WarmPool.Min != 2 || s.WarmPool.Counts[0].State != "Warmed:Stopped" || !s.WarmPool.Counts[0].Asked {
		t.Errorf("the warm pool is %+v", s.WarmPool)
	}
	if none := b.read(t, "web", "none")["none"]; none.Exists || len(none.Trouble) != 1 {
		t.Errorf("a group that does not exist is %+v", none)
	}
}

func TestStatusOfManyGroupsTakesFewCalls(t *testing.T) {
	t.Parallel()
	b := &board{}
	for n := range 250 {
		b.groups = append(b.groups, live(fmt.Sprintf("g%03d", n), 1, "InService Healthy 2"))
	}
	b.groups[7] = live("g007", 1, "InService Healthy 1") // may be under a refresh
	b.read(t)
	if b.calls["groups"] != 1 || b.calls["activities"] != 1 || b.calls["refreshes"] != 1 || b.calls["warm"] != 0 {
		t.Errorf("250 groups take %v", b.calls)
	}
	b.read(t, "g001", "g002")
	if b.calls["groups"] != 1 || b.calls["activities"] != 2 || b.calls["refreshes"] != 2 {
		t.Errorf("2 groups take %v", b.calls)
	}
}
