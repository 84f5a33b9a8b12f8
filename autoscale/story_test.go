package autoscale

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"pgregory.net/rapid"

	"bakehouse/internal/fault"
)

// oldTool makes what the tool of 2013 made for the group web of its sample.
func (c *cloud) oldTool() {
	c.t.Helper()
	ctx := context.Background()
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	_, err := c.as.CreateLaunchConfiguration(ctx, &as.CreateLaunchConfigurationInput{LaunchConfigurationName: aws.String("web-20130101"), ImageId: aws.String("ami-1"),
		InstanceType: aws.String("t3.small"), KeyName: aws.String("ops"), SecurityGroups: []string{"web"}, UserData: aws.String("IyEvYmluL3NoCmVjaG8gaGVsbG8=")})
	must(err)
	_, err = c.as.CreateAutoScalingGroup(ctx, &as.CreateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), LaunchConfigurationName: aws.String("web-20130101"),
		MinSize: aws.Int32(1), MaxSize: aws.Int32(4), DesiredCapacity: aws.Int32(3), AvailabilityZones: []string{"us-east-1a", "us-east-1b"},
		Tags: tagsOf("web", map[string]Tag{"Team": {ptr("shop"), ptr(true)}, "Build": {ptr("7"), ptr(true)}})})
	must(err)
	arns := map[string]string{}
	for name, adjustment := range map[string]int32{"up": 2, "down": -1} {
		in := &as.PutScalingPolicyInput{AutoScalingGroupName: aws.String("web"), PolicyName: aws.String("web|" + name), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: &adjustment}
		if name == "up" {
			in.Cooldown = aws.Int32(300)
		}
		out, err := c.as.PutScalingPolicy(ctx, in)
		must(err)
		arns[name] = *out.PolicyARN
	}
	for _, a := range []struct {
		policy             string
		op                 cwtypes.ComparisonOperator
		threshold          float64
		period, evaluation int32
	}{{"up", "GreaterThanThreshold", 70, 60, 3}, {"down", "LessThanThreshold", 20.5, 300, 1}} {
		_, err := c.w.Alarms.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("web|" + a.policy + "|CPUUtilization"), Namespace: aws.String("AWS/EC2"),
			MetricName: aws.String("CPUUtilization"), Statistic: "Average", ComparisonOperator: a.op, Threshold: &a.threshold, Period: &a.period, EvaluationPeriods: &a.evaluation,
			AlarmActions: []string{arns[a.policy]}, Dimensions: []cwtypes.Dimension{{Name: aws.String("AutoScalingGroupName"), Value: aws.String("web")}}})
		must(err)
	}
	_, err = c.as.PutNotificationConfiguration(ctx, &as.PutNotificationConfigurationInput{AutoScalingGroupName: aws.String("web"),
		TopicARN: aws.String("arn:aws:sns:us-east-1:123456789012:ops"), NotificationTypes: launchEvents()})
	must(err)
}

func TestWhatTheOldToolMadeIsAdopted(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.oldTool()
	p := c.apply(old)
	if got := kinds(p); !slices.Equal(got, []Kind{CreateTemplate, UpdateGroup}) {
		t.Errorf("adopting changes more than how the group launches: %s", summary(p))
	}
	if !strings.Contains(p.Changes[1].Reason, "launch configurations are closed by AWS: the group moves from web-20130101") {
		t.Errorf("the plan does not say why: %s", p.Changes[1].Reason)
	}
	if live := c.observe(mustParse(t, old)).Groups["web"]; live.Desired != 3 {
		t.Errorf("desired capacity was set to %d; the file's capacity is for new groups", live.Desired)
	}
}

