package asg_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// load puts the group's CPU utilisation and lets a minute pass, so often.
func (p *plant) load(value float64, minutes int) {
	p.t.Helper()
	for range minutes {
		_, err := p.cw.PutMetricData(p.ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("AWS/EC2"), MetricData: []cwtypes.MetricDatum{{MetricName: aws.String("CPUUtilization"), Value: &value, Timestamp: &p.now,
			Dimensions: []cwtypes.Dimension{{Name: aws.String("AutoScalingGroupName"), Value: &p.name}}}}})
		p.must(err)
		p.tick(time.Minute)
	}
}

// policy puts a policy and an alarm above 70 % that calls it.
func (p *plant) policy(in as.PutScalingPolicyInput) string {
	p.t.Helper()
	in.AutoScalingGroupName = &p.name
	out, err := p.as.PutScalingPolicy(p.ctx, &in)
	p.must(err)
	_, err = p.cw.PutMetricAlarm(p.ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: in.PolicyName, Namespace: aws.String("AWS/EC2"), MetricName: aws.String("CPUUtilization"), Statistic: "Average", Period: aws.Int32(60),
		EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(70), ComparisonOperator: "GreaterThanThreshold", AlarmActions: []string{*out.PolicyARN},
		Dimensions: []cwtypes.Dimension{{Name: aws.String("AutoScalingGroupName"), Value: &p.name}}})
	p.must(err)
	return *out.PolicyARN
}

func (p *plant) count(what string, want int) {
	p.t.Helper()
	if got := p.states(); len(got) != want {
		p.t.Fatalf("%s: the group holds %q, want %d", what, got, want)
	}
}

func TestASimplePolicyCoolsDown(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	p.policy(as.PutScalingPolicyInput{PolicyName: aws.String("up"), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: aws.Int32(2), Cooldown: aws.Int32(180)})
	p.load(60, 1)
	p.count("below the threshold", 1)
	p.load(80, 1)
	p.count("above it", 3)
	if a := p.last(); !strings.Contains(*a.Cause, "a monitor alarm up in state ALARM triggered policy up changing the desired capacity from 1 to 3") {
		t.Errorf("the cause is %q", *a.Cause)
	}
	p.load(80, 2)
	p.count("while it cools down", 3)
	p.load(80, 1)
	p.count("afterwards", 5)
	out, err := p.cw.DescribeAlarmHistory(p.ctx, &cloudwatch.DescribeAlarmHistoryInput{AlarmName: aws.String("up"), HistoryItemType: "StateUpdate", ScanBy: "TimestampAscending"})
	p.must(err)
	var states []string
	for _, h := range out.AlarmHistoryItems {
		states = append(states, strings.TrimPrefix(*h.HistorySummary, "Alarm updated from "))
	}
	if fmt.Sprint(states) != "[INSUFFICIENT_DATA to OK OK to ALARM]" {
		t.Errorf("the history is %q", states)
	}
}

func TestAStepPolicyAddsToWhatIsWarm(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(10)
	p.tick(time.Hour)
	p.policy(as.PutScalingPolicyInput{PolicyName: aws.String("up"), PolicyType: aws.String("StepScaling"), AdjustmentType: aws.String("PercentChangeInCapacity"), EstimatedInstanceWarmup: aws.Int32(300),
		StepAdjustments: []types.StepAdjustment{{MetricIntervalLowerBound: aws.Float64(0), MetricIntervalUpperBound: aws.Float64(10), ScalingAdjustment: aws.Int32(10)}, {MetricIntervalLowerBound: aws.Float64(10), ScalingAdjustment: aws.Int32(30)}}})
	p.load(75, 1)
	p.count("in the first step", 11)
	p.load(75, 2)
	p.count("again, while it warms up", 11)
	p.load(90, 1)
	p.count("in the second", 13)
	p.load(75, 6)
	p.count("when all are warm", 14)
}

