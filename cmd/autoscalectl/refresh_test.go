package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/autoscale"
	"bakehouse/test/asg"
)

// fakeClock goes on when somebody sleeps.
type fakeClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *fakeClock) sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	return ctx.Err()
}

// fleet is a desk on a clock of its own, with a group web of three instances
// on version 1 and a file that asks for version 2.
func fleet(t *testing.T) (*desk, *fakeClock) {
	t.Helper()
	clock := &fakeClock{at: time.Date(2026, 11, 30, 18, 0, 0, 0, time.UTC)}
	d := newDesk(t)
	d.aws = asg.New(clock.now)
	d.aws.AddImage(asg.Image{ID: "ami-1", Created: clock.now()})
	server := httptest.NewServer(d.aws)
	t.Cleanup(server.Close)
	d.url, d.now, d.sleep = server.URL, clock.now, clock.sleep
	d.change("min: 1, max: 4", "min: 3, max: 6, warmup: 30")
	d.want(0, "", "apply", "--yes", "FILE")
	d.want(0, "3 of 3 (3-6)", "status", "FILE")
	d.change("echo one", "echo two")
	return d, clock
}

func (d *desk) version() string {
	d.t.Helper()
	var all []autoscale.GroupStatus
	if err := json.Unmarshal([]byte(d.want(0, "", "status", "--output", "json", "--region", "us-east-1", "web")), &all); err != nil {
		d.t.Fatal(err)
	}
	var in []string
	for _, i := range all[0].Instances {
		in = append(in, i.Version)
	}
	slices.Sort(in)
	return all[0].Version + ": " + strings.Join(in, " ")
}

func TestRefreshBringsTheVersionOfTheFile(t *testing.T) {
	t.Parallel()
	d, _ := fleet(t)
	d.want(2, "there is no terminal to ask on", "refresh", "web", "FILE")
	code, out, errs := d.run("refresh", "--yes", "--wait", "web", "FILE")
	for _, want := range []string{"+ create launch template version web", "        - echo one\n", "~ refresh instances web: 3 of 3 instances run something else than version 2", "launch.version: 1 -> 2", "instances: 3 on 1 -> 3 to replace"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan lacks %q in\n%s", want, out)
		}
	}
	for _, want := range []string{"refresh of web: started", " %, 3 to go, version 2", "refresh of web: done in", "Launching a new EC2 instance", "done (refresh)"} {
		if !strings.Contains(errs, want) {
			t.Errorf("waiting does not show %q in\n%s", want, errs)
		}
	}
	if got := d.version(); code != 0 || got != "2: 2 2 2" {
		t.Errorf("code %d; the group and its instances are on %s", code, got)
	}
	d.want(0, "Nothing to change", "plan", "--exit-code", "FILE")
	d.want(0, "nothing to refresh: its instances match already", "refresh", "web", "FILE")
	d.want(0, "all instances are to be replaced", "refresh", "--yes", "--wait", "--replace-all", "web", "FILE")
}

func TestARefreshIsRolledBackAndCancelled(t *testing.T) {
	t.Parallel()
	d, clock := fleet(t)
	d.want(4, "none is under way", "refresh", "--cancel", "web", "FILE")
	d.want(0, "autoscalectl watch web shows how it goes", "refresh", "--yes", "--max-healthy", "200", "--min-healthy", "100", "web", "FILE")
	_ = clock.sleep(context.Background(), 10*time.Second)
	d.want(4, "refreshing web: a refresh to version 2 is under way", "refresh", "--version", "1", "web", "FILE")
	d.want(0, "refresh of web: done", "refresh", "--rollback", "--wait", "--yes", "web", "FILE")
	if got := d.version(); got != "1: 1 1 1" {
		t.Errorf("after the rollback the group and its instances are on %s", got)
	}
	d.want(0, "", "refresh", "--yes", "web", "FILE")
	d.want(0, "Cancelled", "refresh", "--cancel", "--wait", "--yes", "web", "FILE")
	if _, _, errs := d.run("status", "FILE"); errs != "" {
		t.Errorf("status says %s", errs)
	}
	d.want(4, "1 of 1 groups have trouble", "status", "--exit-code", "FILE")
}

func TestARefreshThatCannotLaunchEndsWithItsCause(t *testing.T) {
	t.Parallel()
	d, _ := fleet(t)
	d.aws.Offer(asg.Pool{Zone: "us-east-1a", Type: "t3.small"}, asg.Offer{Capacity: 0})
	d.want(4, "the refresh of web is Failed", "refresh", "--yes", "--wait", "--warmup", "1s", "web", "FILE")
	d.want(4, "! capacity: launching fails", "status", "--since", "3h", "--exit-code", "FILE")
	d.aws.Offer(asg.Pool{Zone: "us-east-1a", Type: "t3.small"}, asg.Offer{Capacity: 9})
	d.want(0, "", "refresh", "--yes", "--wait", "web", "FILE")
}

