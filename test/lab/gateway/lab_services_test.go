//go:build lab

package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"bakehouse/test/lab/imds"
)

const ubuntuParameter = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"

func testParameters(b *bench) {
	client := ssm.NewFromConfig(b.cfg)
	one, err := client.GetParameter(b.ctx, &ssm.GetParameterInput{Name: aws.String(ubuntuParameter)})
	if err != nil || *one.Parameter.Value != baseImage {
		b.t.Fatalf("GetParameter: %v, %+v", err, one)
	}
	_, err = client.PutParameter(b.ctx, &ssm.PutParameterInput{
		Name: aws.String("/bakehouse/x"), Value: aws.String("secret"), Type: "SecureString",
	})
	if err != nil {
		b.t.Fatalf("PutParameter: %v", err)
	}
	many, err := client.GetParameters(b.ctx, &ssm.GetParametersInput{
		Names: []string{"/bakehouse/x", ubuntuParameter, "/none"}, WithDecryption: aws.Bool(true),
	})
	if err != nil || len(many.Parameters) != 2 || !slices.Equal(many.InvalidParameters, []string{"/none"}) {
		b.t.Errorf("GetParameters: %v, %+v", err, many)
	}
	_, err = client.GetParameter(b.ctx, &ssm.GetParameterInput{Name: aws.String("/aws/service/canonical/none")})
	wantCode(b.t, "an unknown parameter", err, "ParameterNotFound")
	path, err := client.GetParametersByPath(b.ctx, &ssm.GetParametersByPathInput{
		Path: aws.String("/aws/service/canonical/ubuntu"), Recursive: aws.Bool(true),
	})
	if err != nil || len(path.Parameters) != 1 {
		b.t.Errorf("GetParametersByPath: %v, %+v", err, path)
	}
	_, err = client.ListAssociations(b.ctx, &ssm.ListAssociationsInput{})
	wantCode(b.t, "an SSM action that moto lacks", err, "InvalidAction")
}

func testAlarms(b *bench) {
	client := cloudwatch.NewFromConfig(b.cfg)
	_, err := client.PutMetricAlarm(b.ctx, &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String("hot"), Namespace: aws.String("bench"), MetricName: aws.String("heat"), Statistic: cwtypes.StatisticAverage,
		Period: aws.Int32(60), EvaluationPeriods: aws.Int32(2), Threshold: aws.Float64(70.5),
		ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold,
		Dimensions:         []cwtypes.Dimension{{Name: aws.String("group"), Value: aws.String("web")}},
	})
	if err != nil {
		b.t.Fatalf("PutMetricAlarm: %v", err)
	}
	out, err := client.DescribeAlarms(b.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"hot"}})
	if err != nil || len(out.MetricAlarms) != 1 {
		b.t.Fatalf("DescribeAlarms: %v, %+v", err, out)
	}
	a := out.MetricAlarms[0]
	if *a.Threshold != 70.5 || *a.EvaluationPeriods != 2 || len(a.Dimensions) != 1 || a.StateUpdatedTimestamp == nil {
		b.t.Errorf("alarm came back as %+v", a)
	}
	if _, err := client.DeleteAlarms(b.ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"hot"}}); err != nil {
		b.t.Errorf("DeleteAlarms: %v", err)
	}
	out, err = client.DescribeAlarms(b.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"hot"}})
	if err != nil || len(out.MetricAlarms) != 0 {
		b.t.Errorf("after DeleteAlarms: %v, %+v", err, out)
	}
	if r := b.calls("PutMetricAlarm"); len(r) != 1 || r[0].Service != "cloudwatch" {
		b.t.Errorf("records: %+v", r)
	}
}

func testMetrics(b *bench) {
	client := cloudwatch.NewFromConfig(b.cfg)
	at := time.Now().Truncate(time.Minute)
	var data []cwtypes.MetricDatum
	for range 500 { // enough for the SDK to compress the request
		data = append(data, cwtypes.MetricDatum{
			MetricName: aws.String("load"), Value: aws.Float64(3), Timestamp: &at, Unit: cwtypes.StandardUnitCount,
		})
	}
	if _, err := client.PutMetricData(b.ctx, &cloudwatch.PutMetricDataInput{Namespace: aws.String("bench"), MetricData: data}); err != nil {
		b.t.Fatalf("PutMetricData: %v", err)
	}
	from, to := at.Add(-5*time.Minute), at.Add(5*time.Minute)
	stats, err := client.GetMetricStatistics(b.ctx, &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("bench"), MetricName: aws.String("load"), Period: aws.Int32(60), StartTime: &from, EndTime: &to,
		Statistics: []cwtypes.Statistic{cwtypes.StatisticAverage, cwtypes.StatisticSampleCount},
	})
	if err != nil || len(stats.Datapoints) != 1 || *stats.Datapoints[0].Average != 3 || *stats.Datapoints[0].SampleCount != 500 {
		b.t.Fatalf("GetMetricStatistics: %v, %+v", err, stats)
	}
	if got := *stats.Datapoints[0].Timestamp; !got.Equal(at) {
		b.t.Errorf("datapoint is of %v, want %v", got, at)
	}
	out, err := client.GetMetricData(b.ctx, &cloudwatch.GetMetricDataInput{
		StartTime: &from, EndTime: &to,
		MetricDataQueries: []cwtypes.MetricDataQuery{{Id: aws.String("q"), MetricStat: &cwtypes.MetricStat{
			Metric: &cwtypes.Metric{Namespace: aws.String("bench"), MetricName: aws.String("load")},
			Period: aws.Int32(60), Stat: aws.String("Sum"),
		}}},
	})
	if err != nil || len(out.MetricDataResults) != 1 || len(out.MetricDataResults[0].Timestamps) != 1 || out.MetricDataResults[0].Values[0] != 1500 {
		b.t.Errorf("GetMetricData: %v, %+v", err, out)
	}
}