func TestDesiredCapacityIsWrittenOnlyWhenItMust(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := func(min, max int, desired string) string {
		return fmt.Sprintf("version: 2\nregion: us-east-1\ngroups: {web: {capacity: {min: %d, max: %d%s}, launch: {image: ami-1, type: t3.small}, network: {zones: [us-east-1a]}}}", min, max, desired)
	}
	for i, step := range []struct {
		file string
		want int
	}{
		{file(1, 5, ", desired: initial:3"), 3},
		{file(1, 5, ", desired: initial:2"), 3}, // the group exists
		{file(1, 4, ""), 3},
		{file(1, 2, ""), 2}, // outside
		{file(3, 6, ""), 3},
		{file(1, 6, ", desired: enforce:5"), 5},
		{file(1, 6, ""), 5},
	} {
		c.apply(step.file)
		if got := c.observe(mustParse(t, step.file)).Groups["web"].Desired; got != step.want {
			t.Errorf("step %d: desired is %d, want %d", i, got, step.want)
		}
	}
	s := mustParse(t, file(1, 6, ", desired: initial:2"))
	p, err := Diff(s, c.observe(s), DiffOptions{ResetCapacity: true})
	if err != nil || len(p.Changes) != 1 || p.Changes[0].Fields[0] != (Field{Path: "capacity.desired", Before: "5", After: "2"}) {
		t.Errorf("--reset-capacity plans %v (%v)", summary(p), err)
	}
}

func TestAScheduledActionThatFiredIsNoDifference(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := strings.Replace(base, "    network", "    schedules: {day: {cron: '0 8 * * *', min: 3, max: 9}, night: {cron: '0 20 * * *', min: 0}}\n    network", 1)
	c.apply(file)
	// At noon the action day has fired last.
	if _, err := c.as.UpdateAutoScalingGroup(context.Background(), &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), MinSize: aws.Int32(3), MaxSize: aws.Int32(9)}); err != nil {
		t.Fatal(err)
	}
	if p, _ := c.plan(mustParse(t, file)); !p.Empty() {
		t.Errorf("after day fired: %s", summary(p))
	}
	c.now = c.now.Add(10 * time.Hour) // night has, and max is still that of day
	if p, _ := c.plan(mustParse(t, file)); !p.Empty() {
		t.Errorf("after night fired: %s", summary(p))
	}
	if _, err := c.as.UpdateAutoScalingGroup(context.Background(), &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), MinSize: aws.Int32(3)}); err != nil {
		t.Fatal(err)
	}
	if p, _ := c.plan(mustParse(t, file)); len(p.Changes) != 1 || !slices.Contains(p.Changes[0].Fields, Field{Path: "capacity.min", Before: "3", After: "1"}) {
		t.Errorf("a min that is not of the action that fired last is left: %s", summary(p))
	}
}

func TestAnAlarmThatMovesTakesItsOldSelfAlong(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(old)
	if _, err := c.w.Alarms.PutMetricAlarm(context.Background(), &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("TargetTracking-web-AlarmHigh-1"),
		Namespace: aws.String("AWS/EC2"), MetricName: aws.String("CPUUtilization"), Statistic: "Average", Period: aws.Int32(60), Threshold: aws.Float64(50),
		ComparisonOperator: "GreaterThanThreshold", EvaluationPeriods: aws.Int32(1), AlarmActions: []string{"arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:web:policyName/web|up"}}); err != nil {
		t.Fatal(err)
	}
	p := c.apply(strings.Replace(old, "metric: CPUUtilization, comparison: '>'", "metric: NetworkIn, comparison: '>'", 1))
	if got := summary(p); len(got) != 2 || !strings.HasPrefix(got[0], "put alarm web|up|NetworkIn") || !strings.HasPrefix(got[1], "delete alarm web|up|CPUUtilization") {
		t.Errorf("the plan is %s", got)
	}
}

func TestAKnownVersionIsUsedAgain(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(base)
	c.apply(strings.Replace(base, "ami-1", "ami-2", 1))
	if p := c.apply(strings.Replace(base, "ami-1", "role:web", 1)); p.Changes[0].Fields[0].After != "ami-3" {
		t.Errorf("role:web is the newest image, got %s", summary(p))
	}
	if got := c.observe(mustParse(t, base)).Groups["web"].Version; got != "3" {
		t.Errorf("version %s in use, want 3", got)
	}
}

