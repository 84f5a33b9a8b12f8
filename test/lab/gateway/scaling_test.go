package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go"

	"bakehouse/test/asg"
	"bakehouse/test/lab/gateway"
)

// idle is a hypervisor without machines.
type idle struct{}

func (idle) State(string) (string, bool)                          { return "", false }
func (idle) Snapshot(context.Context, string, string, bool) error { return nil }
func (idle) RemoveImage(string)                                   {}
func (idle) Console(string) []byte                                { return nil }
func (idle) Nudge()                                               {}

// scaled is a gateway whose Auto Scaling is a service of its own per region;
// behind it, moto is one that notes what came.
type scaled struct {
	t       *testing.T
	ctx     context.Context
	gateway *gateway.Gateway
	url     string
	mu      sync.Mutex
	moto    []string // paths and targets that came through
}

func newScaled(t *testing.T, service func(region string) http.Handler) *scaled {
	t.Helper()
	x := &scaled{t: t}
	moto := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.moto = append(x.moto, r.Header.Get("X-Amz-Target"))
		fmt.Fprint(w, `{"DashboardEntries": []}`)
	}))
	t.Cleanup(moto.Close)
	upstream, err := url.Parse(moto.URL)
	if err != nil {
		t.Fatal(err)
	}
	if x.gateway, err = gateway.New(gateway.Config{Upstream: upstream, Machines: idle{}, Scaling: service}); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(x.gateway)
	t.Cleanup(func() { front.Close(); _ = x.gateway.Close() })
	x.url = front.URL
	var cancel context.CancelFunc
	x.ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return x
}

func (x *scaled) in(region string) aws.Config {
	return aws.Config{Region: region, BaseEndpoint: &x.url, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("AKID", "secret", "")}
}

// services keeps one service a region.
func services() func(string) http.Handler {
	var mu sync.Mutex
	all := map[string]*asg.Service{}
	return func(region string) http.Handler {
		mu.Lock()
		defer mu.Unlock()
		if all[region] == nil {
			all[region] = asg.New(time.Now)
		}
		return all[region]
	}
}

// codeOf is the AWS code of an error, "" without one.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestGroupsAreKeptApartByRegionRecordedAndFaulted(t *testing.T) {
	t.Parallel()
	x := newScaled(t, services())
	here, there := autoscaling.NewFromConfig(x.in("us-east-1")), autoscaling.NewFromConfig(x.in("eu-west-1"))
	_, err := here.CreateLaunchConfiguration(x.ctx, &autoscaling.CreateLaunchConfigurationInput{LaunchConfigurationName: aws.String("c"), ImageId: aws.String("ami-1"), InstanceType: aws.String("t3.small")})
	if err == nil {
		_, err = here.CreateAutoScalingGroup(x.ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), LaunchConfigurationName: aws.String("c"),
			MinSize: aws.Int32(0), MaxSize: aws.Int32(0), AvailabilityZones: []string{"us-east-1a"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	for client, want := range map[*autoscaling.Client]int{here: 1, there: 0} {
		out, err := client.DescribeAutoScalingGroups(x.ctx, &autoscaling.DescribeAutoScalingGroupsInput{})
		if err != nil || len(out.AutoScalingGroups) != want {
			t.Errorf("%d groups, %v, want %d", len(out.AutoScalingGroups), err, want)
		}
	}
	x.fault(`{"service": "autoscaling", "action": "DeleteAutoScalingGroup", "code": "AccessDenied", "status": 403}`)
	del := &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("web")}
	if _, err := here.DeleteAutoScalingGroup(x.ctx, del); codeOf(err) != "AccessDenied" {
		t.Errorf("a call with a fault: %v", err)
	}
	if _, err := here.DeleteAutoScalingGroup(x.ctx, del); err != nil {
		t.Errorf("the next one: %v", err)
	}
	_, err = here.PutScalingPolicy(x.ctx, &autoscaling.PutScalingPolicyInput{AutoScalingGroupName: aws.String("none"), PolicyName: aws.String("up")})
	if codeOf(err) != "ValidationError" {
		t.Errorf("a policy of no group: %v", err)
	}
	var seen []string
	for _, r := range x.calls() {
		seen = append(seen, fmt.Sprintf("%s:%s %d %s", r.Service, r.Action, r.Status, r.Code))
	}
	for _, want := range []string{"autoscaling:CreateAutoScalingGroup 200 ", "autoscaling:DeleteAutoScalingGroup 403 AccessDenied", "autoscaling:PutScalingPolicy 400 ValidationError"} {
		if !slices.Contains(seen, want) {
			t.Errorf("no record of %s: %q", want, seen)
		}
	}
	if len(x.moto) != 0 {
		t.Errorf("moto was asked: %q", x.moto)
	}
}