func TestTargetTrackingMakesItsAlarmsAndFollowsThem(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(2, func(in *as.CreateAutoScalingGroupInput) { in.DefaultInstanceWarmup = aws.Int32(60) })
	p.tick(time.Hour)
	put := func(target float64, off bool) []types.Alarm {
		out, err := p.as.PutScalingPolicy(p.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &p.name, PolicyName: aws.String("cpu"), PolicyType: aws.String("TargetTrackingScaling"),
			TargetTrackingConfiguration: &types.TargetTrackingConfiguration{TargetValue: &target, DisableScaleIn: &off, PredefinedMetricSpecification: &types.PredefinedMetricSpecification{PredefinedMetricType: "ASGAverageCPUUtilization"}}})
		p.must(err)
		return out.Alarms
	}
	if a := put(50, true); len(a) != 1 || !strings.HasPrefix(*a[0].AlarmName, "TargetTracking-web-AlarmHigh-") {
		t.Errorf("without scale-in the alarms are %+v", a)
	}
	if a := put(50, false); len(a) != 2 || !strings.HasPrefix(*a[1].AlarmName, "TargetTracking-web-AlarmLow-") {
		t.Errorf("the alarms are %+v", a)
	}
	p.load(90, 3)
	p.count("at 90 % of 50 %", 4)
	if a := p.activities()[1]; a.StatusCode != "WaitingForInstanceWarmup" {
		t.Errorf("the activity is %s", a.StatusCode)
	}
	p.load(48, 5)
	p.count("near the target", 4)
	p.load(20, 14)
	p.count("not low for long enough", 4)
	p.load(20, 1)
	p.count("low for a quarter of an hour", 3)
	p.load(20, 1)
	p.count("and a minute more", 2)
	_, err := p.as.DeletePolicy(p.ctx, &as.DeletePolicyInput{AutoScalingGroupName: &p.name, PolicyName: aws.String("cpu")})
	p.must(err)
	out, err := p.cw.DescribeAlarms(p.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNamePrefix: aws.String("TargetTracking-")})
	if err != nil || len(out.MetricAlarms) != 0 {
		t.Errorf("its alarms are left: %v, %v", out, err)
	}
}

func TestMetricMathOverTheGroupsOwnMetricsDrivesAPolicy(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(2)
	_, err := p.as.EnableMetricsCollection(p.ctx, &as.EnableMetricsCollectionInput{AutoScalingGroupName: &p.name, Granularity: aws.String("1Minute"), Metrics: []string{"GroupInServiceInstances"}})
	p.must(err)
	metric := func(id, namespace, name string, dims ...types.MetricDimension) types.TargetTrackingMetricDataQuery {
		return types.TargetTrackingMetricDataQuery{Id: &id, ReturnData: aws.Bool(false), MetricStat: &types.TargetTrackingMetricStat{Stat: aws.String("Average"), Metric: &types.Metric{Namespace: &namespace, MetricName: &name, Dimensions: dims}}}
	}
	_, err = p.as.PutScalingPolicy(p.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &p.name, PolicyName: aws.String("queue"), PolicyType: aws.String("TargetTrackingScaling"), EstimatedInstanceWarmup: aws.Int32(0),
		TargetTrackingConfiguration: &types.TargetTrackingConfiguration{TargetValue: aws.Float64(100), CustomizedMetricSpecification: &types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{
			metric("backlog", "AWS/SQS", "ApproximateNumberOfMessagesVisible"), metric("serving", "AWS/AutoScaling", "GroupInServiceInstances", types.MetricDimension{Name: aws.String("AutoScalingGroupName"), Value: &p.name}),
			{Id: aws.String("each"), Expression: aws.String("backlog / IF(serving > 0, serving, 1)"), ReturnData: aws.Bool(true)}}}}})
	p.must(err)
	for range 4 {
		_, err := p.cw.PutMetricData(p.ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("AWS/SQS"), MetricData: []cwtypes.MetricDatum{{MetricName: aws.String("ApproximateNumberOfMessagesVisible"), Value: aws.Float64(500)}}})
		p.must(err)
		p.tick(time.Minute)
	}
	p.count("500 messages at 100 each", 5)
	found, err := p.cw.ListMetrics(p.ctx, &cloudwatch.ListMetricsInput{Namespace: aws.String("AWS/AutoScaling")})
	if err != nil || len(found.Metrics) != 1 || *found.Metrics[0].Dimensions[0].Value != "web" {
		t.Errorf("the group's metrics are %+v, %v", found, err)
	}
}

func TestAnAlarmThatIsSetByHandActsAndPoliciesRunByHand(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	p.policy(as.PutScalingPolicyInput{PolicyName: aws.String("up"), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: aws.Int32(1)})
	set := func() {
		_, err := p.cw.SetAlarmState(p.ctx, &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("up"), StateValue: "ALARM", StateReason: aws.String("a drill")})
		p.must(err)
		p.tick(0)
	}
	_, err := p.as.SuspendProcesses(p.ctx, &as.SuspendProcessesInput{AutoScalingGroupName: &p.name, ScalingProcesses: []string{"AlarmNotification"}})
	p.must(err)
	set()
	p.count("while alarms are not heard", 1)
	_, err = p.as.ResumeProcesses(p.ctx, &as.ResumeProcessesInput{AutoScalingGroupName: &p.name})
	p.must(err)
	p.tick(61 * time.Second) // without data the alarm leaves ALARM
	set()
	p.count("when they are", 2)
	run := func(in as.ExecutePolicyInput) error {
		in.AutoScalingGroupName = &p.name
		_, err := p.as.ExecutePolicy(p.ctx, &in)
		p.tick(0)
		return err
	}
	p.must(code(run(as.ExecutePolicyInput{PolicyName: aws.String("up"), HonorCooldown: aws.Bool(true)}), "ScalingActivityInProgress"))
	p.must(run(as.ExecutePolicyInput{PolicyName: aws.String("up")}))
	p.count("by hand", 3)
	p.must(code(run(as.ExecutePolicyInput{PolicyName: aws.String("none")}), "ValidationError"))
}

