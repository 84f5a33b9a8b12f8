package asg_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
)

func (p *plant) schedule(name, recurrence, zone string, low, high, want *int32) {
	p.t.Helper()
	in := &as.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: &p.name, ScheduledActionName: &name, Recurrence: &recurrence, MinSize: low, MaxSize: high, DesiredCapacity: want}
	if zone != "" {
		in.TimeZone = &zone
	}
	_, err := p.as.PutScheduledUpdateGroupAction(p.ctx, in)
	p.must(err)
}

func TestSchedulesFireOnTheClockInTheirZone(t *testing.T) {
	t.Parallel()
	p := newPlant(t) // Monday 12:00 UTC, 07:00 in New York
	p.size(0)
	p.schedule("day", "0 8 * * MON-FRI", "America/New_York", aws.Int32(2), aws.Int32(4), aws.Int32(3))
	p.schedule("night", "30 20 * * *", "", aws.Int32(0), nil, aws.Int32(0))
	out, err := p.as.DescribeScheduledActions(p.ctx, &as.DescribeScheduledActionsInput{AutoScalingGroupName: &p.name})
	p.must(err)
	if at := *out.ScheduledUpdateGroupActions[0].StartTime; !at.Equal(p.now.Add(time.Hour)) {
		t.Errorf("the next time is %s", at)
	}
	p.tick(59 * time.Minute)
	p.expect("before it")
	p.tick(time.Minute)
	p.expect("at eight in New York", "i-01 InService", "i-02 InService", "i-03 InService")
	if a := p.last(); !strings.Contains(*a.Cause, "a scheduled action day update of AutoScalingGroup constraints to min: 2, max: 4, desired: 3 changing the desired capacity from 0 to 3") {
		t.Errorf("the cause is %q", *a.Cause)
	}
	p.tick(8 * time.Hour)
	p.expect("at night")
	_, err = p.as.SuspendProcesses(p.ctx, &as.SuspendProcessesInput{AutoScalingGroupName: &p.name, ScalingProcesses: []string{"ScheduledActions"}})
	p.must(err)
	p.tick(24 * time.Hour)
	p.expect("while suspended")
	p.now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC) // Saturday
	_, err = p.as.ResumeProcesses(p.ctx, &as.ResumeProcessesInput{AutoScalingGroupName: &p.name})
	p.must(err)
	p.tick(2 * time.Hour)
	p.expect("on Saturday")
}

func TestAScheduleFiresOnceAndIsGone(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0)
	put := func(start, end time.Time) error {
		in := &as.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: &p.name, ScheduledActionName: aws.String("once"), StartTime: &start, DesiredCapacity: aws.Int32(1)}
		if !end.IsZero() {
			in.EndTime = &end
		}
		_, err := p.as.PutScheduledUpdateGroupAction(p.ctx, in)
		return err
	}
	p.must(code(put(p.now.Add(-time.Hour), time.Time{}), "ValidationError"))
	p.must(code(put(p.now.Add(time.Hour), p.now.Add(time.Minute)), "ValidationError"))
	p.must(put(p.now.Add(time.Hour), time.Time{}))
	p.tick(2 * time.Hour)
	p.expect("afterwards", "i-01 InService")
	out, err := p.as.DescribeScheduledActions(p.ctx, &as.DescribeScheduledActionsInput{AutoScalingGroupName: &p.name})
	if err != nil || len(out.ScheduledUpdateGroupActions) != 0 {
		t.Errorf("it is still there: %v, %v", out, err)
	}
}

func TestABadRecurrenceIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0)
	for _, text := range []string{"* * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * MOO", "*/0 * * * *", "5-1 * * * *"} {
		_, err := p.as.PutScheduledUpdateGroupAction(p.ctx, &as.PutScheduledUpdateGroupActionInput{AutoScalingGroupName: &p.name, ScheduledActionName: aws.String("bad"), Recurrence: &text, MinSize: aws.Int32(1)})
		if err := code(err, "ValidationError"); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