func TestARefreshThatSomebodyElseEndsIsAFailure(t *testing.T) {
	t.Parallel()
	d, clock := fleet(t)
	d.sleep = func(ctx context.Context, pause time.Duration) error {
		if _, err := d.hand().as.CancelInstanceRefresh(ctx, &as.CancelInstanceRefreshInput{AutoScalingGroupName: aws.String("web")}); err != nil && !strings.Contains(err.Error(), "ActiveInstanceRefreshNotFound") {
			t.Error(err)
		}
		return clock.sleep(ctx, pause)
	}
	d.want(4, "the refresh of web is Cancelled", "refresh", "--yes", "--wait", "web", "FILE")
}

func TestWaitingEndsWithoutEndingTheRefresh(t *testing.T) {
	t.Parallel()
	d, clock := fleet(t)
	d.sleep = func(ctx context.Context, _ time.Duration) error {
		d.signals <- os.Interrupt
		<-ctx.Done()
		return context.Cause(ctx)
	}
	code, _, errs := d.run("refresh", "--yes", "--wait", "web", "FILE")
	if code != 130 || !strings.Contains(errs, "waiting for the refresh of web, which goes on: interrupted by SIGINT") || !strings.Contains(errs, "next: look again with autoscalectl status web") {
		t.Errorf("Ctrl-C ends with %d:\n%s", code, errs)
	}
	d.sleep = clock.sleep
	d.signals = make(chan os.Signal, 1)
	d.want(6, "waiting for the refresh of web, which goes on", "refresh", "--yes", "--wait", "--timeout", "1ns", "web", "FILE")
	d.want(0, "to the same version is under way already", "refresh", "--wait", "--output", "plain", "--version", "2", "web", "FILE")
	if got := d.version(); got != "2: 2 2 2" {
		t.Errorf("the joined refresh brought %s", got)
	}
}

// refreshed are the refreshes of web, newest first.
func (d *desk) refreshed() []astypes.InstanceRefresh {
	d.t.Helper()
	out, err := d.hand().as.DescribeInstanceRefreshes(context.Background(), &as.DescribeInstanceRefreshesInput{AutoScalingGroupName: aws.String("web")})
	if err != nil {
		d.t.Fatal(err)
	}
	return out.InstanceRefreshes
}

func TestEverySettingOfARefreshArrives(t *testing.T) {
	t.Parallel()
	d, _ := fleet(t)
	out := d.want(0, "", "refresh", "--output", "json", "--yes", "--min-healthy", "50", "--max-healthy", "120", "--warmup", "7s", "--bake-time", "1m", "--checkpoints", "20,50", "--checkpoint-delay", "2m",
		"--auto-rollback", "--alarm", "a", "--alarm", "b", "--standby", "Ignore", "--protected", "Refresh", "web", "FILE")
	if !strings.Contains(out, `"result": "done"`) {
		t.Errorf("the result in JSON is %s", out)
	}
	r := d.refreshed()[0]
	p, c := r.Preferences, r.DesiredConfiguration
	if *p.MinHealthyPercentage != 50 || *p.MaxHealthyPercentage != 120 || *p.InstanceWarmup != 7 || *p.BakeTime != 60 || !slices.Equal(p.CheckpointPercentages, []int32{20, 50, 100}) || *p.CheckpointDelay != 120 ||
		!*p.AutoRollback || !*p.SkipMatching || !slices.Equal(p.AlarmSpecification.Alarms, []string{"a", "b"}) || p.StandbyInstances != "Ignore" || p.ScaleInProtectedInstances != "Refresh" {
		t.Errorf("preferences are %+v", p)
	}
	if c == nil || c.LaunchTemplate == nil || *c.LaunchTemplate.Version != "2" || !strings.HasPrefix(*c.LaunchTemplate.LaunchTemplateId, "lt-") {
		t.Errorf("the desired configuration is %+v", c)
	}
}

func TestRefreshOfGroupsThatNoFileDescribes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	h := d.hand()
	h.template()
	handMade()["mixed policy"](h)
	must[*as.SetDesiredCapacityOutput](h)(h.as.SetDesiredCapacity(context.Background(), &as.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("web"), DesiredCapacity: aws.Int32(2)}))
	d.want(0, "launch.version: 2 -> 1", "refresh", "--yes", "--region", "us-east-1", "--version", "1", "web")
	m := d.refreshed()[0].DesiredConfiguration.MixedInstancesPolicy
	if m == nil || *m.LaunchTemplate.LaunchTemplateSpecification.Version != "1" || len(m.LaunchTemplate.Overrides) != 2 || *m.InstancesDistribution.SpotAllocationStrategy != "price-capacity-optimized" {
		t.Errorf("the mixed policy did not come along: %+v", m)
	}
	d.want(4, "there is no such group", "refresh", "--yes", "--region", "us-east-1", "none")
	d.want(4, "there is no such group", "refresh", "--cancel", "--region", "us-east-1", "none")
	other := newDesk(t)
	handMade()["launch configuration"](other.hand())
	other.want(4, "it still uses launch configuration lc", "refresh", "--yes", "--region", "us-east-1", "web")
}

