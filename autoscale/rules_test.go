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
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/test/asg"
)

// in puts text into the base file's group.
func in(text string) string {
	return strings.Replace(base, "    network", "    "+text+"\n    network", 1)
}

const alarmed = `policies: {up: {type: ChangeInCapacity, adjustment: 1}}
    alarms: {busy: {namespace: N, metric: M, comparison: '>', threshold: 70, period: 60, policy: up}}`

func TestAnAlarmKeepsWhatTheFileDoesNotManage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(in(alarmed))
	ctx := context.Background()
	read := func() cloudwatch.PutMetricAlarmInput {
		out, err := c.w.Alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"web|up|M"}})
		if err != nil || len(out.MetricAlarms) != 1 {
			t.Fatalf("%v, %v", out, err)
		}
		a := out.MetricAlarms[0]
		return cloudwatch.PutMetricAlarmInput{AlarmName: a.AlarmName, Namespace: a.Namespace, MetricName: a.MetricName, Statistic: a.Statistic, Dimensions: a.Dimensions,
			Period: a.Period, Threshold: a.Threshold, EvaluationPeriods: a.EvaluationPeriods, ComparisonOperator: a.ComparisonOperator, TreatMissingData: a.TreatMissingData,
			AlarmActions: a.AlarmActions, OKActions: a.OKActions, InsufficientDataActions: a.InsufficientDataActions, AlarmDescription: a.AlarmDescription, DatapointsToAlarm: a.DatapointsToAlarm}
	}
	byHand := read()
	policy := byHand.AlarmActions[0]
	byHand.AlarmActions, byHand.OKActions, byHand.InsufficientDataActions = append(byHand.AlarmActions, "arn:aws:sns:a:b:page"), []string{"arn:aws:sns:a:b:calm"}, []string{"arn:aws:sns:a:b:what"}
	byHand.AlarmDescription, byHand.DatapointsToAlarm = aws.String("call Jo"), aws.Int32(1)
	if _, err := c.w.Alarms.PutMetricAlarm(ctx, &byHand); err != nil {
		t.Fatal(err)
	}
	c.apply(in(strings.Replace(alarmed, "70", "80", 1)))
	got := read()
	slices.Sort(got.AlarmActions)
	if want := []string{policy, "arn:aws:sns:a:b:page"}; !slices.Equal(got.AlarmActions, want) || got.OKActions[0] != "arn:aws:sns:a:b:calm" || got.InsufficientDataActions[0] != "arn:aws:sns:a:b:what" ||
		*got.AlarmDescription != "call Jo" || *got.DatapointsToAlarm != 1 || *got.Threshold != 80 {
		t.Errorf("the alarm is now %v %v %v %v", got.AlarmActions, got.OKActions, got.InsufficientDataActions, got.AlarmDescription)
	}
}

func TestAVersionKeepsWhatTheFileDoesNotManage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(strings.Replace(base, "type: t3.small", "type: t3.small, metadata: {tokens: optional, hop_limit: 2}, block_devices: {/dev/sdb: {size: 8}}, shutdown: terminate", 1))
	c.apply(strings.Replace(base, "type: t3.small", "type: t3.small, metadata: {tokens: required}", 1))
	l := c.observe(mustParse(t, base)).Groups["web"].Launch
	if *l.Metadata.Tokens != "required" || val(l.Metadata.HopLimit) != 2 || len(l.BlockDevices) != 1 || val(l.Shutdown) != "terminate" {
		t.Errorf("a change of tokens makes of the rest %+v, %v", *l.Metadata, summary(Plan{Changes: []Change{{Fields: compare("", *l, nil)}}}))
	}
	c.apply(strings.Replace(base, "type: t3.small", "type: t3.small, block_devices: {}", 1))
	l = c.observe(mustParse(t, base)).Groups["web"].Launch
	if len(l.BlockDevices) != 0 || val(l.Metadata.HopLimit) != 2 || val(l.Shutdown) != "terminate" {
		t.Errorf("an emptied list leaves %+v", l)
	}
	if p := c.apply(strings.Replace(base, "type: t3.small", "type: t3.small, monitoring: false, disable_stop: false, tags: {}", 1)); !p.Empty() {
		t.Errorf("spelling out what AWS means anyway changes %s", summary(p))
	}
}

