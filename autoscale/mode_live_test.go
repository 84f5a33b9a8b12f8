package autoscale

import (
	"context"
	"strings"
	"testing"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"bakehouse/test/asg"
)

// minutes lets time pass, minute by minute: the service samples metrics, runs
// alarms and moves groups whenever it is asked something.
func (c *cloud) minutes(n int, each func(minute int)) {
	c.t.Helper()
	for i := range n {
		c.now = c.now.Add(time.Minute)
		if each != nil {
			each(i + 1)
		}
		if _, err := c.as.DescribeAutoScalingGroups(context.Background(), &as.DescribeAutoScalingGroupsInput{}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// sizes are desired capacity and instances in service.
func (c *cloud) sizes(group string) (desired, serving int) {
	c.t.Helper()
	live := c.observe(Spec{Groups: map[string]Group{group: {}}}).Groups[group]
	for _, i := range live.Instances {
		if i.State == "InService" {
			serving++
		}
	}
	return live.Desired, serving
}

const liveBackstop = `version: 2
region: us-east-1
groups:
  web:
    capacity: {mode: backstop, min: 3, max: 30, desired: initial:12, on_demand_base: 2}
    launch: {image: ami-1, type: t3.small}
    network: {zones: [us-east-1a, us-east-1b]}
`

func TestABackstopFollowsTheMarket(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(liveBackstop)
	c.minutes(5, nil)
	if desired, serving := c.sizes("web-backstop"); desired != 2 || serving != 2 {
		t.Fatalf("with all the spot there is, the backstop wants %d and has %d, want the base of 2", desired, serving)
	}
	pools := []asg.Pool{{Zone: "us-east-1a", Type: "t3.small", Spot: true}, {Zone: "us-east-1b", Type: "t3.small", Spot: true}}
	for _, p := range pools {
		c.aws.Lose(p)
	}
	grown, turns, last := 0, 0, 2
	c.minutes(8, func(minute int) {
		desired, _ := c.sizes("web-backstop")
		if desired != last {
			turns++
		}
		if last = desired; desired == 12 && grown == 0 {
			grown = minute
		}
	})
	if _, spot := c.sizes("web"); spot != 0 || grown == 0 || grown > 4 || turns != 1 {
		t.Errorf("%d spot units are left; the backstop wants %d after %d changes, and was whole in minute %d", spot, last, turns, grown)
	}
	for _, p := range pools {
		c.aws.Offer(p, asg.Offer{Capacity: 100})
	}
	shrunk := 0
	c.minutes(40, func(minute int) {
		desired, _ := c.sizes("web-backstop")
		if desired != last {
			turns++
		}
		if last = desired; desired == 2 && shrunk == 0 {
			shrunk = minute
		}
	})
	if desired, spot := c.sizes("web"); desired != 10 || spot != 10 {
		t.Errorf("the spot half wants %d and has %d, want 10", desired, spot)
	}
	if shrunk < 10 || last != 2 || turns != 2 {
		t.Errorf("the backstop wants %d after %d changes, and went back in minute %d", last, turns, shrunk)
	}
}

func TestABackstopIsQuietWhenDemandMoves(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(liveBackstop)
	c.minutes(3, nil)
	for _, wanted := range []int32{20, 5, 28, 1} {
		if _, err := c.as.SetDesiredCapacity(context.Background(), &as.SetDesiredCapacityInput{AutoScalingGroupName: ptr("web"), DesiredCapacity: &wanted}); err != nil {
			t.Fatal(err)
		}
		c.minutes(15, func(minute int) {
			if desired, _ := c.sizes("web-backstop"); desired != 2 {
				t.Errorf("%d min after %d units were wanted, the backstop wants %d", minute, wanted, desired)
			}
		})
	}
}

func TestAQueueIsServedFromZeroAndBack(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(strings.Replace(strings.Replace(base, "min: 1, max: 4", "min: 0, max: 4", 1), "    network", "    "+jobs+"\n    network", 1))
	queue := asg.Metric{Namespace: "AWS/SQS", Name: "ApproximateNumberOfMessagesVisible", Dimensions: map[string]string{"QueueName": "jobs"}}
	wants := func(messages float64, minutes, want int) {
		t.Helper()
		c.minutes(minutes, func(int) { c.aws.SetMetric(queue, messages) })
		if desired, _ := c.sizes("web"); desired != want {
			t.Errorf("after %d min with %v messages the group wants %d, want %d", minutes, messages, desired, want)
		}
	}
	wants(0, 5, 0)
	wants(1, 5, 1)    // nobody is there, and one message waits
	wants(85, 12, 3)  // 30 for each: 85 need three
	wants(999, 15, 4) // max
	wants(0, 60, 0)
}

func TestHoursFireInTheirTimeZoneAndLeaveThePlanEmpty(t *testing.T) {
	t.Parallel()
	const shifts = "    schedules: {rush: {hours: {from: '08:00', to: '18:30', days: MON-FRI}, time_zone: Europe/Berlin, min: 6}}\n"
	for _, file := range []string{strings.Replace(base, "min: 1, max: 4", "min: 1, max: 9", 1) + shifts, liveBackstop + shifts} {
		c := newCloud(t) // on a Monday at noon, in winter: Berlin is an hour ahead
		c.apply(file)
		s := mustParse(t, file)
		usual := *Expand(s).Groups["web"].Capacity.Min
		rush := *Expand(s).Groups["web"].Schedules["rush-begin"].Min
		for _, at := range []struct {
			day, hour, minute, min int
		}{{24, 6, 59, usual}, {24, 7, 1, rush}, {24, 17, 29, rush}, {24, 17, 31, usual}, {28, 12, 0, usual}, {30, 7, 1, rush}} {
			c.now = time.Date(2026, 11, at.day, at.hour, at.minute, 0, 0, time.UTC)
			if live := c.observe(s).Groups["web"]; *live.Capacity.Min != at.min {
				t.Errorf("on the %dth at %02d:%02d UTC min is %d, want %d", at.day, at.hour, at.minute, *live.Capacity.Min, at.min)
			}
			if p, _ := c.plan(s); !p.Empty() {
				t.Errorf("on the %dth at %02d:%02d UTC a plan would undo the action: %s", at.day, at.hour, at.minute, summary(p))
			}
		}
	}
}

func TestSlowAnswersAddAndQuickOnesTakeAway(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(strings.Replace(strings.Replace(base, "min: 1, max: 4", "min: 2, max: 20, desired: initial:10, warmup: 60", 1),
		"    network", "    policies: {slow: {latency: {target: 0.4, target_group: web}}}\n    network", 1))
	latency := asg.Metric{Namespace: "AWS/ApplicationELB", Name: "TargetResponseTime",
		Dimensions: map[string]string{"LoadBalancer": "app/shop/fedcba9876543210", "TargetGroup": "targetgroup/web/0123456789abcdef"}}
	wants := func(seconds float64, minutes, low, high int) {
		t.Helper()
		c.minutes(minutes, func(int) { c.aws.SetMetric(latency, seconds) })
		if desired, _ := c.sizes("web"); desired < low || desired > high {
			t.Errorf("after %d min at %v s the group wants %d, want %d to %d", minutes, seconds, desired, low, high)
		}
	}
	wants(0.3, 20, 10, 10) // neither slow nor quick
	wants(0.45, 4, 11, 12) // a tenth
	wants(0.3, 20, 11, 12) // holds
	wants(2, 20, 20, 20)   // to max
	wants(0.1, 14, 20, 20) // not yet
	wants(0.1, 10, 10, 19) // one at a time
	wants(0.1, 60, 2, 2)   // to min
}