func TestAFailureStopsItsGroupAloneAndARerunFinishes(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := old + strings.Replace(old[strings.Index(old, "  web:"):], "  web:", "  api:", 1)
	s := mustParse(t, file)
	p, o := c.plan(s)
	c.aws.Fail("PutScalingPolicy", "", "AccessDenied")
	outcomes, err := p.Apply(context.Background(), c.w, o, silent{})
	if fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "1 failed") || !strings.Contains(fault.NextOf(err), "docs/iam/autoscalectl.json") {
		t.Errorf("got %v, next %q", err, fault.NextOf(err))
	}
	failed := ""
	for _, out := range outcomes {
		switch {
		case out.Err != nil:
			failed = out.Change.Group
		case out.Skipped != (failed == out.Change.Group):
			t.Errorf("%s of %s: skipped %t after the failure in %q", out.Change.Kind, out.Change.Group, out.Skipped, failed)
		}
	}
	c.apply(file)
}

func TestAThrottlingStormIsWaitedOut(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	p, o := c.plan(mustParse(t, base))
	c.aws.Fail("CreateAutoScalingGroup", "Throttling", "ResourceContention", "Throttling")
	if _, err := p.Apply(context.Background(), c.w, o, silent{}); err != nil {
		t.Errorf("three refusals for being busy end the apply: %v", err)
	}
	c.aws.Fail("UpdateAutoScalingGroup", slices.Repeat([]string{"Throttling"}, 20)...)
	p, o = c.plan(mustParse(t, strings.Replace(base, "max: 4", "max: 5", 1)))
	if _, err := p.Apply(context.Background(), c.w, o, silent{}); err == nil {
		t.Error("an endless storm is reported as done")
	}
}

func TestPlansThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, want string }{
		{strings.Replace(base, "ami-1", "ami-9", 1), "planning web: there is no image ami-9"},
		{strings.Replace(base, "ami-1", "role:db", 1), "there is no image role:db"},
		{strings.Replace(base, "image: ami-1, ", "", 1), "the file must give launch.image"},
		{strings.Replace(base, "zones: [us-east-1a]", "placement_group: x", 1), "the file must give network.zones or network.subnets"},
	} {
		cloud := newCloud(t)
		s := mustParse(t, c.file)
		if _, err := Diff(s, cloud.observe(s), DiffOptions{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

func TestReadsGrowWithPagesNotWithGroups(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var b strings.Builder
	b.WriteString("version: 2\nregion: us-east-1\ndefaults: {capacity: {min: 0, max: 1}, launch: {image: ami-1, type: t3.small}, network: {zones: [us-east-1a]}, policies: {up: {type: ChangeInCapacity, adjustment: 1}}}\ngroups:\n")
	for i := range 150 {
		fmt.Fprintf(&b, "  g%03d: {metrics: []}\n", i)
	}
	c.apply(b.String())
	c.aws.Forget()
	if p, _ := c.plan(mustParse(t, b.String())); !p.Empty() {
		t.Errorf("not empty: %d changes", len(p.Changes))
	}
	if n := len(c.aws.Calls()); n > 12 {
		t.Errorf("%d calls to plan 150 groups: %v", n, c.aws.Calls())
	}
}

func TestAnyPlanPutsWhatIsLeanedOnFirst(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := []Kind{DeletePolicy, DeleteAlarm, PutAlarm, PutPolicy, UpdateGroup, CreateVersion, CreateTemplate, CreateGroup, PutHook, DeleteTags, PutTags}
		var p Plan
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			p.Changes = append(p.Changes, Change{Group: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group"), Kind: rapid.SampledFrom(all).Draw(t, "kind")})
		}
		p.sort()
		for i := 1; i < len(p.Changes); i++ {
			a, b := p.Changes[i-1], p.Changes[i]
			if a.Group > b.Group || a.Group == b.Group && order(a.Kind) > order(b.Kind) {
				t.Fatalf("%s of %s stands before %s of %s", a.Kind, a.Group, b.Kind, b.Group)
			}
		}
	})
}