const alarmOfUp = "alarms: {busy: {namespace: N, metric: M, comparison: '>', threshold: 70, period: 60, policy: up}}"

func TestMetricsOfAPolicyReplaceEachOther(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for _, policy := range []string{
		"track: {target: 50, predefined: ASGAverageCPUUtilization, disable_scale_in: true}",
		"track: {target: 9, namespace: N, metric: M, statistic: Sum, dimensions: {Q: a}}",
		"track: {target: 9, queries: [{id: a, namespace: N, metric: M, statistic: Sum}]}",
		"track: {target: 50, predefined: ASGAverageCPUUtilization}",
		"predict: {target: 50, pair: ASGCPUUtilization}",
		"predict: {target: 50, load: ASGTotalCPUUtilization, scaling: ASGAverageCPUUtilization}",
		"predict: {target: 50, load_queries: [{id: a, namespace: N, metric: M, statistic: Sum}], scaling: ASGAverageCPUUtilization}",
		"type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]",
	} {
		c.apply(in("policies: {p: {" + policy + "}}"))
		out, err := c.as.DescribePolicies(context.Background(), &as.DescribePoliciesInput{})
		if err != nil || len(out.ScalingPolicies) != 1 {
			t.Fatalf("%v, %v", out, err)
		}
		if tt := out.ScalingPolicies[0].TargetTrackingConfiguration; tt != nil && tt.PredefinedMetricSpecification != nil && tt.CustomizedMetricSpecification != nil {
			t.Errorf("%s: the policy tracks two metrics", policy)
		}
	}
	c.apply(in("policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    " + alarmOfUp))
	c.apply(in("policies: {up: {type: ChangeInCapacity, steps: [{from: 0, adjustment: 1}]}}\n    " + alarmOfUp))
	policies, err := c.as.DescribePolicies(context.Background(), &as.DescribePoliciesInput{})
	if err != nil {
		t.Fatal(err)
	}
	alarms, err := c.w.Alarms.DescribeAlarms(context.Background(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"web|up|M"}})
	if err != nil || !slices.Equal(alarms.MetricAlarms[0].AlarmActions, []string{*policies.ScalingPolicies[0].PolicyARN}) {
		t.Errorf("the alarm sets off %v, the policy is %s: %v", alarms.MetricAlarms[0].AlarmActions, *policies.ScalingPolicies[0].PolicyARN, err)
	}
	c.apply(in("schedules: {s: {cron: '0 8 * * *', min: 1}}"))
	c.apply(in("schedules: {s: {start: '2027-01-01T00:00:00Z', min: 1}}"))
	c.apply(in("mixed: {types: [t3.small=1, t3a.small=2]}"))
	c.apply(in("mixed: none"))
}

func TestAFileOf2013LeavesAloneWhatItCannotSay(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(old)
	_, err := c.as.PutScalingPolicy(context.Background(), &as.PutScalingPolicyInput{AutoScalingGroupName: aws.String("web"), PolicyName: aws.String("web|cpu"), PolicyType: aws.String("TargetTrackingScaling"),
		TargetTrackingConfiguration: &astypes.TargetTrackingConfiguration{TargetValue: aws.Float64(50), PredefinedMetricSpecification: &astypes.PredefinedMetricSpecification{PredefinedMetricType: "ASGAverageCPUUtilization"}}})
	if err != nil {
		t.Fatal(err)
	}
	if p := c.apply(old); !p.Empty() {
		t.Errorf("the plan is %s", summary(p))
	}
	s := mustParse(t, old)
	s.Version = 2
	if p, _ := c.plan(s); len(p.Changes) != 1 || p.Changes[0].Kind != DeletePolicy {
		t.Errorf("in the format of today, which can say it, the plan is %s", summary(p))
	}
}

