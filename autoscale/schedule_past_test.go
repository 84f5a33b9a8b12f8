package autoscale

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
)

func TestAScheduledActionOfThePastIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := in("schedules: {sale: {start: '2026-11-23T13:00:00Z', min: 3}, week: {cron: '0 8 * * *', start: '2026-11-24T00:00:00Z', end: '2026-11-30T00:00:00Z', max: 5}, day: {cron: '0 8 * * *', start: '2026-11-24T00:00:00Z', desired: 3}}")
	c.apply(file)
	c.now = time.Date(2026, 12, 5, 12, 0, 0, 0, time.UTC)
	c.tick()
	if p := c.apply(file); !p.Empty() { // sale set min, week set max, and both are over
		t.Errorf("after the actions of the past: %s", summary(p))
	}
	p, _ := c.plan(mustParse(t, file))
	if !slices.ContainsFunc(p.Warnings, func(w Warning) bool { return w.Key == "schedules.sale" && strings.Contains(w.Text, "past") }) {
		t.Errorf("nothing says that an action is over: %v", p.Warnings)
	}
	// One that is new to a group and whose start lies behind begins at once.
	c.apply(strings.Replace(file, "day: {cron: '0 8", "early: {cron: '30 7", 1))
}

func TestSizesOfScheduledActionsAreFollowedEachByItself(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := in("schedules: {low: {cron: '0 8 * * *', min: 2}, high: {cron: '0 9 * * *', max: 9}}")
	c.apply(file)
	if _, err := c.as.UpdateAutoScalingGroup(context.Background(), &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), MinSize: aws.Int32(2), MaxSize: aws.Int32(9), DesiredCapacity: aws.Int32(2)}); err != nil {
		t.Fatal(err)
	}
	if p, _ := c.plan(mustParse(t, file)); !p.Empty() {
		t.Errorf("min of one action and max of a later one: %s", summary(p))
	}
}

func TestAnEnforcedSizeStaysWithinWhatAScheduledActionSet(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := strings.Replace(in("schedules: {day: {cron: '0 8 * * *', min: 3}}"), "max: 4", "max: 4, desired: enforce:2", 1)
	c.apply(file)
	if _, err := c.as.UpdateAutoScalingGroup(context.Background(), &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), MinSize: aws.Int32(3), DesiredCapacity: aws.Int32(3)}); err != nil {
		t.Fatal(err)
	}
	if p := c.apply(file); !p.Empty() {
		t.Errorf("the plan asks for a size below the min of now: %s", summary(p))
	}
}

func (c *cloud) tick() {
	c.t.Helper()
	if err := c.aws.Tick(context.Background()); err != nil {
		c.t.Fatal(err)
	}
}

// Minutes may lie between a plan and its apply: somebody reads it.
func TestASizeThatGrewSinceThePlanIsLeft(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(base)
	s := mustParse(t, strings.Replace(base, "min: 1", "min: 2", 1))
	p, o := c.plan(s)
	if len(p.Changes) != 1 || !slices.ContainsFunc(p.Changes[0].Fields, func(f Field) bool { return f.Path == "capacity.desired" && f.After == "2" && f.Note != "" }) {
		t.Errorf("the plan does not say that desired capacity moves: %v", summary(p))
	}
	if _, err := c.as.SetDesiredCapacity(context.Background(), &as.SetDesiredCapacityInput{AutoScalingGroupName: aws.String("web"), DesiredCapacity: aws.Int32(4)}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Apply(context.Background(), c.w, o, silent{}); err != nil {
		t.Fatal(err)
	}
	if got := c.observe(s).Groups["web"].Desired; got != 4 {
		t.Errorf("demand had brought the group to 4, and apply takes it to %d", got)
	}
}