func TestARollbackHasSomewhereToGoAfterAnApply(t *testing.T) {
	t.Parallel()
	d, clock := fleet(t)
	d.want(0, "", "apply", "--yes", "FILE") // the group asks for version 2 now
	if out := d.want(0, "a rollback would stay on it", "refresh", "--yes", "--wait", "--timeout", "9h", "web", "FILE"); !strings.Contains(out, "launch.version: 2 -> 2") {
		t.Errorf("the plan is\n%s", out)
	}
	d.change("echo two", "echo three")
	d.want(0, "", "apply", "--yes", "FILE")
	d.want(0, "~ point group at version web", "refresh", "--yes", "--from", "2", "web", "FILE")
	_ = clock.sleep(context.Background(), 5*time.Second)
	d.want(0, "", "refresh", "--rollback", "--wait", "--yes", "web", "FILE")
	if got := d.version(); got != "2: 2 2 2" {
		t.Errorf("after the rollback the group and its instances are on %s", got)
	}
}

func TestTheFileSaysHowToRefresh(t *testing.T) {
	t.Parallel()
	d, _ := fleet(t)
	d.change("    hooks: {}\n", "    hooks: {}\n    refresh: {min_healthy: 50, max_healthy: 150, warmup: 9, checkpoints: [50], checkpoint_delay: 60, auto_rollback: true, alarms: [a], standby: Ignore}\n")
	d.want(0, "2 changes", "plan", "FILE") // the launch template's, none of the refresh
	d.want(2, "--max-healthy: 150 is more than 100 over the least, 10", "refresh", "--min-healthy", "10", "web", "FILE")
	d.want(0, "", "refresh", "--yes", "--warmup", "7s", "web", "FILE")
	p := d.refreshed()[0].Preferences
	if *p.MinHealthyPercentage != 50 || *p.MaxHealthyPercentage != 150 || *p.InstanceWarmup != 7 || !slices.Equal(p.CheckpointPercentages, []int32{50, 100}) || *p.CheckpointDelay != 60 || !*p.AutoRollback ||
		!slices.Equal(p.AlarmSpecification.Alarms, []string{"a"}) || p.StandbyInstances != "Ignore" {
		t.Errorf("preferences are %+v", p)
	}
	d.change("min_healthy: 50", "min_healthy: 500")
	d.want(2, "groups.web.refresh.min_healthy: 500: want 0 to 100", "validate", "FILE")
	d.change("min_healthy: 500", "min_healthy: 50")
	d.change("standby: Ignore", "standby: Kill")
	d.want(2, "groups.web.refresh.standby: Kill: want Wait, Ignore or Terminate", "validate", "FILE")
}

func TestAnApplyDuringARefreshSaysWhatToDo(t *testing.T) {
	t.Parallel()
	d, _ := fleet(t)
	d.want(0, "", "refresh", "--yes", "web", "FILE")
	var all []autoscale.GroupStatus
	if err := json.Unmarshal([]byte(d.want(0, "", "status", "--output", "json", "FILE")), &all); err != nil || all[0].Refresh == nil {
		t.Fatalf("%v, refresh %v", err, all)
	}
	id := all[0].Refresh.ID
	d.change("max: 6", "max: 7")
	d.want(4, "wait for it, as it brings the version that the file asks for, or end it", "apply", "--yes", "FILE")
	d.change("echo two", "echo three")
	d.want(4, "1 of 2 changes done, 1 failed, 0 not tried: web: update group web: instance refresh "+id+" to version 2 is under way (InProgress, 0 %), "+
		"and AWS does not change how the group launches until it ends; unchanged: capacity.max and launch.version\n"+
		"  next: look with autoscalectl status web or watch web; wait for it or end it with autoscalectl refresh --cancel web; then run this again\n", "apply", "--yes", "FILE")
	d.aws.Fail("DescribeInstanceRefreshes", "AccessDenied") // a caller may lack the right to look
	d.want(4, "update group web: an instance refresh is under way, and AWS does not change", "apply", "--yes", "FILE")
	d.want(0, "", "refresh", "--yes", "--cancel", "web", "FILE")
	d.want(0, "3 of 3", "status", "FILE")
	d.want(0, "update group web", "apply", "--yes", "FILE")
	d.want(0, "Nothing to change", "plan", "--exit-code", "FILE")
}