func TestImagesByReference(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.aws.SetParameter("/ami/web", "ami-2")
	for ref, want := range map[string]string{
		"ssm:/ami/web": "ssm:/ami/web is ami-2: parameter /ami/web, version 1",
		"role:web":     "role:web is ami-3: newest proven image of role web, made 2026-11-25T12:00:00Z",
	} {
		s := mustParse(t, strings.Replace(base, "image: ami-1", "image: "+ref, 1))
		p, _ := c.plan(s)
		i := slices.IndexFunc(p.Changes[0].Fields, func(f Field) bool { return f.Path == "launch.image" })
		if f := p.Changes[0].Fields[i]; f.Note != want || !strings.HasPrefix(strings.Split(want, " is ")[1], f.After) {
			t.Errorf("%s: the plan says %+v", ref, f)
		}
	}
	c.apply(strings.Replace(base, "image: ami-1", "image: 'resolve:ssm:/any'", 1))
	c.apply(in("mixed: {types: [{type: t3.small, image: role:web}, {type: m5.large, image: ssm:/ami/web}]}"))
}

func TestAnImageThatIsNotThereSaysWhy(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.aws.SetParameter("/ami/odd", "eni-1")
	c.aws.SetParameter("/ami/far", "ami-9")
	add := func(id string, tags ...string) {
		i := asg.Image{ID: id, Created: c.now, Tags: map[string]string{ami.TagRole: "db"}}
		for n := 0; n < len(tags); n += 2 {
			i.Tags[tags[n]] = tags[n+1]
		}
		c.aws.AddImage(i)
	}
	add("ami-a")
	add("ami-b", ami.TagProof, ami.ProofFailed)
	add("ami-c", ami.TagProof, ami.Proven, ami.TagExpires, "2026-12-01T00:00:00Z")
	for ref, want := range map[string][]string{
		"ami-9":         {"there is no image ami-9: this account sees no image ami-9"},
		"ssm:/ami/none": {"there is no image ssm:/ami/none: there is no parameter /ami/none"},
		"ssm:/ami/odd":  {`parameter /ami/odd holds "eni-1", which is no id of an image`},
		"ssm:/ami/far":  {"this account sees no image ami-9; parameter /ami/far, version 1"},
		"role:none":     {"no bake has made an image of role none"},
		"role:db":       {"role db has no proven image", "ami-a was not proven", "ami-b failed its proof", "ami-c comes from a bake that has not ended"},
	} {
		s := mustParse(t, strings.Replace(base, "image: ami-1", "image: "+ref, 1))
		_, err := Diff(s, c.observe(s), DiffOptions{})
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %q", ref, err, w)
			}
		}
	}
}

// manyGroups is a file of n groups with a policy each, of which some manage
// hooks, and images by parameters.
func manyGroups(n, hooked int) string {
	var b strings.Builder
	b.WriteString("version: 2\nregion: us-east-1\ndefaults: {capacity: {min: 0, max: 1}, launch: {type: t3.small}, network: {zones: [us-east-1a]}, policies: {up: {type: ChangeInCapacity, adjustment: 1}}}\ngroups:\n")
	for i := range n {
		hooks := ""
		if i < hooked {
			hooks = ", hooks: {h: {on: launching}}"
		}
		fmt.Fprintf(&b, "  g%04d: {launch: {image: 'ssm:/ami/%d'}%s}\n", i, i%25, hooks)
	}
	return b.String()
}

func TestReadsOfAThousandGroupsGrowWithPages(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for i := range 25 {
		c.aws.SetParameter(fmt.Sprintf("/ami/%d", i), "ami-1")
	}
	text := manyGroups(1000, 0)
	c.apply(text)
	count := func(text string) map[string]int {
		c.aws.Forget()
		if p, _ := c.plan(mustParse(t, text)); text == manyGroups(1000, 0) && !p.Empty() {
			t.Errorf("not empty: %d changes", len(p.Changes))
		}
		out := map[string]int{}
		for _, call := range c.aws.Calls() {
			out[call.Action]++
			out["all"]++
		}
		return out
	}
	if got := count(text); got["all"] > 60 || got["GetParameters"] != 3 || got["DescribeLifecycleHooks"] != 0 || got["DescribeAutoScalingGroups"] != 10 || got["DescribePolicies"] != 10 {
		t.Errorf("a plan of 1,000 groups takes %v", got)
	}
	// AWS lists hooks group by group: only groups that manage theirs are asked for.
	if got := count(manyGroups(1000, 5)); got["DescribeLifecycleHooks"] != 5 || got["all"] > 65 {
		t.Errorf("with hooks in five groups it takes %v", got)
	}
}