func testCBORErrors(b *bench) {
	client := cloudwatch.NewFromConfig(b.cfg)
	_, err := client.GetDashboard(b.ctx, &cloudwatch.GetDashboardInput{DashboardName: aws.String("none")})
	wantCode(b.t, "an unknown dashboard", err, "ResourceNotFound")
	_, err = client.PutCompositeAlarm(b.ctx, &cloudwatch.PutCompositeAlarmInput{AlarmName: aws.String("c"), AlarmRule: aws.String("TRUE")})
	wantCode(b.t, "an action that moto lacks", err, "InvalidAction")
}

func testPassThrough(b *bench) {
	out, err := sts.NewFromConfig(b.cfg).GetCallerIdentity(b.ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *out.Account != "123456789012" {
		b.t.Errorf("GetCallerIdentity: %v, %+v", err, out)
	}
}

// testGuestCredentials: a key that IAM never issued, as guests have them,
// belongs to the lab's account and not to a stranger's.
func testGuestCredentials(b *bench) {
	cfg := b.cfg.Copy()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(imds.AccessKeyID("i-1"), "secret", "session")
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(b.ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *out.Account != "123456789012" {
		b.t.Errorf("GetCallerIdentity: %v, %+v", err, out)
	}
	if r := b.calls("GetCallerIdentity"); len(r) != 1 || r[0].Caller != imds.AccessKeyID("i-1") {
		b.t.Errorf("records: %+v", r)
	}
}

func testRecords(b *bench) {
	if _, err := b.ec2.DescribeRegions(b.ctx, &ec2.DescribeRegionsInput{}); err != nil {
		b.t.Fatalf("DescribeRegions: %v", err)
	}
	_, err := b.ec2.DescribeInstances(b.ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{"i-0123456789abcdef0"}})
	wantCode(b.t, "an unknown instance", err, "InvalidInstanceID.NotFound")
	ok, bad := b.calls("DescribeRegions"), b.calls("DescribeInstances")
	if len(ok) != 1 || ok[0].Service != "ec2" || ok[0].Caller != "operator" || ok[0].Status != 200 || ok[0].Source != "127.0.0.1" || ok[0].RequestID == "" {
		b.t.Errorf("record of a success: %+v", ok)
	}
	if len(bad) != 1 || bad[0].Status != 400 || bad[0].Code != "InvalidInstanceID.NotFound" || bad[0].Seq <= ok[0].Seq {
		b.t.Errorf("record of a refusal: %+v", bad)
	}
	if lines := strings.Count(b.records.String(), "\n"); lines != 2 {
		b.t.Errorf("recorder wrote %d lines, want 2", lines)
	}
}

func testFaultNth(b *bench) {
	b.post("/_lab/faults", `{"service":"ec2","action":"DescribeRegions","nth":2,"code":"UnauthorizedOperation","status":403}`)
	call := func() error { _, err := b.ec2.DescribeRegions(b.ctx, &ec2.DescribeRegionsInput{}); return err }
	if err := call(); err != nil {
		b.t.Errorf("first call: %v", err)
	}
	wantCode(b.t, "second call", call(), "UnauthorizedOperation")
	if err := call(); err != nil {
		b.t.Errorf("third call: %v", err)
	}
	if r := b.calls("DescribeRegions"); len(r) != 3 || r[1].Fault == 0 || r[1].Status != 403 {
		b.t.Errorf("records: %+v", r)
	}
}

func testFaultLost(b *bench) {
	b.post("/_lab/faults", `{"action":"RunInstances","caller":"operator","lost_reply":true}`)
	i := b.run(func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("lost-one") })
	r := b.calls("RunInstances")
	if len(r) != 2 || !r[0].Lost || r[0].Status != 200 || r[1].Lost {
		b.t.Errorf("records: %+v", r)
	}
	if i.InstanceId == nil || b.machines.nudges != 1 {
		b.t.Errorf("the retry launched again (%d nudges)", b.machines.nudges)
	}
}

func testFaultLatency(b *bench) {
	b.post("/_lab/faults", `{"action":"Describe*","latency":"120ms","times":-1}`)
	began := time.Now()
	if _, err := b.ec2.DescribeRegions(b.ctx, &ec2.DescribeRegionsInput{}); err != nil || time.Since(began) < 120*time.Millisecond {
		b.t.Errorf("slow call: %v after %v", err, time.Since(began))
	}
	req, err := http.NewRequestWithContext(b.ctx, http.MethodDelete, b.url+"/_lab/faults", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusNoContent {
		b.t.Fatalf("DELETE /_lab/faults: %v", err)
	}
	res.Body.Close()
	if _, err := b.ec2.DescribeRegions(b.ctx, &ec2.DescribeRegionsInput{}); err != nil {
		b.t.Error(err)
	}
	if r := b.calls("DescribeRegions"); len(r) != 2 || r[0].Fault == 0 || r[1].Fault != 0 {
		b.t.Errorf("records: %+v", r)
	}
}