func TestMetricsAreReadBackAsTheyWerePut(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	_, err := p.cw.PutMetricData(p.ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("N"), MetricData: []cwtypes.MetricDatum{
		{MetricName: aws.String("a"), Values: []float64{1, 2}, Counts: []float64{3, 1}, Timestamp: aws.Time(p.now.Add(-90 * time.Second))},
		{MetricName: aws.String("a"), StatisticValues: &cwtypes.StatisticSet{Sum: aws.Float64(10), SampleCount: aws.Float64(2), Minimum: aws.Float64(4), Maximum: aws.Float64(6)}, Timestamp: aws.Time(p.now.Add(-30 * time.Second))}}})
	p.must(err)
	query := func(id, stat string) cwtypes.MetricDataQuery {
		return cwtypes.MetricDataQuery{Id: &id, MetricStat: &cwtypes.MetricStat{Stat: &stat, Period: aws.Int32(60), Metric: &cwtypes.Metric{Namespace: aws.String("N"), MetricName: aws.String("a")}}}
	}
	out, err := p.cw.GetMetricData(p.ctx, &cloudwatch.GetMetricDataInput{StartTime: aws.Time(p.now.Add(-2 * time.Minute)), EndTime: &p.now, MetricDataQueries: []cwtypes.MetricDataQuery{
		query("avg", "Average"), query("sum", "Sum"), query("p50", "p50"), {Id: aws.String("twice"), Expression: aws.String("MAX([sum * 2, 11])")}}})
	p.must(err)
	want := map[string][]float64{"avg": {5, 1.25}, "sum": {10, 5}, "p50": {1}, "twice": {20, 11}}
	for _, r := range out.MetricDataResults {
		if !slices.Equal(r.Values, want[*r.Id]) {
			t.Errorf("%s is %v, want %v", *r.Id, r.Values, want[*r.Id])
		}
	}
	stats, err := p.cw.GetMetricStatistics(p.ctx, &cloudwatch.GetMetricStatisticsInput{Namespace: aws.String("N"), MetricName: aws.String("a"), StartTime: aws.Time(p.now.Add(-2 * time.Minute)), EndTime: &p.now, Period: aws.Int32(60),
		Statistics: []cwtypes.Statistic{"Maximum", "SampleCount"}})
	if err != nil || len(stats.Datapoints) != 2 || *stats.Datapoints[1].Maximum != 6 || *stats.Datapoints[0].SampleCount != 4 {
		t.Errorf("the statistics are %+v, %v", stats, err)
	}
}

func TestTrackingEveryTenSecondsActsWithinThirty(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1)
	p.tick(time.Hour)
	out, err := p.as.PutScalingPolicy(p.ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &p.name, PolicyName: aws.String("fast"), PolicyType: aws.String("TargetTrackingScaling"), EstimatedInstanceWarmup: aws.Int32(0),
		TargetTrackingConfiguration: &types.TargetTrackingConfiguration{TargetValue: aws.Float64(10), CustomizedMetricSpecification: &types.CustomizedMetricSpecification{Metrics: []types.TargetTrackingMetricDataQuery{
			{Id: aws.String("m"), ReturnData: aws.Bool(true), MetricStat: &types.TargetTrackingMetricStat{Stat: aws.String("Average"), Period: aws.Int32(10), Metric: &types.Metric{Namespace: aws.String("Shop"), MetricName: aws.String("Queue")}}}}}}})
	p.must(err)
	alarms, err := p.cw.DescribeAlarms(p.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{*out.Alarms[0].AlarmName, *out.Alarms[1].AlarmName}})
	if err != nil || *alarms.MetricAlarms[0].EvaluationPeriods != 3 || *alarms.MetricAlarms[1].EvaluationPeriods != 90 || *alarms.MetricAlarms[1].Threshold != 9 {
		t.Fatalf("the alarms are %+v, %v", alarms.MetricAlarms, err)
	}
	for range 3 {
		_, err := p.cw.PutMetricData(p.ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("Shop"), MetricData: []cwtypes.MetricDatum{{MetricName: aws.String("Queue"), Value: aws.Float64(25), StorageResolution: aws.Int32(1)}}})
		p.must(err)
		p.tick(10 * time.Second)
	}
	p.count("after half a minute", 3)
}