func TestAlarmsStandByTheGroupsAndTheRestIsMotos(t *testing.T) {
	t.Parallel()
	x := newScaled(t, services())
	client := cloudwatch.NewFromConfig(x.in("us-east-1"))
	_, err := client.PutMetricAlarm(x.ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("hot"), Namespace: aws.String("n"), MetricName: aws.String("heat"), Statistic: "Average",
		ComparisonOperator: "GreaterThanThreshold", Threshold: aws.Float64(0.5), Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1)})
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.DescribeAlarms(x.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{"hot"}})
	if err != nil || len(out.MetricAlarms) != 1 || *out.MetricAlarms[0].Threshold != 0.5 {
		t.Errorf("alarms %+v, %v", out, err)
	}
	// The same by JSON, as older tools speak it.
	if said := x.json("DescribeAlarms", `{"AlarmNames": ["hot"]}`); !strings.Contains(said, `"Threshold":0.5`) {
		t.Errorf("by JSON: %s", said)
	}
	if len(x.moto) != 0 {
		t.Errorf("moto was asked for alarms: %q", x.moto)
	}
	if _, err := client.ListDashboards(x.ctx, &cloudwatch.ListDashboardsInput{}); err != nil || len(x.moto) != 1 {
		t.Errorf("dashboards: %v, moto was asked %q", err, x.moto)
	}
	_, err = client.DescribeAlarms(x.ctx, &cloudwatch.DescribeAlarmsInput{NextToken: aws.String("none")})
	if codeOf(err) != "InvalidNextToken" {
		t.Errorf("a page that there is not: %v", err)
	}
}

func TestWhatHooksAreToldIsKept(t *testing.T) {
	t.Parallel()
	x := newScaled(t, func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm() // a form that does not read has no hook, and is refused
			if r.Form.Get("LifecycleHookName") != "ready" {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `<ErrorResponse><Error><Code>ValidationError</Code><Message>nobody waits</Message></Error></ErrorResponse>`)
				return
			}
			fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult/></%[1]sResponse>", r.Form.Get("Action"))
		})
	})
	x.gateway.Move("web", "i-1", "Warmed:Stopped")
	client := autoscaling.NewFromConfig(x.in("us-east-1"))
	for _, hook := range []string{"ready", "other"} {
		_, beat := client.RecordLifecycleActionHeartbeat(x.ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: aws.String("web"), LifecycleHookName: &hook, InstanceId: aws.String("i-1")})
		_, done := client.CompleteLifecycleAction(x.ctx, &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: aws.String("web"), LifecycleHookName: &hook, InstanceId: aws.String("i-1"), LifecycleActionResult: aws.String("CONTINUE")})
		if refused := hook == "other"; refused != (beat != nil) || refused != (done != nil) {
			t.Errorf("hook %s: %v, %v", hook, beat, done)
		}
	}
	x.gateway.Move("web", "i-1", "InService")
	if got := x.gateway.LifecycleTarget("i-1"); got != "InService" {
		t.Errorf("target %q", got)
	}
	if got := x.gateway.LifecycleTarget("i-2"); got != "" {
		t.Errorf("target of a stranger: %q", got)
	}
	var is struct{ Instances map[string]gateway.Lifecycle }
	if err := json.Unmarshal([]byte(x.get("/_lab/lifecycle")), &is); err != nil {
		t.Fatal(err)
	}
	if l := is.Instances["i-1"]; len(is.Instances) != 1 || l.Group != "web" || l.Beats != 1 || !slices.Equal(l.Answers, []string{"ready CONTINUE"}) {
		t.Errorf("the lab has %+v", is.Instances)
	}
}

// fault sets a rule.
func (x *scaled) fault(rule string) {
	x.t.Helper()
	res, err := http.Post(x.url+"/_lab/faults", "application/json", strings.NewReader(rule))
	if err != nil || res.StatusCode != http.StatusCreated {
		x.t.Fatalf("setting a fault: %v, %+v", err, res)
	}
	_ = res.Body.Close() // nobody reads it
}

func (x *scaled) get(path string) string {
	x.t.Helper()
	res, err := http.Get(x.url + path)
	if err != nil {
		x.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return string(b)
}

func (x *scaled) calls() (all []gateway.Record) {
	x.t.Helper()
	for line := range strings.Lines(x.get("/_lab/calls")) {
		var r gateway.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			x.t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// json makes a call to CloudWatch by the JSON protocol.
func (x *scaled) json(action, body string) string {
	x.t.Helper()
	req, err := http.NewRequestWithContext(x.ctx, http.MethodPost, x.url, strings.NewReader(body))
	if err != nil {
		x.t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801."+action)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		x.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return string(b)
}