func TestWhatWasJustMadeMayBeUnseenForAWhile(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	var slept []time.Duration
	c.w.Sleep = func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }
	c.aws.Fail("CreateAutoScalingGroup", "InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateName.NotFoundException")
	c.aws.Fail("ModifyLaunchTemplate", "Throttling")
	c.apply(base)
	if len(slept) != 2 {
		t.Errorf("a new template that AWS does not see yet is waited for %v", slept)
	}
	c.apply(strings.Replace(base, "ami-1", "ami-2", 1))
	out, err := c.w.EC2.DescribeLaunchTemplateVersions(context.Background(), &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: aws.String("web")})
	if err != nil || len(out.LaunchTemplateVersions) != 2 {
		t.Errorf("a call that was throttled after a version was made left %d versions, %v", len(out.LaunchTemplateVersions), err)
	}
	// A group that exists has nothing new about it: the answer is taken as it is.
	c.aws.Fail("UpdateAutoScalingGroup", "ResourceNotFound")
	s := mustParse(t, strings.Replace(strings.Replace(base, "ami-1", "ami-2", 1), "max: 4", "max: 5", 1))
	p, o := c.plan(s)
	slept = nil
	if _, err := p.Apply(context.Background(), c.w, o, silent{}); err == nil || len(slept) != 0 {
		t.Errorf("after %v: %v", slept, err)
	}
}

func TestALaunchConfigurationIsTakenOverWhole(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ctx := context.Background()
	_, err := c.as.CreateLaunchConfiguration(ctx, &as.CreateLaunchConfigurationInput{LaunchConfigurationName: aws.String("lc"), ImageId: aws.String("ami-1"), InstanceType: aws.String("t3.small"),
		SecurityGroups: []string{"sg-1"}, AssociatePublicIpAddress: aws.Bool(true), PlacementTenancy: aws.String("dedicated"), SpotPrice: aws.String("0.1"),
		BlockDeviceMappings: []astypes.BlockDeviceMapping{{DeviceName: aws.String("/dev/sdb"), NoDevice: aws.Bool(true)}, {DeviceName: aws.String("/dev/sda1"), Ebs: &astypes.Ebs{VolumeSize: aws.Int32(20)}}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.as.CreateAutoScalingGroup(ctx, &as.CreateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), LaunchConfigurationName: aws.String("lc"), MinSize: aws.Int32(0), MaxSize: aws.Int32(1), AvailabilityZones: []string{"us-east-1a"}})
	if err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, strings.Replace(base, "type: t3.small", "type: t3.small, security_groups: [sg-2]", 1))
	if _, err := Diff(s, c.observe(s), DiffOptions{}); err == nil || !strings.Contains(err.Error(), "network interfaces of its own") {
		t.Errorf("a public address is dropped without a word: %v", err)
	}
	c.apply(strings.Replace(base, "type: t3.small", "type: t3.large", 1))
	out, err := c.w.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: aws.String("web")})
	if err != nil || len(out.LaunchTemplateVersions) != 1 {
		t.Fatalf("%v, %v", out, err)
	}
	d := out.LaunchTemplateVersions[0].LaunchTemplateData
	if len(d.NetworkInterfaces) != 1 || !*d.NetworkInterfaces[0].AssociatePublicIpAddress || !slices.Equal(d.NetworkInterfaces[0].Groups, []string{"sg-1"}) || len(d.SecurityGroupIds) != 0 ||
		d.Placement.Tenancy != ec2types.TenancyDedicated || *d.InstanceMarketOptions.SpotOptions.MaxPrice != "0.1" || len(d.BlockDeviceMappings) != 2 || !*d.Monitoring.Enabled {
		t.Errorf("the template has %+v", d)
	}
}
